"""Work in parts: its order, and what an interruption loses."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mbcbench.datasets import cache, parts
from mbcbench.datasets.parts import Work, compute_in_parts, in_blocks
from mbcbench.datasets.progress import Report, listen
from mbcbench.errors import UsageError
from tests.processes import PATIENCE

KEY = "squares-1"
WORK = Work("squares", 10, "numbers")


class Squares:
    """Squares the numbers below ten, three at a time, and remembers the blocks; fails at the block with `broken`."""

    def __init__(self, broken: int | None = None) -> None:
        self.computed: list[int] = []
        self.broken = broken

    def __call__(self) -> NDArray[np.int64]:
        return compute_in_parts(KEY, in_blocks(range(10), 3), self._compute, WORK)

    def _compute(self, block: Sequence[int]) -> NDArray[np.int64]:
        if self.broken in block:
            raise UsageError("no luck")
        self.computed.append(block[0])
        return np.array(block) ** 2


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_cores", lambda: 2)


def interrupt() -> None:
    """Leave an interrupted preparation behind: some parts are there, the last is not."""
    with pytest.raises(UsageError, match="no luck"):
        Squares(broken=9)()


def test_the_parts_are_in_the_order_of_the_tasks() -> None:
    assert Squares()().tolist() == [n**2 for n in range(10)]


def test_tasks_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    def wait(block: Sequence[int]) -> NDArray[Any]:
        both.wait()
        return np.array(block)

    assert compute_in_parts(KEY, in_blocks(range(2), 1), wait, WORK).tolist() == [0, 1]


def test_interrupted_work_continues_with_the_parts_that_are_missing() -> None:
    interrupt()
    again = Squares()
    assert again().tolist() == [n**2 for n in range(10)]
    assert again.computed == [9]


def test_the_progress_counts_what_an_earlier_call_did() -> None:
    interrupt()
    reports: list[Report] = []
    with listen(reports.append):
        Squares()()
    assert [(report.done, report.reused) for report in reports] == [(0, 0), (3, 3), (6, 6), (9, 9), (10, 9)]
    assert {(report.description, report.total, report.unit) for report in reports} == {WORK}


def test_a_damaged_part_is_computed_again() -> None:
    interrupt()
    part = cache.parts_folder(KEY) / "00001.npy"
    part.write_bytes(part.read_bytes()[:-8])
    again = Squares()
    assert again().tolist() == [n**2 for n in range(10)]
    assert sorted(again.computed) == [3, 9]


def test_the_parts_are_kept_until_the_arrays_are_complete() -> None:
    with pytest.raises(UsageError):
        cache.cached_arrays(KEY, lambda: {"squares": Squares(broken=9)()})
    assert cache.parts_folder(KEY).is_dir()
    assert cache.cached_folders("squares") == []
    cache.cached_arrays(KEY, lambda: {"squares": Squares()()})
    assert not cache.parts_folder(KEY).exists()
    assert cache.cached_folders("squares") == [cache.array_folder(KEY)]


def test_a_second_command_waits_for_the_first_and_says_so() -> None:
    started, may_end = threading.Event(), threading.Event()
    reports: list[Report] = []
    times: list[int] = []

    def make() -> cache.Arrays:
        times.append(1)
        started.set()
        assert may_end.wait(PATIENCE)
        return {"number": np.ones(1)}

    def hear(report: Report) -> None:
        reports.append(report)
        may_end.set()

    first = threading.Thread(target=lambda: cache.cached_arrays(KEY, make))
    first.start()
    assert started.wait(PATIENCE)
    with listen(hear):
        assert cache.cached_arrays(KEY, make)["number"] == 1
    first.join()
    assert len(times) == 1
    assert [report.description for report in reports] == [f"another process makes {KEY}; waiting for it"]
