"""Synthetic records that the tests of tables, figures and claims share."""

from typing import Any

import numpy as np

from mbcbench import registry
from mbcbench.records.record import Record, Status
from mbcbench.reporting import Artefact, Report

INFO: dict[str, Any] = {"run": "r", "profile": "thorough"}
CAD_SIZES = (100, 200, 500, 1000)


def artefact(name: str) -> Artefact:
    loaded: Artefact = registry.plugin(registry.ARTEFACTS, name).load()
    return loaded


def writer() -> Report:
    loaded: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    return loaded


def cloud(encoder: str, size: int, seed: int, value: float, **detail: Any) -> Record:
    """Return a record of a point-cloud classifier that was trained and tested on `size` points."""
    slots = {"num_slots": 16} if encoder.startswith("sse") else {}
    values = {"mode": "one piece", "test_size": size, "train_size": size, "steps": 1000, "data": "shapes"} | detail
    return Record(
        suite="point-clouds", case="cad-points", encoder=encoder, status=Status.OK, seed=seed, metric="accuracy",
        value=value, higher_is_better=True, params={"hyper": slots, "train_size": size}, detail=values,
        cell=f"{encoder} {size} {seed}",
    )  # fmt: skip


def clouds(lead: float = 0.05, seeds: int = 6, **detail: Any) -> list[Record]:
    """Return records in which the accuracy of Slot Set Encoders is higher by about `lead`."""
    noise = np.random.default_rng(0)
    levels = {"max": 0.8, "isab-pma": 0.8, "sse-random": 0.8 + lead, "sse-deterministic": 0.8 + lead}
    return [
        cloud(encoder, size, seed, level + 0.002 * noise.normal(), **detail)
        for encoder, level in levels.items()
        for size in CAD_SIZES
        for seed in range(seeds)
    ]


def streams() -> list[Record]:
    """Return records of image completion."""
    noise = np.random.default_rng(1)
    return [
        Record(suite="image-completion", case="patches-64", encoder=encoder, status=Status.OK, seed=seed, metric="nll",
               value=1 - size / 5000 + 0.01 * noise.normal(), higher_is_better=False, params={"hyper": {}},
               detail={"train_size": 1000, "chunk_size": 1000, "test_size": size, "order": "random",
                       "aggregation": "own", "mode": "streamed", "steps": 1000, "plateau": False, "data": "photos"})
        for encoder in ("mean", "pma-block", "mine") for size in (1000, 2000, 4000) for seed in range(3)
    ]  # fmt: skip
