"""Settings on both sides of a process, and the random state of cells."""

import json
from typing import Any

import pytest
import torch

from mbcbench.suites.tasks.centroids import episodes
from mbcbench.suites.tasks.centroids import settings as centroid_settings
from mbcbench.suites.tasks.centroids import suite as centroids
from mbcbench.suites.tasks.image_completion import settings as completion_settings
from mbcbench.suites.tasks.point_clouds import suite as point_clouds
from tests.suites import fakes
from tests.suites.helpers import sample_cells

pytestmark = pytest.mark.usefixtures("fake_data")

SETTINGS: dict[str, type] = {
    **point_clouds.SETTINGS,
    **centroids.SETTINGS,
    "patches-32": completion_settings.CompletionSettings,
}


@pytest.mark.parametrize("suite", ["image-completion", "point-clouds", "centroids"])
def test_settings_are_the_same_after_a_journey_as_json(suite: str) -> None:
    for cell in sample_cells(suite, "SumEncoder", profile="thorough"):
        settings = SETTINGS[cell.case](**cell.params)
        assert SETTINGS[cell.case](**json.loads(json.dumps(cell.params))) == settings


def test_the_number_of_seeds_is_not_a_parameter_of_a_cell() -> None:
    assert "seeds" not in sample_cells("point-clouds", "SumEncoder")[0].params


def test_making_exemplars_leaves_the_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        torch.rand(1)  # as the weights of the network that makes the features
        return fakes.exemplars()

    monkeypatch.setattr(episodes, "choose", lambda content, choice: fakes.FakeDataSet(load))
    before = torch.get_rng_state()
    episodes.load(centroid_settings.ExemplarCentroidSettings(steps=1))
    assert torch.equal(before, torch.get_rng_state())
