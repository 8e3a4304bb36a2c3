"""The profile `standard`: plan, learning rates, splits, and tests of trained models."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mbcbench import registry
from mbcbench.datasets.photographs import Photographs, Strips
from mbcbench.errors import UsageError
from mbcbench.execution.suite import Request, Suite
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records import outcomes
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.suites.tasks.centroids.standard import TASK as CENTROIDS
from mbcbench.suites.tasks.digit_splits import split_digits
from mbcbench.suites.tasks.image_completion.standard import TASK as IMAGES
from mbcbench.suites.tasks.point_clouds.standard import TASK as POINTS
from mbcbench.suites.tasks.standard import plan as planning
from mbcbench.suites.tasks.standard.task import StandardTask
from mbcbench.suites.tasks.standard.training import copy_weights
from mbcbench.suites.tasks.streams import STREAM_ORDERS
from tests.suites.helpers import load_suite, sample_target

TASKS: list[StandardTask[Any]] = [POINTS, IMAGES, CENTROIDS]
by_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.case)


def request_for(*encoders: str, **more: Any) -> Request:
    return Request(encoders=encoders, profile="standard", reference=False, **more)


def searched(cells: Sequence[Cell], losses: dict[float, float | None]) -> list[Record]:
    """Return records of search cells with the given validation losses by learning rate; None is an error."""
    records = []
    for cell in cells:
        loss = losses[cell.params["lr"]]
        status = Status.ERROR if loss is None else Status.OK
        records.append(cell.record(status, metric="validation_loss", value=loss))
    return records


def plan(task: StandardTask[Any], *encoders: str, best: float = 1e-3) -> tuple[list[Cell], list[Cell]]:
    """Return the search cells and those that follow, if the learning rate `best` is the best."""
    suite, request = load_suite(task.suite), request_for(*encoders)
    search = suite.cells(request)
    assert suite.follow_up is not None
    records = searched(search, {rate: abs(np.log(rate / best)) for rate in task.rates})
    return search, suite.follow_up(request, records)


def shortened(cell: Cell, **params: Any) -> Cell:
    return replace(cell, params=json.loads(json.dumps({**cell.params, "steps": 3, **params})))


@by_task
def test_the_search_tries_the_grid_under_a_seed_that_is_not_reported(task: StandardTask[Any]) -> None:
    search, final = plan(task, "mean", "pma")
    assert {(cell.encoder, cell.params["lr"]) for cell in search} == {
        (encoder, rate) for encoder in ("mean", "pma") for rate in task.rates
    }
    assert {cell.params["steps"] for cell in search} == {task.search_steps}
    assert not {cell.seed for cell in search} & {cell.seed for cell in final}


@by_task
def test_final_trainings_have_the_best_rate_five_seeds_and_one_of_twice_the_steps(task: StandardTask[Any]) -> None:
    _, cells = plan(task, "mean")
    finals = [cell for cell in cells if cell.params["role"] == "final"]
    (doubled,) = (cell for cell in cells if cell.params["role"] == "doubled")
    assert [cell.seed for cell in finals] == [0, 1, 2, 3, 4]
    assert {cell.params["lr"] for cell in cells} == {1e-3}
    assert (doubled.seed, doubled.params["steps"]) == (0, 2 * finals[0].params["steps"])


def test_the_rate_with_the_least_validation_loss_is_chosen_and_errors_are_not() -> None:
    search, _ = plan(POINTS, "mean")
    assert planning.best_rate(searched(search, {3e-4: 0.5, 1e-3: 0.4, 3e-3: 0.3, 1e-2: None})) == 3e-3
    assert planning.best_rate(searched(search, {3e-4: 0.2, 1e-3: 0.4, 3e-3: 0.3, 1e-2: float("nan")})) == 3e-4
    assert planning.best_rate(searched(search, dict.fromkeys(POINTS.rates))) == 3e-4


def test_encoders_that_are_the_same_in_one_piece_are_trained_once() -> None:
    search, final = plan(POINTS, "sse-random", "sse-literal-max", "sse-mean-of-chunk-means")
    assert {cell.encoder for cell in [*search, *final]} == {"sse-random", "sse-random-mean"}
    (variants,) = {
        cell.params["variants"] for cell in final if cell.encoder == "sse-random" and cell.params["role"] == "final"
    }
    assert variants == ("sse-literal-max", "sse-literal-mean", "sse-literal-min")
    assert all("variants source" in cell.identity for cell in final if cell.params["role"] == "final")


@pytest.mark.parametrize(("variant", "base"), planning.TRAINED_AS.items())
def test_variants_have_the_weights_and_the_encoding_in_one_piece_of_their_base(variant: str, base: str) -> None:
    modules = [build_from_spec(get_spec(name), dim_in=5, seed=3).eval() for name in (variant, base)]
    copy_weights(modules[1], modules[0])
    x, encodings = torch.randn(2, 7, 5), []
    for module in modules:
        torch.manual_seed(0)
        encodings.append(module(x))
    assert torch.equal(*encodings)
    assert get_spec(variant).slot_readout == get_spec(base).slot_readout


@by_task
def test_other_data_than_the_built_in_sets_are_refused(task: StandardTask[Any]) -> None:
    for data in ("paper", "furniture"):
        with pytest.raises(UsageError, match=f"--data {data}: the profile standard has fixed data sets"):
            load_suite(task.suite).cells(request_for("mean", data=data))


def test_every_digit_is_in_one_part_and_another_seed_gives_other_parts() -> None:
    split, other = split_digits(0), split_digits(1)
    images = np.concatenate([part.reshape(-1, 784).numpy() for part in split])
    again = np.concatenate([part.reshape(-1, 784).numpy() for part in other])
    assert [part.shape[:2] for part in split] == [(10, 350), (10, 50), (10, 100)]
    assert sorted(map(bytes, images)) == sorted(map(bytes, again))
    assert not np.array_equal(split.test, other.test)
    assert torch.equal(split.train, split_digits(0).train)


def test_classes_of_training_validation_and_test_are_disjoint() -> None:
    data = CENTROIDS.load(0)
    classes = torch.cat([data.train_classes, data.validation_classes, data.test_classes])
    assert sorted(classes.tolist()) == list(range(100))


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Return the records of a short training on points, tested as two encoders."""
    _, final = plan(POINTS, "sse-random")
    return list(load_suite("point-clouds").run(shortened(final[0], variants=["sse-literal-max"])))


@pytest.mark.slow
def test_a_model_is_tested_in_one_piece_and_in_every_order(records: list[Record]) -> None:
    tests = [(r.detail["mode"], r.detail.get("order"), r.detail["test_size"]) for r in records[: len(records) // 2]]
    assert tests == [
        ("one piece", None, 100),
        ("one piece", None, 500),
        *[("streamed", order.name, 100) for order in STREAM_ORDERS],
    ]


def test_the_outcomes_of_single_items_are_kept(records: list[Record]) -> None:
    for record in records:
        of_items = outcomes.unpack(record.detail["outcomes"])
        assert len(of_items) == 2000
        assert record.value == pytest.approx(float(of_items.mean()))


def test_a_consistent_encoder_has_the_same_outcomes_in_every_order(records: list[Record]) -> None:
    at_100 = [r.value or 0.0 for r in records if r.encoder == "sse-random" and r.detail["test_size"] == 100]
    assert len(at_100) == 6
    assert max(at_100) - min(at_100) < 2e-3  # rounding may turn a digit


def test_a_variant_differs_from_its_base_in_streams_only(records: list[Record]) -> None:
    def value(encoder: str, order: str | None) -> float | None:
        (only,) = (
            r.value
            for r in records
            if r.encoder == encoder and r.detail.get("order") == order and r.detail["test_size"] == 100
        )
        return only

    assert value("sse-literal-max", None) == value("sse-random", None)
    assert value("sse-literal-max", "single") != value("sse-random", "single")
    assert {record.detail["train_loss"] for record in records} == {records[0].detail["train_loss"]}


@pytest.fixture
def fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a tenth of the photographs' patches: the decoder takes most of the time."""
    load = Photographs.load_strips
    monkeypatch.setattr(
        Photographs,
        "load_strips",
        lambda self, size, seed: Strips(*(part[::10] for part in load(self, size, seed))),
    )


@by_task
@pytest.mark.usefixtures("fewer_images")
def test_a_search_reports_the_validation_loss(task: StandardTask[Any]) -> None:
    search, _ = plan(task, sample_target("SumEncoder"))
    (record,) = load_suite(task.suite).run(shortened(search[0]))
    assert (record.status, record.metric) == (Status.OK, "validation_loss")
    assert record.value == record.detail["validation_loss"]
    assert record.detail["lr"] == task.rates[0]


@by_task
@pytest.mark.usefixtures("fewer_images")
def test_a_doubled_training_reports_the_validation_score_and_its_tolerance(task: StandardTask[Any]) -> None:
    _, cells = plan(task, sample_target("SumEncoder"))
    (record,) = load_suite(task.suite).run(shortened(cells[-1]))
    assert (record.metric, record.higher_is_better) == ("validation_score", task.metric.higher_is_better)
    assert record.value == record.detail["validation_score"]
    assert record.detail["converged_within"] == task.converged_within


@pytest.mark.parametrize("task", [IMAGES, CENTROIDS], ids=lambda task: task.case)
@pytest.mark.usefixtures("fewer_images")
def test_images_and_centroids_are_tested_alike(task: StandardTask[Any]) -> None:
    _, cells = plan(task, sample_target("SumEncoder"))
    records = list(load_suite(task.suite).run(shortened(cells[0])))
    assert all(record.status is Status.OK for record in records)
    assert len(records) == 1 + len(task.other_sizes) + len(STREAM_ORDERS)
    at_size = [r.value for r in records if r.detail["test_size"] == task.settings.train_size]
    assert at_size == pytest.approx([at_size[0]] * 6, abs=2e-3)


def test_a_training_that_diverges_is_an_error() -> None:
    search, _ = plan(POINTS, sample_target("Diverging"))
    (record,) = load_suite("point-clouds").run(shortened(search[0]))
    assert record.status is Status.ERROR
    assert "the loss was" in record.message


def test_every_registered_suite_plans_standard_or_quick() -> None:
    for name in registry.plugins(registry.SUITES):
        suite: Suite = load_suite(name)
        assert "standard" in suite.seconds or "quick" in suite.seconds
