"""The report of experiments: means, intervals, and what is missing or undecided."""

from typing import Any

import pytest

from mbcbench import registry
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Report
from tests.reports.test_leaderboard import printed


@pytest.fixture(scope="module")
def experiments() -> Report:
    loaded = registry.plugin(registry.REPORTS, "experiments").load()
    assert isinstance(loaded, Report)
    return loaded


def nll(cell: str, encoder: str, seed: int, size: int, value: float, **more: Any) -> Record:
    detail = {"mode": "one piece", "test_size": size, "chunk_size": size, "train_size": 200, **more}
    return Record(
        suite="image-completion", case="patches-32", encoder=encoder, status=Status.OK, seed=seed, cell=cell,
        metric="nll", value=value, detail=detail, params={"hyper": {"num_slots": 32} if encoder == "sse" else {}},
    )  # fmt: skip


RECORDS = [
    *(nll(f"a{seed}", "sse", seed, size, 0.2 + seed / 10) for seed in (0, 1) for size in (200, 400)),
    *(nll(f"b{seed}", "pma", seed, size, 0.3, plateau=seed == 0) for seed in (0, 1) for size in (200, 400)),
    nll("c0", "lost", 0, 200, 0.1),
    Record(suite="image-completion", case="patches-32", encoder="lost", status=Status.OOM, seed=1, cell="c1"),
    Record(suite="image-completion", case="patches-32", encoder="gone", status=Status.CRASH, seed=0, cell="d0"),
    nll("x0", "elsewhere", 0, 200, 9.0),
]
EXPERIMENT = {
    "title": "Sizes", "where": {"metric": "nll"}, "columns_by": "detail.test_size", "only_train_size": False,
    "cells": ["a0", "a1", "b0", "b1", "c0", "c1", "d0"],
}  # fmt: skip


def line(text: str, encoder: str) -> str:
    (match,) = [row for row in text.splitlines() if row.startswith(f" {encoder} ") or row.startswith(f"{encoder} ")]
    return " ".join(match.split())


def test_a_model_is_a_row_of_means_with_intervals(experiments: Report) -> None:
    text = printed(experiments, frame(RECORDS), {"experiments": {"fig": EXPERIMENT}}, 160)
    assert line(text, "sse") == "sse num_slots=32 one piece 0.250 ±0.635 0.250 ±0.635"
    assert "elsewhere" not in text


def test_what_broke_and_what_is_undecided_is_shown_as_what_it_is(experiments: Report) -> None:
    text = printed(experiments, frame(RECORDS), {"experiments": {"fig": EXPERIMENT}}, 160)
    assert line(text, "pma") == "pma one piece 0.300 ±0.000 ≈1 0.300 ±0.000 ≈1 +0.050 [-0.585, +0.685]"
    assert line(text, "lost") == "lost one piece 0.100 1/2"
    assert line(text, "gone") == "gone crash crash"


def test_an_experiment_as_trained_leaves_other_sizes_out(experiments: Report) -> None:
    experiment = {**EXPERIMENT, "columns_by": "detail.train_size", "only_train_size": True}
    text = printed(experiments, frame(RECORDS), {"experiments": {"fig": experiment}}, 160)
    assert "0.250 ±0.635" in text
    assert "400" not in text


@pytest.mark.parametrize("width", [60, 100, 160])
def test_it_fits_and_an_experiment_without_records_says_so(experiments: Report, width: int) -> None:
    info = {"experiments": {"fig": EXPERIMENT, "none": {**EXPERIMENT, "cells": []}}}
    text = printed(experiments, frame(RECORDS), info, width)
    assert max(map(len, text.splitlines())) <= width
    assert "no record shows it" in text
    page = experiments.html(frame(RECORDS), info)
    assert "No record shows it." in page
    assert "≈1" in page


def test_a_model_is_compared_with_the_first_seed_by_seed(experiments: Report) -> None:
    first = [nll(f"a{seed}", "sse", seed, 200, seed) for seed in range(8)]
    better = [nll(f"b{seed}", "pma", seed, 200, seed - 0.5 - seed % 2 / 100) for seed in range(8)]
    experiment = {**EXPERIMENT, "cells": [record.cell for record in first + better]}
    row = line(printed(experiments, frame(first + better), {"experiments": {"fig": experiment}}, 160), "pma")
    mean, low, high = (float(number.strip("[],")) for number in row.split()[-3:])
    assert mean == pytest.approx(-0.505, abs=1e-3)  # although the means of both vary by far more
    assert -0.51 <= low < mean < high <= -0.5
