"""A cell, and runs that hold some records."""

from pathlib import Path

from mbcbench.records.cell import Cell
from mbcbench.records.record import Record
from mbcbench.records.store import Run

CELL = Cell(suite="task", case="points", encoder="sum", params={"n": 5}, identity={"encoder source": "a"})


def make_run(root: Path, *records: Record, cells: tuple[Cell, ...] = (CELL,)) -> Path:
    """A finished run."""
    run = Run.create(root, profile="quick", seed=0, argv=["mbcbench", "run"], encoders=["sum"])
    run.plan(cells, {})
    run.append(records)
    run.close()
    return run.folder
