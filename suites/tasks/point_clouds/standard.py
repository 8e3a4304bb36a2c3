"""Point clouds in the profile `standard`: digits, trained on new points at every step."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from ...metrics import ACCURACY
from ...training import device_of, to_device
from ..classifier import SetClassifier
from ..digit_splits import split_digits
from ..set_embedding import SetEmbedding
from ..standard import StandardSettings, StandardTask, Validation, encode_in_batches
from .sampling import LabelledClouds, PointSampler, fixed_clouds

WIDTH, CLASSES = 64, 10
VALIDATION_DRAWS, TEST_DRAWS = 4, 2  # clouds of a digit
VALIDATION_SEED, TEST_SEED = 21, 20  # of the points: the same for every encoder and seed


class PointData(NamedTuple):
    """Sampler and labels of the training digits, and fixed clouds for validation and tests."""

    sampler: PointSampler
    labels: Tensor
    validation: LabelledClouds
    test: LabelledClouds


class StandardPoints(StandardTask[PointData]):
    """Classify digits as clouds of 100 points."""

    suite, case, metric = "point-clouds", "standard-points", ACCURACY
    settings = StandardSettings(steps=4000, batch_size=32, train_size=100)
    search_steps = 2000
    rates = (3e-4, 1e-3, 3e-3, 1e-2)
    other_sizes = (500,)
    converged_within = 0.01

    def load(self, seed: int) -> PointData:
        digits = split_digits(seed)
        size, largest = self.settings.train_size, max(self.other_sizes)
        return PointData(
            PointSampler(digits.train.flatten(0, 1)),
            _labels(digits.train),
            _clouds(digits.validation, VALIDATION_DRAWS, size, VALIDATION_SEED),
            _clouds(digits.test, TEST_DRAWS, largest, TEST_SEED),
        )

    def build(self, spec: EncoderSpec, seed: int) -> SetClassifier:
        return SetClassifier(spec, dim_in=2, width=WIDTH, outputs=CLASSES, seed=seed)

    def sets_of(self, model: nn.Module) -> SetEmbedding:
        assert isinstance(model, SetClassifier)
        return model

    def batches(self, data: PointData, settings: StandardSettings, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(settings.steps):
            indices = torch.randint(len(data.labels), (settings.batch_size,), generator=generator)
            yield data.sampler.draw(indices, settings.train_size, generator), data.labels[indices]

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, y)

    def baseline(self, data: PointData) -> float:
        return math.log(CLASSES)

    def validate(self, model: nn.Module, data: PointData) -> Validation:
        points, labels = to_device(device_of(model), tuple(data.validation))
        scores = _head(model)(encode_in_batches(self.sets_of(model), points))
        right = scores.argmax(dim=1) == labels
        return Validation(float(self.loss(scores, labels)), float(right.float().mean()))

    def test_sets(self, model: nn.Module, data: PointData, size: int) -> tuple[Tensor, Tensor]:
        points = data.test.points[:, :size]
        return points, points[..., 1]  # from top to bottom

    def outcomes(self, model: nn.Module, data: PointData, vectors: Tensor) -> NDArray[Any]:
        right: NDArray[Any] = (_head(model)(vectors).argmax(dim=1).cpu() == data.test.labels).numpy()
        return right


def _head(model: nn.Module) -> nn.Module:
    assert isinstance(model, SetClassifier)
    return model.head


def _labels(images: Tensor) -> Tensor:
    """Return the class of each image of `C x count x H x W`, flattened."""
    return torch.arange(len(images)).repeat_interleave(images.shape[1])


def _clouds(images: Tensor, draws: int, n: int, seed: int) -> LabelledClouds:
    """Draw several clouds of `n` points from each image of `C x count x H x W`."""
    repeated = images.flatten(0, 1).repeat(draws, 1, 1)
    return fixed_clouds(repeated, _labels(images).repeat(draws), n, seed)


TASK = StandardPoints()
