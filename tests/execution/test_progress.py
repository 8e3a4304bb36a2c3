"""Progress: what is counted, when the time left is known, and what is printed where."""

import io

from rich.console import Console

from mbcbench.execution.planner import Planned
from mbcbench.execution.progress import Progress, format_duration, watch
from mbcbench.execution.runner import Finished, Started
from mbcbench.execution.suite import PROBE
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cells(suite: str, count: int) -> tuple[Cell, ...]:
    return tuple(Cell(suite=suite, case=f"case-{n}", encoder="sum") for n in range(count))


def finished(cell: Cell, status: Status = Status.OK, *, reused: bool = False) -> Finished:
    return Finished(cell, (cell.record(status, message="as it happens"),), reused=reused)


def work(progress: Progress, clock: Clock, cell: Cell, seconds: float) -> None:
    progress.update(Started(cell))
    clock.now += seconds
    progress.update(finished(cell))


def test_the_time_left_is_unknown_until_each_suite_has_a_cell_behind_it() -> None:
    clock = Clock()
    progress = Progress(2, clock)
    quick, slow = cells("quick", 3), cells("slow", 2)
    assert progress.seconds_left() is None
    progress.update(Planned(quick + slow, quick + slow))
    work(progress, clock, quick[0], 1.0)
    assert progress.seconds_left() is None
    assert "time left: unknown" in progress.line()
    work(progress, clock, slow[0], 10.0)
    assert progress.seconds_left() == (2 * 1.0 + 1 * 10.0) / 2
    assert progress.line() == "2 of 5 cells, 11 s, about 6 s left"


def test_reused_and_probe_cells_do_not_count_as_work() -> None:
    clock = Clock()
    progress = Progress(1, clock)
    known, new = cells("task", 2)
    work(progress, clock, Cell(suite=PROBE, case="build", encoder="sum"), 5.0)
    progress.update(Planned((known, new), (new,), reused=1))
    progress.update(finished(known, reused=True))
    assert (progress.done, progress.failed) == (1, 0)
    assert progress.seconds_left() is None


def test_spans_are_for_reading() -> None:
    assert [format_duration(s) for s in (0.4, 59.2, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]


def test_without_a_terminal_a_failure_is_a_line_and_a_pass_is_none() -> None:
    out = io.StringIO()
    good, bad = cells("task", 2)
    with watch(Console(file=out), Progress(1, Clock()), quiet=False) as update:
        for step in (Planned((good, bad), (good, bad)), finished(good), finished(bad, Status.FAIL)):
            update(step)
    assert out.getvalue() == "fail: sum task case-1: as it happens\n"


def test_without_a_terminal_the_state_is_a_line_every_ten_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    steps = cells("task", 4)
    with watch(Console(file=out), Progress(1, clock), quiet=False) as update:
        update(Planned(steps, steps))
        for cell in steps:
            update(Started(cell))
            clock.now += 6
            update(finished(cell))
    assert out.getvalue().splitlines() == [
        "2 of 4 cells, 12 s, about 12 s left",
        "4 of 4 cells, 24 s, about 0 s left",
    ]


def test_on_a_terminal_the_running_cells_are_shown() -> None:
    out = io.StringIO()
    (cell,) = cells("task", 1)
    console = Console(file=out, force_terminal=True, width=80)
    with watch(console, Progress(1, Clock()), quiet=False) as update:
        update(Planned((cell,), (cell,)))
        update(Started(cell))
    assert "sum task case-0" in out.getvalue()
    assert "0 of 1 cells" in out.getvalue()


def test_quiet_prints_nothing() -> None:
    out = io.StringIO()
    (cell,) = cells("task", 1)
    with watch(Console(file=out, force_terminal=True), Progress(1, Clock()), quiet=True) as update:
        update(finished(cell, Status.CRASH))
    assert out.getvalue() == ""
