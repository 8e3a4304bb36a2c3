"""Examples by class for prototypical networks: episodes for training, supports and queries for tests."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mbcbench.datasets import Split, choose

from .prototypical_network import negative_squared_distances
from .settings import CentroidSettings, DigitCentroidSettings, ExemplarCentroidSettings

SETS_AT_A_TIME = 500  # encoded in tests, to bound their memory
CLASS_SUBSETS = 20  # drawn for each support where fewer ways than classes are tested

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ClassExamples:
    """Examples by class, `C x V x ...`: for training, and pools of supports and queries of the test classes."""

    train: Tensor
    pool: Tensor
    queries: Tensor
    source: str


class Score(NamedTuple):
    """Accuracy, and the fraction of supports with which each query is right (`Q`), or None for subsets of classes."""

    accuracy: float
    of_queries: Tensor | None


def load(settings: CentroidSettings, split: int) -> ClassExamples:
    """Load the data of a cell's settings; `split` as in `DigitDataSet.load_split`."""
    if isinstance(settings, DigitCentroidSettings):
        return _digits(settings, split)
    assert isinstance(settings, ExemplarCentroidSettings)
    return _exemplars(settings)


def _digits(settings: DigitCentroidSettings, split: int) -> ClassExamples:
    """Load digits; supports are drawn from the training images, queries are test images."""
    data = choose("digits", settings.data).load_split(split)
    train, test = by_class(data.train), by_class(data.test)
    return ClassExamples(train, train, test, data.source)


def by_class(split: Split) -> Tensor:
    """Return images in [0, 1] by class, `C x V x 1 x H x W`, as many of each class as the smallest has."""
    images_of_class = [split.images[split.labels == label] for label in np.unique(split.labels)]
    smallest = min(map(len, images_of_class))
    images = np.stack([images[:smallest] for images in images_of_class])
    return torch.from_numpy(images).unsqueeze(2).float() / 255


def _exemplars(settings: ExemplarCentroidSettings) -> ClassExamples:
    """Load features; training does not see the test classes."""
    with torch.random.fork_rng(devices=[]):  # features that are not cached need a network, which draws random weights
        data = choose("exemplars", settings.data).load()
    train, test = (torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in (data.train, data.test))
    pool, queries = test[:, : settings.pool], test[:, settings.pool : settings.pool + settings.queries]
    return ClassExamples(train, pool, queries, data.source)


def episodes(
    train: Tensor, *, ways: int, size: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each step `size` examples of each of `ways` random classes, and the class of each query.

    The second half of a class's examples are its queries.
    """
    labels = torch.arange(ways).repeat_interleave(size // 2)
    for _ in range(steps):
        classes = torch.randperm(len(train), generator=generator)[:ways]
        yield draw_examples(train[classes], size, generator), labels


def draw_examples(pool: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw `size` different examples of each class: `C x V x ...` to `C x size x ...`."""
    indices = torch.rand(pool.shape[:2], generator=generator).argsort(dim=1)[:, :size]
    return pool[torch.arange(len(pool))[:, None], indices]


def accuracies(
    encode: Encode, queries: Tensor, pool: Tensor, *, size: int, ways: Sequence[int], repeats: int, seed: int
) -> dict[int, Score]:
    """Return the score for each number of ways, averaged over `repeats` random supports of `size` examples.

    Parameters
    ----------
    encode
        Maps sets of features `B x n x D` to centroids `B x d`.
    queries
        Encodings of the queries, `C x Q x d`.
    pool
        Features that supports are drawn from, `C x V x D`.
    """
    generator = torch.Generator().manual_seed(seed)
    by_ways: dict[int, list[Tensor]] = {count: [] for count in ways}
    for _ in range(repeats):
        centroids = encode_in_batches(encode, draw_examples(pool, size, generator))
        scores = group_by_class(negative_squared_distances(queries.flatten(0, 1), centroids), queries)
        for count in ways:
            by_ways[count].append(_correct(scores, min(count, len(pool)), generator))
    return {count: _score(torch.stack(correct), count >= len(pool)) for count, correct in by_ways.items()}


def _score(correct: Tensor, all_classes: bool) -> Score:
    """Return the score from the correctness of queries, `repeats x subsets x ways x Q`."""
    shares = correct.float().mean(dim=(0, 1)).flatten() if all_classes else None
    return Score(float(correct.float().mean(dim=(1, 2, 3)).mean()), shares)


def encode_in_batches(encode: Encode, sets: Tensor) -> Tensor:
    """Return the encodings of many sets."""
    return torch.cat([encode(batch) for batch in torch.split(sets, SETS_AT_A_TIME)])


def group_by_class(rows: Tensor, like: Tensor) -> Tensor:
    """Return rows `(C V) x d` as `C x V x d`, where `like` is `C x V x ...`."""
    return rows.reshape(*like.shape[:2], -1)


def _correct(scores: Tensor, ways: int, generator: torch.Generator) -> Tensor:
    """Return whether scores `C x Q x C` classify each query correctly in subsets of classes, `subsets x ways x Q`.

    There is one subset with all classes, or several random subsets.
    """
    classes, scores = len(scores), scores.cpu()
    count = 1 if ways == classes else CLASS_SUBSETS
    subsets = [torch.randperm(classes, generator=generator)[:ways] for _ in range(count)]
    return torch.stack([scores[s][:, :, s].argmax(dim=2) == torch.arange(ways)[:, None] for s in subsets])
