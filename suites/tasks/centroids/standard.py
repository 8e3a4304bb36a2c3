"""Centroids in the profile `standard`: classify pairs of digits; tests use pairs that training has not seen.

Single digits saturate: ten encoders are within one point of each other. Each example therefore shows two digits side by
side, which gives a hundred classes, and the test classes differ from those of training. A query is not encoded as a set
of one element, which is meaningless for some encoders (a variance): a linear layer maps the encoding of the support
into the space of the features, and a query is represented by its feature.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from mbcbench.datasets import MNIST_5K
from mbcbench.protocol.spec import EncoderSpec

from ...metrics import ACCURACY
from ..digit_splits import split_digits
from ..initialization import PartSeeds, seeded
from ..set_embedding import SetEmbedding
from ..standard.task import StandardSettings, StandardTask, Test, Validation
from ..standard.training import encode_in_batches
from .prototypical_network import conv_blocks, negative_squared_distances

CHANNELS = (16, 32, 32)
FEATURES = 64  # two positions, 32 channels each
TRAIN_CLASSES, VALIDATION_CLASSES, TEST_CLASSES = 45, 15, 40  # all pairs of digits together
TRAIN_QUERIES, TEST_QUERIES = 5, 25  # of each class
VALIDATION_DRAWS, TEST_DRAWS = 4, 2  # of supports
VALIDATION_SEED, TEST_SEED = 41, 40  # of supports and queries: the same for every encoder and seed


class Episode(NamedTuple):
    """Supports `C x n x 1 x 14 x 28` and queries `C x Q x 1 x 14 x 28` of some classes."""

    support: Tensor
    queries: Tensor


class PairData(NamedTuple):
    """Half-size training digits (`10 x count x 14 x 14`), episodes, and the pairs of digits that are classes."""

    train: Tensor
    validations: list[Episode]
    tests: list[Episode]
    train_classes: Tensor
    validation_classes: Tensor
    test_classes: Tensor


class PairNetwork(nn.Module):
    """Scores queries by the distance of their features to centroids: linear images of the encodings of supports."""

    def __init__(self, spec: EncoderSpec, seed: int) -> None:
        super().__init__()
        seeds = PartSeeds.spawn(seed)
        with seeded(seeds.element):
            pool = nn.AdaptiveAvgPool2d((1, 2))  # the left and the right digit
            backbone = nn.Sequential(*conv_blocks(CHANNELS), pool, nn.Flatten())
        self.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.sets = SetEmbedding(spec, nn.Identity(), dim_in=FEATURES, width=FEATURES, seed=seeds.encoder)
        with seeded(seeds.head):
            self.head = nn.Sequential(nn.LayerNorm(self.sets.features), nn.Linear(self.sets.features, FEATURES))

    def forward(self, episode: tuple[Tensor, Tensor]) -> Tensor:
        """Return the scores of queries, `(C Q) x C`."""
        support, queries = episode
        centroids: Tensor = self.head(self.sets.encode(self.features_of(support)))
        return negative_squared_distances(self.features_of(queries).flatten(0, 1), centroids)

    def features_of(self, examples: Tensor) -> Tensor:
        """Return the features `C x n x 64` of examples `C x n x 1 x 14 x 28`."""
        images = examples.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone(images)
        return features.reshape(*examples.shape[:2], -1)


class StandardCentroids(StandardTask[PairData]):
    """Classify pairs of digits by the nearest centroid: 40 classes that training has not seen."""

    suite, case, metric, dataset = "centroids", "standard-centroids", ACCURACY, MNIST_5K
    settings = StandardSettings(steps=800, batch_size=8, train_size=10)
    search_steps = 400
    rates = (3e-4, 1e-3, 3e-3, 1e-2)
    other_sizes = (1, 100)
    converged_within = 0.01

    def load(self, seed: int) -> PairData:
        train, validation, test = (avg_pool2d(part.float() / 255, 2) for part in split_digits(seed))
        pairs = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
        classes = torch.split(pairs, [TRAIN_CLASSES, VALIDATION_CLASSES, TEST_CLASSES])
        size, largest = self.settings.train_size, max(self.other_sizes)
        return PairData(
            train,
            _draw(train, validation, classes[1], VALIDATION_DRAWS, size, VALIDATION_SEED),
            _draw(train, test, classes[2], TEST_DRAWS, largest, TEST_SEED),
            *classes,
        )

    def build(self, spec: EncoderSpec, seed: int) -> PairNetwork:
        return PairNetwork(spec, seed)

    def sets_of(self, model: nn.Module) -> SetEmbedding:
        return _network(model).sets

    def batches(
        self, data: PairData, settings: StandardSettings, seed: int
    ) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(settings.batch_size).repeat_interleave(TRAIN_QUERIES)
        for _ in range(settings.steps):
            chosen = torch.randperm(len(data.train_classes), generator=generator)[: settings.batch_size]
            count = settings.train_size + TRAIN_QUERIES
            examples = draw_pairs(data.train, data.train_classes[chosen], count, generator)
            yield (examples[:, : settings.train_size], examples[:, settings.train_size :]), labels

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, y)

    def baseline(self, data: PairData) -> float:
        return math.log(self.settings.batch_size)

    def validate(self, model: nn.Module, data: PairData) -> Validation:
        vectors = encode_in_batches(self.sets_of(model), _support_features(model, data.validations))
        queries = [_features(model, episode.queries) for episode in data.validations]
        scores = _scores(model, queries, vectors)
        labels = _labels(scores)
        right = scores.argmax(dim=-1) == labels
        return Validation(float(self.loss(scores.flatten(0, 2), labels.flatten())), float(right.float().mean()))

    def test(self, model: nn.Module, data: PairData) -> Test:
        features = _support_features(model, data.tests)
        as_trained = features[:, : self.settings.train_size]
        most_spread = as_trained.flatten(0, 1).var(dim=0).argmax()
        queries = [_features(model, episode.queries) for episode in data.tests]
        return Test(features, as_trained[..., most_spread], partial(_outcomes, model, queries))


def _outcomes(model: nn.Module, queries: list[Tensor], vectors: Tensor) -> NDArray[Any]:
    scores = _scores(model, queries, vectors)
    right: NDArray[Any] = (scores.argmax(dim=-1) == _labels(scores)).flatten().cpu().numpy()
    return right


def draw_pairs(digits: Tensor, classes: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` examples of each class, `C x count x 1 x 14 x 28`; class 37 shows a 3 and a 7."""
    sides = []
    for digit in (classes // 10, classes % 10):
        chosen = torch.randint(digits.shape[1], (len(classes), count), generator=generator)
        sides.append(digits[digit[:, None], chosen])
    return torch.cat(sides, dim=-1).unsqueeze(2)


def _draw(support: Tensor, queries: Tensor, classes: Tensor, draws: int, size: int, seed: int) -> list[Episode]:
    """Draw episodes of all classes; supports and queries show different digits."""
    generator = torch.Generator().manual_seed(seed)
    return [
        Episode(
            draw_pairs(support, classes, size, generator), draw_pairs(queries, classes, TEST_QUERIES, generator)
        )
        for _ in range(draws)
    ]  # fmt: skip


def _network(model: nn.Module) -> PairNetwork:
    assert isinstance(model, PairNetwork)
    return model


def _features(model: nn.Module, examples: Tensor) -> Tensor:
    return _network(model).features_of(examples.to(next(model.parameters()).device))


def _support_features(model: nn.Module, episodes: list[Episode]) -> Tensor:
    return torch.cat([_features(model, episode.support) for episode in episodes])


def _scores(model: nn.Module, queries: list[Tensor], vectors: Tensor) -> Tensor:
    """Return the scores `E x C x Q x C` of the features of the queries of each episode, given the supports' vectors."""
    head: nn.Module = _network(model).head
    centroids = head(vectors).reshape(len(queries), -1, FEATURES)
    scores = []
    for features, of_episode in zip(queries, centroids, strict=True):
        distances = negative_squared_distances(features.flatten(0, 1), of_episode)
        scores.append(distances.reshape(*features.shape[:2], -1))
    return torch.stack(scores)


def _labels(scores: Tensor) -> Tensor:
    """Return the class of each query of `E x C x Q x C`, `E x C x Q`."""
    classes = torch.arange(scores.shape[1], device=scores.device)
    return classes[:, None].expand(scores.shape[:3])


TASK = StandardCentroids()
