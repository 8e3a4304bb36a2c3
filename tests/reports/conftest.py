"""Records of a synthetic run with six encoders: one fails a law, one crashes, one hangs and lacks a seed."""

import random
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Report

LAWS = (
    *("mbc.partition", "mbc.order", "mbc.merge", "mbc.empty"),
    *("symmetry.permutation", "symmetry.slots", "symmetry.batch"),
    *("hygiene.determinism", "hygiene.inputs"),
)
SEEDS = (0, 1, 2)
SIZES = (50, 100, 200, 500, 1000)
ENCODERS = ("sse-random", "deepsets-mean", "set-transformer", "leaky", "crashing", "hanging")
COUNTEREXAMPLE = """mbc.partition is broken: mean of chunk means
  set        n = 3, d = 1:  [[0.0], [0.0], [1.0]]
  partition  chunks of 1 and 2
  gap        0.1667, bound 3.1e-15 (float64, seed 0)"""
SNIPPET = "import mbcbench\nencoder = mbcbench.build('leaky', dim_in=1)\nassert 1 < 2  # <b>not markup</b>"


def probe(encoder: str, status: Status = Status.OK, message: str = "") -> Record:
    detail = {
        "summary": f"{encoder} & friends",
        "paper": "https://arxiv.org/abs/2110.01536",
        "streaming": encoder != "set-transformer",
        "parameters": 4096,
    }
    return Record(
        suite="probe",
        case="build",
        encoder=encoder,
        status=status,
        message=message,
        detail=detail if not message else {},
    )


def law(encoder: str, case: str) -> Record:
    status, gap, message, detail = Status.PASS, 4.4e-16, "", {"bound": 3.1e-15, "examples": 100}
    broken: dict[str, Any] = {
        "counterexample": {"n": 3, "sizes": [1, 2], "seed": 0},
        "text": COUNTEREXAMPLE,
        "reproduce": SNIPPET,
    }
    if case == "symmetry.slots" and encoder != "sse-random":
        status, message, detail = Status.SKIP, "the encoder has no slots", {}
    elif encoder == "set-transformer" and case.startswith("mbc."):
        status, gap, message = Status.XFAIL, 0.23, "attention within a chunk does not see the others"
        detail = {**detail, **broken}
    elif encoder == "leaky" and case == "mbc.partition":
        status, gap, message = Status.FAIL, 1 / 6, "<script>alert('counterexample')</script>"
        detail = {**detail, **broken}
    elif encoder == "leaky" and case == "symmetry.batch":
        status, message = Status.XPASS, "said to be broken, and no counterexample was found in 100 examples"
    elif encoder == "hanging" and case == "mbc.merge":
        status, message, detail = Status.TIMEOUT, "took longer than its limit of 60 s", {}
    value = gap if status in (Status.PASS, Status.FAIL, Status.XFAIL, Status.XPASS) else None
    return Record(
        suite="laws", case=case, encoder=encoder, status=status, dtype="float64", metric="gap", value=value,
        unit="max-norm", higher_is_better=False, seconds=0.4, message=message, detail=detail,
    )  # fmt: skip


def accuracies(encoder: str, level: float, seed: int) -> Iterator[Record]:
    noise = random.Random(f"{encoder} {seed}")
    for size in SIZES:
        offset = noise.uniform(-0.01, 0.01) - 0.15 * (100 / size) ** 2 * (size < 100)
        for mode in ("one piece", "streamed"):
            loss = 0.3 * (size / 1000) if mode == "streamed" and encoder == "set-transformer" else 0.0
            detail = {"test_size": size, "mode": mode, "chunk_size": 100, "train_size": 100}
            yield Record(
                suite="point-clouds", case="mnist-points", encoder=encoder, status=Status.OK, seed=seed,
                metric="accuracy", value=level + offset - loss, higher_is_better=True, seconds=9.0, detail=detail,
            )  # fmt: skip


def costs(encoder: str, speed: float) -> Iterator[Record]:
    for n in (1_000, 10_000):
        for mode in ("one piece", "streamed"):
            memory = 2.0**20 if mode == "streamed" else n * 2048.0
            figures = {"throughput": (speed, "elements/s", True), "peak_memory": (memory, "bytes", False)}
            figures |= {"state_size": (2052.0, "bytes", False), "parameters": (16_896.0, "", False)}
            for metric, (value, unit, better) in figures.items():
                yield Record(
                    suite="resources", case="encode", encoder=encoder, status=Status.OK, metric=metric, value=value,
                    unit=unit, higher_is_better=better, seconds=1.0, detail={"n": n, "mode": mode},
                )  # fmt: skip


def whole(encoder: str, level: float, speed: float) -> Iterator[Record]:
    yield probe(encoder)
    yield from (law(encoder, case) for case in LAWS)
    for seed in SEEDS:
        yield from accuracies(encoder, level, seed)
    yield from costs(encoder, speed)


def crashing() -> Iterator[Record]:
    message = "its process ended with signal 11 (SIGSEGV)"
    yield probe("crashing", Status.CRASH, message)
    cells = [("laws", case, 0) for case in LAWS] + [("resources", "encode", 0)]
    for suite, case, seed in [*cells, *(("point-clouds", "mnist-points", seed) for seed in SEEDS)]:
        since = f"not run, since probe build broke: {message}"
        yield Record(suite=suite, case=case, encoder="crashing", status=Status.CRASH, seed=seed, message=since)


def hanging() -> Iterator[Record]:
    """Yield the records of an encoder that lacks one seed, one law and all resources."""
    yield probe("hanging")
    yield from (law("hanging", case) for case in LAWS[:-1])
    for seed in SEEDS[:2]:
        yield from accuracies("hanging", 0.95, seed)
    late = "took longer than its limit of 60 s"
    yield Record(
        suite="point-clouds", case="mnist-points", encoder="hanging", status=Status.TIMEOUT, seed=2, message=late
    )


def example_records() -> list[Record]:
    records = [*whole("sse-random", 0.91, 2.1e6), *whole("deepsets-mean", 0.88, 5.2e6)]
    records += [*whole("set-transformer", 0.93, 3.4e5), *whole("leaky", 0.80, 4.1e6)]
    return [*records, *crashing(), *hanging()]


@pytest.fixture(scope="session")
def records() -> pd.DataFrame:
    return frame(example_records())


@pytest.fixture(scope="session")
def leaky_records(records: pd.DataFrame) -> pd.DataFrame:
    """Return the records of one encoder: all suites, with a law that fails."""
    return records[records["encoder"] == "leaky"]


@pytest.fixture(scope="session")
def info() -> dict[str, Any]:
    return {
        "schema": 1, "run": "20261124-101112-quick", "created": "2026-11-24T10:11:12+00:00", "profile": "quick",
        "seed": 0, "argv": ["mbcbench", "run"], "commit": "c07caf5e0e6b", "threads": 1, "encoders": list(ENCODERS),
        "versions": {"mbcbench": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "hardware": {"cpu": "Example CPU @ 2.50GHz", "cores": 2, "memory_bytes": 8 * 2**30},
    }  # fmt: skip


@pytest.fixture(scope="session")
def report() -> Report:
    loaded = registry.plugin(registry.REPORTS, "leaderboard").load()
    assert isinstance(loaded, Report)
    return loaded
