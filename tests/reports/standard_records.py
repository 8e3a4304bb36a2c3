"""Synthetic records of the profile `standard`: twelve encoders of known strengths, and seven that are special."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mbcbench.records.outcomes import pack
from mbcbench.records.record import Record, Status, frame
from tests.reports.conftest import costs, law, probe

SEEDS = (0, 1, 2, 3, 4)
ORDERS = ("random", "single", "sorted", "uneven", "one-and-rest")
LAWS = ("mbc.partition", "mbc.order", "symmetry.permutation", "hygiene.determinism", "substance.elements")
ITEMS = 400


@dataclass(frozen=True)
class Setting:
    """A task: its suite, metric, sizes, the score of the best encoder, and its loss for each place behind that."""

    suite: str
    case: str
    metric: str
    train_size: int
    others: tuple[int, ...]
    best: float
    step: float
    chance: float


TASKS = (
    Setting("point-clouds", "standard-points", "accuracy", 100, (500,), 0.94, -0.012, 0.1),
    Setting("image-completion", "standard-images", "nll", 200, (800,), -0.05, 0.012, 0.23),
    Setting("centroids", "standard-centroids", "accuracy", 10, (1, 100), 0.90, -0.015, 0.05),
)


@dataclass(frozen=True)
class Encoder:
    """A synthetic encoder: its place in one piece, and by how much an order of the stream changes its score."""

    name: str
    place: float
    collapses: dict[str, float] = field(default_factory=dict)
    deliberately_wrong: bool = False
    gain: float = 0.001  # by twice the steps
    at_chance: bool = False
    lacking: tuple[str, int] | None = None  # case and seed
    summary: str = "a synthetic encoder"


CONSISTENT = (
    *("sse-random", "deepsets-max", "moments", "perceiver", "pma", "umbc", "mean", "max"),
    *("deepsets-mean", "attention-pooling", "top-k", "variance"),
)
ENCODERS = (
    *(Encoder(name, place) for place, name in enumerate(CONSISTENT)),
    Encoder("set-transformer", -1, {"random": 0.1, "single": 0.7, "sorted": 0.5, "uneven": 0.4, "one-and-rest": 0.2}),
    Encoder("fspool", 0.5, {"sorted": 0.75}),
    Encoder("sse-mean-of-chunk-means", -2, {"uneven": 0.3, "one-and-rest": 0.5}, deliberately_wrong=True),
    Encoder("slot-attention", 4.5, {"single": 0.05}, gain=0.04),
    Encoder("janossy", 0, at_chance=True),
    Encoder("isab-pma", 2.5, {"sorted": 0.2}, lacking=("standard-images", 3)),
)


def standard_frame(encoders: Sequence[Encoder] = ENCODERS, *, outcomes: bool = True) -> pd.DataFrame:
    """Return the records of all encoders: probes, laws, costs, and tests of trained models."""
    return frame([record for encoder in encoders for record in records_of(encoder, outcomes=outcomes)])


def records_of(encoder: Encoder, *, outcomes: bool = True) -> Iterator[Record]:
    record = probe(encoder.name)
    detail = {**record.detail, "deliberately_wrong": encoder.deliberately_wrong, "summary": encoder.summary}
    yield Record(**{**vars(record), "detail": detail})
    yield from (_law(encoder, case) for case in LAWS)
    yield from costs(encoder.name, 2.1e6 / (1 + abs(encoder.place)))
    for task in TASKS:
        yield from _searches(encoder, task)
        for seed in SEEDS:
            if encoder.lacking != (task.case, seed):
                yield from _tests(encoder, task, seed, outcomes=outcomes)
        yield _doubled(encoder, task)


def _law(encoder: Encoder, case: str) -> Record:
    record = law(encoder.name if not encoder.collapses else "set-transformer", case)
    return Record(**{**vars(record), "encoder": encoder.name})


def _generator(*key: object) -> np.random.Generator:
    return np.random.default_rng(np.frombuffer(repr(key).encode(), np.uint8))


def _final(encoder: Encoder, task: Setting, seed: int) -> float:
    """Return the score in one piece: its level, an effect of the seed that all encoders share, and noise."""
    shared = _generator(task.case, seed).normal(scale=0.01)
    noise = _generator(encoder.name, task.case, seed).normal(scale=0.01)
    level = task.chance if encoder.at_chance else task.best + task.step * encoder.place
    return float(level + shared + noise)


def _tests(encoder: Encoder, task: Setting, seed: int, *, outcomes: bool) -> Iterator[Record]:
    score = _final(encoder, task, seed)
    sign = np.sign(task.step)
    for size in (task.train_size, *task.others):
        gain = -sign * 0.02 * np.log10(size / task.train_size)
        yield _score(encoder, task, seed, score + gain, {"mode": "one piece", "test_size": size}, outcomes)
    for order in ORDERS:
        loss = 0.0 if encoder.at_chance else encoder.collapses.get(order, 0.0)
        test = {"mode": "streamed", "test_size": task.train_size, "order": order, "chunk_size": task.train_size // 4}
        yield _score(encoder, task, seed, score + sign * loss, test, outcomes)


def _score(encoder: Encoder, task: Setting, seed: int, value: float, test: dict[str, Any], outcomes: bool) -> Record:
    detail = {**test, **_training(encoder, task, seed)}
    if outcomes:
        luck = _generator(task.case, seed, "items").random(ITEMS)
        detail["outcomes"] = pack(luck < value if task.metric == "accuracy" else value + 0.3 * (luck - 0.5))
    return Record(
        suite=task.suite, case=task.case, encoder=encoder.name, status=Status.OK, seed=seed, metric=task.metric,
        value=value, higher_is_better=task.metric == "accuracy", params={"hyper": {}, "role": "final"}, detail=detail,
    )  # fmt: skip


def _training(encoder: Encoder, task: Setting, seed: int) -> dict[str, Any]:
    baseline = 2.3 if task.metric == "accuracy" else 0.23
    return {
        "data": "synthetic", "train_size": task.train_size, "lr": 1e-3, "parameters": 20_000, "steps": 2000,
        "train_seconds": 30.0, "train_loss": baseline if encoder.at_chance else baseline - 1.5,
        "train_baseline": baseline, "validation_loss": 0.3, "validation_score": _final(encoder, task, seed),
    }  # fmt: skip


def _searches(encoder: Encoder, task: Setting) -> Iterator[Record]:
    for lr in (1e-3, 3e-3):
        yield Record(
            suite=task.suite, case=task.case, encoder=encoder.name, status=Status.OK, seed=1000,
            metric="validation_loss", value=0.3 + lr, higher_is_better=False,
            params={"hyper": {}, "role": "search", "lr": lr}, detail={"train_size": task.train_size},
        )  # fmt: skip


def _doubled(encoder: Encoder, task: Setting) -> Record:
    value = _final(encoder, task, 0) - np.sign(task.step) * encoder.gain
    return Record(
        suite=task.suite, case=task.case, encoder=encoder.name, status=Status.OK, seed=0, metric="validation_score",
        value=float(value), higher_is_better=task.metric == "accuracy", params={"hyper": {}, "role": "doubled"},
        detail={"train_size": task.train_size, "converged_within": 0.01},
    )  # fmt: skip
