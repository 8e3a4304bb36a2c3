"""Examples by class, for prototypical networks: episodes to train on, support sets and queries to test on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbcbench.datasets import Split, choose

from .prototypes import negative_squared_distances

BATCH = 500  # sets encoded at a time in a test
SUBSETS = 20  # of the classes, drawn for each support set where fewer ways than classes are tested

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Classes:
    """Examples to train on (`C x V x ...`), and of the classes tested on a pool of supports, and queries."""

    train: Tensor
    pool: Tensor
    queries: Tensor
    source: str


def load(case: str, p: Mapping[str, Any]) -> Classes:
    """The classes of a case, as the parameters of its cell say."""
    return _digits(p) if case == "mnist-centroids" else _exemplars(p)


def _digits(p: Mapping[str, Any]) -> Classes:
    """Digits; the supports are drawn from those that are trained on, and the queries are not."""
    data = choose("digits", p["data"]).load()
    train, test = by_class(data.train), by_class(data.test)
    return Classes(train, train, test, data.source)


def by_class(split: Split) -> Tensor:
    """Images in [0, 1] by class, `C x V x 1 x H x W`; V is the size of the smallest class."""
    rows = [split.images[split.labels == label] for label in np.unique(split.labels)]
    smallest = min(map(len, rows))
    return torch.from_numpy(np.stack([row[:smallest] for row in rows])).unsqueeze(2).float() / 255


def _exemplars(p: Mapping[str, Any]) -> Classes:
    """Features of classes that training does not see."""
    data = choose("exemplars", p["data"]).load()
    train, test = (torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in (data.train, data.test))
    pool, queries = test[:, : p["pool"]], test[:, p["pool"] : p["pool"] + p["queries"]]
    return Classes(train, pool, queries, data.source)


def episodes(
    train: Tensor, *, ways: int, size: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each step `size` examples each of so many classes, and the class of each query, half of them."""
    labels = torch.arange(ways).repeat_interleave(size // 2)
    for _ in range(steps):
        classes = torch.randperm(len(train), generator=generator)[:ways]
        yield draw(train[classes], size, generator), labels


def draw(pool: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """`size` different examples of each class, `C x V x ...` to `C x size x ...`."""
    chosen = torch.rand(pool.shape[:2], generator=generator).argsort(dim=1)[:, :size]
    return pool[torch.arange(len(pool))[:, None], chosen]


def accuracies(
    encode: Encode, queries: Tensor, pool: Tensor, *, size: int, ways: Sequence[int], repeats: int, seed: int
) -> dict[int, float]:
    """The accuracy for each number of ways, with supports of `size` examples, over so many draws of them.

    encode: sets of features to vectors. queries: the encodings of the queries, `C x Q x d`. pool: `C x V x D`.
    """
    generator = torch.Generator().manual_seed(seed)
    right: dict[int, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        centroids = in_batches(encode, draw(pool, size, generator))
        scores = grouped(negative_squared_distances(queries.flatten(0, 1), centroids), queries)
        for way in ways:
            right[way].append(_accuracy(scores, min(way, len(pool)), generator))
    return {way: sum(found) / len(found) for way, found in right.items()}


def in_batches(encode: Encode, sets: Tensor) -> Tensor:
    """The encodings of many sets."""
    return torch.cat([encode(part) for part in torch.split(sets, BATCH)])


def grouped(rows: Tensor, like: Tensor) -> Tensor:
    """Rows `(C V) x d` by class, as `like` is (`C x V x ...`)."""
    return rows.reshape(*like.shape[:2], -1)


def _accuracy(scores: Tensor, way: int, generator: torch.Generator) -> float:
    """The accuracy of scores `C x Q x C` among all classes, or among random subsets of them."""
    classes, scores = len(scores), scores.cpu()
    subsets = [torch.randperm(classes, generator=generator)[:way] for _ in range(1 if way == classes else SUBSETS)]
    right = [scores[s][:, :, s].argmax(dim=2) == torch.arange(way)[:, None] for s in subsets]
    return float(torch.stack(right).float().mean())
