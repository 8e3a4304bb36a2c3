"""Small data sets from which something can be learned, in place of the real ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mbcbench.datasets import Clouds, Exemplars, Patches
from mbcbench.suites import training_cells
from mbcbench.suites.tasks.centroids import episodes
from mbcbench.suites.tasks.image_completion import suite as image_completion
from mbcbench.suites.tasks.point_clouds import data as cloud_data


def patches(size: int) -> Patches:
    """Return images with two halves of different colours, the same in all images."""
    images = np.full((60, 3, size, size), 40, dtype=np.uint8)
    images[:, 0, :, size // 2 :] = 220
    images[:, 1] += np.random.default_rng(0).integers(0, 20, (60, size, size), dtype=np.uint8)
    return Patches(images[:50], images[50:], "fake", "fake patches")


def clouds(points: int = 2000) -> Clouds:
    """Return clouds of three classes, each stretched along another axis."""
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    x = rng.normal(size=(30, points, 3)).astype(np.float32)
    x[np.arange(30), :, labels] *= 4
    return Clouds(x[:24], labels[:24], x[24:], labels[24:], ["a", "b", "c"], "fake", "fake clouds")


def exemplars() -> Exemplars:
    """Return views that are close to the centre of their class."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(50, 1, 8)) + 0.1 * rng.normal(size=(50, 14, 8))).astype(np.float16)
    return Exemplars(x[:25], x[25:], "fake", "fake exemplars")


class FakeDataSet:
    """A data set in place of one that `choose` returns."""

    name, sha256, additional = "fake", "0" * 64, False

    def __init__(self, load: Callable[..., Any]) -> None:
        self.load = load

    def load_split(self, size: int, split: int) -> Any:
        """Return the data, which have one split only. size: of images, or points of a cloud."""
        return self.load(size)


def replace_data_sets(patch: pytest.MonkeyPatch) -> None:
    """Make the suites choose fake data sets; digits stay real."""
    fakes = {"patches": FakeDataSet(patches), "clouds": FakeDataSet(clouds), "exemplars": FakeDataSet(exemplars)}
    for module in (training_cells, image_completion, cloud_data, episodes):
        patch.setattr(
            module, "choose", lambda content, choice, real=module.choose: fakes.get(content) or real(content, choice)
        )
