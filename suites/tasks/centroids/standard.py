"""Centroids in the profile `standard`: pairs of digits, of which tests use pairs that training has not seen.

Ten digits saturate: ten encoders are within a point of one another. Each example is therefore two digits side by side,
which gives a hundred classes, and the classes of tests are not those of training. A query is not encoded as a set of
one, of which some encoders (a variance) say nothing: a linear layer maps the encoding of the support into the space of
the features, and the query is its own feature.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from mbcbench.protocol.spec import EncoderSpec

from ...metrics import ACCURACY
from ..digit_splits import split_digits
from ..initialization import PartSeeds, seeded
from ..set_embedding import SetEmbedding
from ..standard import StandardSettings, StandardTask, Validation, encode_in_batches
from .prototypical_network import conv_blocks, negative_squared_distances

CHANNELS = (16, 32, 32)
FEATURES = 64  # two positions, 32 channels each
TRAIN_CLASSES, VALIDATION_CLASSES, TEST_CLASSES = 45, 15, 40  # together all pairs of digits
TRAIN_QUERIES, TEST_QUERIES = 5, 25  # of each class
VALIDATION_DRAWS, TEST_DRAWS = 4, 2  # of supports
VALIDATION_SEED, TEST_SEED = 41, 40  # of supports and queries: the same for every encoder and seed


class PairData(NamedTuple):
    """Half-size digits by class (`10 x count x 14 x 14`) of the three parts, and pairs of digits that are classes."""

    train: Tensor
    validation: Tensor
    test: Tensor
    train_classes: Tensor
    validation_classes: Tensor
    test_classes: Tensor


class Episode(NamedTuple):
    """Supports `C x n x 1 x 14 x 28` and queries `C x Q x 1 x 14 x 28` of some classes."""

    support: Tensor
    queries: Tensor


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

    suite, case, metric = "centroids", "standard-centroids", ACCURACY
    settings = StandardSettings(steps=800, batch_size=8, train_size=10)
    search_steps = 400
    rates = (3e-4, 1e-3, 3e-3, 1e-2)
    other_sizes = (1, 100)
    converged_within = 0.01

    def load(self, seed: int) -> PairData:
        digits = split_digits(seed)
        pairs = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
        classes = torch.split(pairs, [TRAIN_CLASSES, VALIDATION_CLASSES, TEST_CLASSES])
        return PairData(*(avg_pool2d(part.float() / 255, 2) for part in digits), *classes)

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
        episodes = _draw(
            data.train, data.validation, data.validation_classes, VALIDATION_DRAWS, self.settings.train_size,
            VALIDATION_SEED,
        )  # fmt: skip
        supports = torch.cat([_features(model, episode.support) for episode in episodes])
        scores = _scores(model, episodes, encode_in_batches(self.sets_of(model), supports))
        labels = _labels(scores)
        right = scores.argmax(dim=-1) == labels
        return Validation(float(self.loss(scores.flatten(0, 2), labels.flatten())), float(right.float().mean()))

    def test_sets(self, model: nn.Module, data: PairData, size: int) -> tuple[Tensor, Tensor]:
        features = torch.cat([_features(model, episode.support) for episode in self._tests(data)])[:, :size]
        most_spread = features.flatten(0, 1).var(dim=0).argmax()
        return features, features[..., most_spread]

    def outcomes(self, model: nn.Module, data: PairData, vectors: Tensor) -> NDArray[Any]:
        scores = _scores(model, self._tests(data), vectors)
        right: NDArray[Any] = (scores.argmax(dim=-1) == _labels(scores)).flatten().cpu().numpy()
        return right

    def _tests(self, data: PairData) -> list[Episode]:
        """Draw the episodes of the test; the first n examples of a support are the support of size n."""
        return _draw(data.train, data.test, data.test_classes, TEST_DRAWS, max(self.other_sizes), TEST_SEED)


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


def _scores(model: nn.Module, episodes: list[Episode], vectors: Tensor) -> Tensor:
    """Return the scores of the queries of each episode, `E x C x Q x C`, given the vectors of all supports."""
    head: nn.Module = _network(model).head
    centroids = head(vectors).reshape(len(episodes), -1, FEATURES)
    scores = []
    for episode, of_episode in zip(episodes, centroids, strict=True):
        queries = _features(model, episode.queries)
        distances = negative_squared_distances(queries.flatten(0, 1), of_episode)
        scores.append(distances.reshape(*queries.shape[:2], -1))
    return torch.stack(scores)


def _labels(scores: Tensor) -> Tensor:
    """Return the class of each query of `E x C x Q x C`, `E x C x Q`."""
    classes = torch.arange(scores.shape[1], device=scores.device)
    return classes[:, None].expand(scores.shape[:3])


TASK = StandardCentroids()
