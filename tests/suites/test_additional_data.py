"""Trainings on additional data sets: named by the settings or the request, and cases of their own."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from mbcbench.datasets import DATA_SETS, Clouds, cache
from mbcbench.errors import UsageError
from mbcbench.execution.suite import Request
from mbcbench.paper import DIGITS, EXEMPLARS, LARGE_IMAGES, SHAPES, SMALL_IMAGES, on_data
from mbcbench.records.cell import Cell
from mbcbench.suites import gradients, paper
from mbcbench.suites.tasks.centroids import settings as centroid_settings
from mbcbench.suites.tasks.centroids import suite as centroids
from mbcbench.suites.tasks.image_completion import settings as completion_settings
from mbcbench.suites.tasks.image_completion import suite as image_completion
from mbcbench.suites.tasks.point_clouds import data as cloud_data
from mbcbench.suites.tasks.point_clouds import settings as cloud_settings
from mbcbench.suites.tasks.point_clouds import suite as point_clouds
from tests.suites import fakes
from tests.suites.test_needs import LoadedError, assert_loads_what_it_needs

DIGIT_SETTINGS = centroid_settings.DIGIT_PROFILES["thorough"]
EXEMPLAR_SETTINGS = centroid_settings.EXEMPLAR_PROFILES["thorough"]
SHAPE_SETTINGS = cloud_settings.SHAPE_PROFILES["thorough"]
IMAGE_SETTINGS = completion_settings.PROFILES["thorough"]
ALL = "fashion-mnist,emoji-images,furniture,emoji"
MAKERS: dict[str, Any] = {
    "fashion-mnist": (centroids.digit_cells, DIGIT_SETTINGS, "fashion-mnist-centroids"),
    "emoji": (centroids.exemplar_cells, EXEMPLAR_SETTINGS, "emoji-centroids"),
    "furniture": (point_clouds.shape_cells, SHAPE_SETTINGS, "furniture-points"),
    "fashion-images": (image_completion.completion_cells, IMAGE_SETTINGS, "fashion-images-32"),
    "emoji-images": (gradients.gradient_cells, gradients.PROFILES["thorough"], "emoji-images-32"),
}


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the additional data sets, and no others, be present."""
    for data in DATA_SETS.values():
        monkeypatch.setattr(type(data), "present", data.additional)


def request(**options: Any) -> Request:
    return Request(encoders=["mean"], profile="thorough", **options)


@pytest.mark.parametrize("name", MAKERS)
def test_settings_and_requests_name_a_data_set_alike(name: str) -> None:
    make, settings, case = MAKERS[name]
    by_settings = make(request(), replace(settings, data=name))
    by_request = make(request(data=name), settings)
    assert [cell.key for cell in by_settings] == [cell.key for cell in by_request]
    assert {(cell.case, cell.params["data"], cell.params["data_sha256"]) for cell in by_settings} == {
        (case, name, DATA_SETS[name].sha256[:12])
    }


def test_no_case_of_an_additional_data_set_is_one_that_reports_select() -> None:
    usual = {where["case"] for where in (DIGITS, EXEMPLARS, SHAPES, SMALL_IMAGES, LARGE_IMAGES)}
    assert not usual & {case for _, _, case in MAKERS.values()}


def test_a_name_leaves_the_data_of_other_contents_as_they_are() -> None:
    (cell, *_) = centroids.exemplar_cells(request(data="fashion-mnist"), EXEMPLAR_SETTINGS)
    assert (cell.case, cell.params["data"]) == ("exemplar-centroids", "photo-exemplars")


def test_supports_grow_to_the_size_of_a_class_unless_they_are_chosen() -> None:
    (cell, *_) = centroids.digit_cells(request(data="fashion-mnist"), DIGIT_SETTINGS)
    assert cell.params["supports"] == (*DIGIT_SETTINGS.supports, 1000, 2000, 6000)
    (cell, *_) = centroids.digit_cells(request(data="fashion-mnist"), replace(DIGIT_SETTINGS, supports=(1, 5)))
    assert cell.params["supports"] == (1, 5)


def test_supports_of_emoji_are_by_other_vendors_than_queries() -> None:
    (cell, *_) = centroids.exemplar_cells(request(data="emoji"), EXEMPLAR_SETTINGS)
    assert (cell.params["pool"], cell.params["queries"], cell.params["supports"]) == (4, 2, (1, 2, 4))


def test_images_are_not_tested_on_more_pixels_than_they_have() -> None:
    (cell, *_) = image_completion.completion_cells(request(data="fashion-images"), replace(IMAGE_SETTINGS, size=28))
    assert cell.case == "fashion-images-28"
    assert max(test.size for test in cell.params["tests"]) == 500
    (cell, *_) = image_completion.completion_cells(request(data="fashion-images"), IMAGE_SETTINGS)
    assert cell.params["tests"] == IMAGE_SETTINGS.tests


def test_experiments_on_data_without_large_images_have_the_small_ones_only() -> None:
    for name in ("fig3a", "fig7-deterministic"):
        cells = paper.EXPERIMENTS[name].cells(request(data="fashion-images"))
        assert {cell.params["size"] for cell in cells} == {32}
        assert {cell.params["size"] for cell in paper.EXPERIMENTS[name].cells(request())} == {32, 64}
    with pytest.raises(UsageError, match="images of 28 or 32 pixels, not of 64; use another data set"):
        paper.EXPERIMENTS["fig3b"].cells(request(data="fashion-images"))


def test_a_filter_of_a_claim_selects_the_records_on_other_data() -> None:
    usual = {"fashion-mnist": DIGITS, "emoji": EXEMPLARS, "furniture": SHAPES, "fashion-images": SMALL_IMAGES}
    for name, where in usual.items():
        assert on_data(where, name) == {**where, "case": MAKERS[name][2]}


@pytest.mark.parametrize("name", ["table1", "fig3b", "fig4d", "fig5", "fig8"])
def test_an_experiment_of_the_paper_is_made_and_shown_on_named_data(name: str) -> None:
    experiment = paper.EXPERIMENTS[name]
    usual, other = (experiment.cells(Request(encoders=[], profile="quick", data=data)) for data in ("auto", ALL))
    assert len(usual) == len(other)
    assert all(cell.params["data"] in ALL for cell in other)
    assert not {cell.key for cell in usual} & {cell.key for cell in other}
    assert "case" not in experiment.where


@pytest.mark.parametrize("name", ["emoji", "furniture"])
def test_what_a_cell_loads_is_made_ready_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(key: str, make: Any) -> cache.Arrays:
        raise LoadedError(key)

    monkeypatch.setattr(cache, "cached_arrays", load)
    make, settings, _ = MAKERS[name]
    (cell, *_) = make(request(data=name), settings)
    assert_loads_what_it_needs(paper.SUITES[cell.suite], cell)


def test_the_seed_of_a_cell_chooses_the_split_of_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    splits: list[int] = []

    class Split(fakes.FakeDataSet):
        def load_split(self, points: int, split: int) -> Clouds:
            splits.append(split)
            return fakes.clouds(points)

    monkeypatch.setattr(cloud_data, "choose", lambda content, data: Split(fakes.clouds))
    settings = replace(cloud_settings.SHAPE_PROFILES["smoke"], data="furniture", hyper={})
    cells: list[Cell] = point_clouds.shape_cells(Request(encoders=["mean"], profile="smoke", seed=3), settings)
    assert all(record.value is not None for record in point_clouds.run(cells[0]))
    assert splits == [3]


def test_features_of_many_examples_are_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubling(nn.Linear):
        def features_of(self, examples: torch.Tensor) -> torch.Tensor:
            return 2 * examples

    examples = torch.rand(3, 7, 4)
    monkeypatch.setattr(centroids, "EXAMPLES_AT_A_TIME", 3)
    model: Any = Doubling(1, 1)
    assert torch.equal(centroids._features(model, examples), 2 * examples)
