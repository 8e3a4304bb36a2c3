"""Progress: what counts as work, when the time left is known, and what is printed."""

import io

import pytest
from rich.console import Console

from mbcbench.cli.console import print_line
from mbcbench.datasets.progress import Report
from mbcbench.execution.planner import Planned
from mbcbench.execution.prepare import PREPARE
from mbcbench.execution.progress import Progress, format_duration, watch
from mbcbench.execution.runner import Advanced, Finished, Started
from mbcbench.execution.suite import PROBE
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status


class Clock:
    """A clock that is set by hand."""

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


def test_the_time_left_is_unknown_until_each_suite_has_ended_a_cell() -> None:
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


def test_durations_are_rounded_for_reading() -> None:
    assert [format_duration(s) for s in (0.4, 59.2, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]


def test_without_a_terminal_only_a_failure_is_printed_at_once() -> None:
    out = io.StringIO()
    good, bad = cells("task", 2)
    with watch(Console(file=out), Progress(1, Clock()), quiet=False) as update:
        for step in (Planned((good, bad), (good, bad)), finished(good), finished(bad, Status.FAIL)):
            update(step)
    assert out.getvalue() == "fail: sum task case-1: as it happens\n"


def test_an_encoder_that_cannot_be_built_is_a_short_line() -> None:
    out = io.StringIO()
    cell = Cell(suite=PROBE, case="build", encoder="my.py:Net")
    record = cell.record(Status.ERROR, message=f"my.py:Net cannot be called{'; wrap it' * 20}")
    with watch(Console(file=out), Progress(1, Clock()), quiet=False) as update:
        update(Finished(cell, (record,), reused=False))
    line = out.getvalue().strip()
    assert line.startswith("error: my.py:Net: cannot be called; wrap it")
    assert line.endswith("...")
    assert len(line) < 150


def test_the_name_of_an_encoder_is_never_an_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    cell = Cell(suite=PROBE, case="build", encoder="my.py:a")
    with watch(Console(file=out), Progress(1, Clock()), quiet=False) as update:
        update(finished(cell, Status.ERROR))
    assert out.getvalue() == "error: my.py:a: as it happens\n"
    print_line("my.py:a: elements of width 3")
    assert capsys.readouterr().out == "my.py:a: elements of width 3\n"


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


PREPARATION = Cell(suite=PROBE, case=PREPARE, encoder="", params={"need": {"name": "faces"}})


def report(done: float, total: float | None = 2000, description: str = "faces", reused: float = 0) -> Advanced:
    of_images = Report(description=description, done=done, total=total, unit="images", reused=reused)
    return Advanced(PREPARATION, of_images)


def test_a_preparation_shows_how_far_it_is_and_for_how_long() -> None:
    clock = Clock()
    progress = Progress(1, clock)
    (cell,) = cells("task", 1)
    progress.update(Planned((cell,), (cell,)))
    progress.update(Started(PREPARATION))
    assert progress.line() == "preparing faces, 0 s"
    progress.update(report(0))
    clock.now = 16
    progress.update(report(640))
    assert progress.line() == "preparing faces: 640 of 2,000 images, about 34 s left, 16 s"
    assert progress.describe(PREPARATION) == "preparing faces: 640 of 2,000 images, about 34 s left"
    progress.update(Finished(PREPARATION, ()))
    assert progress.line().startswith("0 of 1 cells")


def test_work_of_an_earlier_preparation_took_no_time() -> None:
    clock = Clock()
    progress = Progress(1, clock)
    progress.update(Planned((), ()))
    progress.update(Started(PREPARATION))
    progress.update(report(0))
    clock.now = 10
    progress.update(report(1000, reused=500))
    assert "about 20 s left" in progress.line()


def test_a_preparation_of_unknown_length_says_what_it_does() -> None:
    progress = Progress(1, Clock())
    progress.update(Planned((), ()))
    progress.update(Started(PREPARATION))
    progress.update(report(1, description="faces.zip", total=None))
    assert progress.line() == "preparing faces (faces.zip), 0 s"


def test_without_a_terminal_a_preparation_is_a_line_every_ten_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    with watch(Console(file=out), Progress(1, clock), quiet=False) as update:
        update(Planned((), ()))
        update(Started(PREPARATION))
        for done in (0, 500, 1000):
            update(report(done))
            clock.now += 6
    assert out.getvalue() == "preparing faces: 1,000 of 2,000 images, about 12 s left, 12 s\n"


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
