"""Settings on both sides of a process, and the random state of cells."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mbcbench.records.cell import Cell
from mbcbench.suites.tasks.centroids import episodes
from mbcbench.suites.tasks.centroids import settings as centroid_settings
from mbcbench.suites.tasks.centroids import suite as centroids
from mbcbench.suites.tasks.image_completion import settings as completion_settings
from mbcbench.suites.tasks.point_clouds import suite as point_clouds
from mbcbench.suites.training_cells import TrainingSettings
from tests.suites import fakes
from tests.suites.helpers import sample_cells

pytestmark = pytest.mark.usefixtures("fake_data")

SETTINGS_OF: dict[str, Callable[[Cell], TrainingSettings]] = {
    "point-clouds": point_clouds.settings_of,
    "centroids": centroids.settings_of,
    "image-completion": lambda cell: completion_settings.CompletionSettings(**cell.params),
}


@pytest.mark.parametrize("suite", SETTINGS_OF)
def test_settings_are_the_same_after_a_journey_as_json(suite: str) -> None:
    for cell in sample_cells(suite, "SumEncoder", profile="thorough"):
        settings = SETTINGS_OF[suite](cell)
        assert SETTINGS_OF[suite](replace(cell, params=json.loads(json.dumps(cell.params)))) == settings


def test_the_number_of_seeds_is_not_a_parameter_of_a_cell() -> None:
    assert "seeds" not in sample_cells("point-clouds", "SumEncoder")[0].params


def test_making_exemplars_leaves_the_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        torch.rand(1)  # as the weights of the network that makes the features
        return fakes.exemplars()

    monkeypatch.setattr(episodes, "choose", lambda content, choice: fakes.FakeDataSet(load))
    before = torch.get_rng_state()
    episodes.load(centroid_settings.ExemplarCentroidSettings(steps=1), 0)
    assert torch.equal(before, torch.get_rng_state())
