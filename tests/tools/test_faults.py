"""The disturbances of `make faults` that need no process; tests/execution and tests/cli have those that do."""

import ast
from pathlib import Path

import disturbances
import pytest
from disturbances import Disturbance
from faults import FAULTS, Count, page
from plugins import modules
from workload import Ended, Workload

from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status

HARMFUL = "harmful encoder"


@pytest.fixture
def load(tmp_path: Path) -> Workload:
    return Workload(tmp_path)


@pytest.mark.parametrize(
    ("disturb", "tries"),
    [
        (disturbances.torn_line, 154),
        (disturbances.clock_goes_backwards, 5),
        (disturbances.truncated_data, 20),
        (disturbances.flipped_byte, 20),
    ],
)
def test_nothing_is_lost_with_the_files_of_a_run_or_a_set(load: Workload, disturb: Disturbance, tries: int) -> None:
    losses = [loss for _, loss in disturb(load, tries)]
    assert len(losses) >= tries
    assert not any(losses)


def record(root: Path, load: Workload, value: float) -> None:
    cell = Cell(suite="laws", case="mbc.partition", encoder=load.sound)
    run = store.Run.create(root, profile="smoke", seed=0, argv=[])
    run.plan([cell], {})
    run.append([cell.record(Status.PASS, value=value)])
    run.close()


def test_what_a_run_has_lost_is_said(load: Workload) -> None:
    record(load.base / "undisturbed", load, 0.5)
    record(load.root, load, 0.5)
    assert disturbances.compare(load, Ended(0, "")) == ""
    assert disturbances.compare(load, Ended(None, "")) == "the run hangs"
    assert "a traceback: E: x" in disturbances.compare(load, Ended(2, "Traceback (most recent call last):\nE: x"))
    load.reset()
    record(load.root, load, 0.25)
    assert "records differ" in disturbances.compare(load, Ended(0, ""))
    load.reset()
    assert "the records: there are no runs" in disturbances.compare(load, Ended(0, ""))


def test_the_modules_of_harmful_encoders_are_python() -> None:
    for source in modules().values():
        ast.parse(source)


def test_the_page_has_a_row_for_each_harm_and_says_what_was_lost() -> None:
    counts = {"full disk": Count(3, ["8 KiB free: a traceback"]), f"{HARMFUL}: forks": Count(1)}
    text = page(counts, 3)
    assert "| full disk | 3 | 2 | 1 |" in text
    assert f"| {HARMFUL}: forks | 1 | 1 | 0 |" in text
    assert text.count("python tools/faults/faults.py --tries 3 --only ") == 1
    assert "- full disk, 8 KiB free: a traceback" in text
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
