"""Progress of a run: running cells, finished cells and time left. Live on a terminal, plain lines elsewhere."""

import contextlib
import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mbcbench.execution.planner import Planned, Step
from mbcbench.execution.prepare import PREPARE
from mbcbench.execution.runner import Advanced, Finished, Started
from mbcbench.execution.suite import PROBE
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, NOT_RUN, UNEXPECTED, Record, Status

if TYPE_CHECKING:
    from mbcbench.datasets.progress import Report
    from mbcbench.records.cache import CacheMiss

SECONDS_BETWEEN_LINES = 10.0
MAX_MESSAGE = 120  # characters of a message in a line
Clock = Callable[[], float]


class Progress:
    """State of a run, updated with its steps. clock: a monotonic clock in seconds."""

    def __init__(self, workers: int, clock: Clock = time.monotonic) -> None:
        self.total: int | None = None
        self.done = self.failed = self.reused = self.to_run = 0
        self.misses: list[CacheMiss] = []
        self.running: dict[str, tuple[Cell, float]] = {}  # by key, with the time of the start
        self.preparations: dict[str, _Preparation] = {}  # the running ones, by key of their cell
        self._clock = clock
        self._workers = workers
        self._start = clock()
        self._waiting: dict[str, str] = {}  # the suites of cells that have not ended, by key
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)  # of cells that ended, by suite

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.since(self._start)

    def since(self, moment: float) -> float:
        """Return the seconds since a moment of the clock."""
        return self._clock() - moment

    def update(self, step: Step) -> None:
        """Update the state with the next step."""
        match step:
            case Planned():
                self.total = len(step.cells)
                self.reused, self.to_run = self.reused + step.reused, self.to_run + len(step.to_run)
                self.misses += step.misses
                self._workers = step.workers or self._workers
                self._waiting |= {cell.key: cell.suite for cell in step.to_run}
            case Started():
                self.running[step.cell.key] = (step.cell, self._clock())
                if _prepares(step.cell):
                    self.preparations[step.cell.key] = _Preparation(step.cell.params["need"]["name"], self._clock())
            case Advanced():
                if step.cell.key in self.preparations:
                    self.preparations[step.cell.key].update(step.report, self._clock())
            case Finished():
                self._finish(step)

    def _finish(self, step: Finished) -> None:
        _, start = self.running.pop(step.cell.key, (None, None))
        self.preparations.pop(step.cell.key, None)
        if step.cell.suite == PROBE:
            return
        self.done += 1
        self.failed += is_failure(step)
        self._waiting.pop(step.cell.key, None)
        if start is not None:
            self._seconds[step.cell.suite].append(self.since(start))

    def describe(self, cell: Cell) -> str:
        """Describe a running cell."""
        preparation = self.preparations.get(cell.key)
        return preparation.line(self._clock()) if preparation is not None else _name(cell)

    def seconds_left(self) -> float | None:
        """Estimate the time left from the mean time of each suite's cells; None until each suite has ended one."""
        waiting = Counter(self._waiting.values())
        if self.total is None or any(not self._seconds[suite] for suite in waiting):
            return None
        work = sum(count * statistics.mean(self._seconds[suite]) for suite, count in waiting.items())
        return work / self._workers

    def line(self) -> str:
        """Return the state in one line."""
        if self.total is None:
            return f"planning, {format_duration(self.elapsed)}"
        if self.preparations:
            slowest = max(self.preparations.values(), key=lambda preparation: preparation.seconds_left(self._clock()))
            return f"{slowest.line(self._clock())}, {format_duration(self.elapsed)}"
        seconds = self.seconds_left()
        left = "time left: unknown" if seconds is None else f"about {format_duration(seconds)} left"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.total} cells{failed}, {format_duration(self.elapsed)}, {left}"


class _Preparation:
    """State of the preparation of a data set. start: moment of the clock."""

    def __init__(self, name: str, start: float) -> None:
        self._name = name
        self._report: Report | None = None
        self._start = start  # of what the reports describe

    def update(self, report: "Report", now: float) -> None:
        """Update the state with a report."""
        if self._report is None or self._report.description != report.description:
            self._start = now
        self._report = report

    def seconds_left(self, now: float) -> float:
        """Estimate the time left; infinite if nothing is known."""
        report = self._report
        if report is None or report.total is None or report.done <= report.reused:
            return math.inf
        return (now - self._start) * (report.total - report.done) / (report.done - report.reused)

    def line(self, now: float) -> str:
        """Return the state in one line."""
        seconds, report = self.seconds_left(now), self._report
        if report is None:
            return f"preparing {self._name}"
        about = self._name if report.description == self._name else f"{self._name} ({report.description})"
        amount = f": {report.done:,.0f} of {report.total:,.0f} {report.unit}".rstrip() if report.total else ""
        left = f", about {format_duration(seconds)} left" if math.isfinite(seconds) else ""
        return f"preparing {about}{amount}{left}"


def _prepares(cell: Cell) -> bool:
    return cell.suite == PROBE and cell.case == PREPARE


def is_failure(step: Finished) -> bool:
    """Return True if a cell failed or broke."""
    return any(record.status in BROKEN | UNEXPECTED for record in step.records)


def format_duration(seconds: float) -> str:
    """Format a duration: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


@contextlib.contextmanager
def watch(console: Console, progress: Progress, *, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Show progress on `console`. Yield the function that takes each step."""
    if quiet:
        yield progress.update
    elif console.is_terminal:
        # rich.progress estimates the time left from all cells alike, but cells of some suites take far longer than
        # others. This module therefore writes the line itself.
        with Live(get_renderable=lambda: _render(progress), console=console, transient=True):
            yield progress.update
    else:
        yield _Lines(console, progress).update


def _render(progress: Progress) -> Group:
    running = Table.grid(padding=(0, 2))
    for cell, start in list(progress.running.values()):  # a copy: the display has a thread of its own
        running.add_row(Text(format_duration(progress.since(start)), justify="right"), Text(progress.describe(cell)))
    bar = ProgressBar(total=progress.total or 1, completed=progress.done, width=40)
    return Group(bar, Text(progress.line()), running)


class _Lines:
    """Prints progress as plain lines: a failure at once, the state at intervals."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._printer = LinePrinter(console)
        self._progress = progress
        self._errors: set[tuple[str, str]] = set()  # encoder and message of errors that were printed

    def update(self, step: Step) -> None:
        self._progress.update(step)
        if isinstance(step, Planned) and step.reused:
            self._printer.print(f"{step.reused} of {len(step.cells)} cells reused from earlier runs")
        if isinstance(step, Finished) and not step.reused and is_failure(step) and not self._is_repeated(step):
            self._printer.print(_describe_failure(step))
        if isinstance(step, Finished | Advanced):
            self._printer.print_at_intervals(self._progress.line, self._progress.elapsed)

    def _is_repeated(self, step: Finished) -> bool:
        """Return True if the failure is an error that was printed for another cell of the encoder."""
        record = _failure(step)
        error = record.encoder, record.message.removeprefix(NOT_RUN)
        is_repeated = record.status is Status.ERROR and error in self._errors
        self._errors.add(error)
        return is_repeated


class LinePrinter:
    """Prints plain lines, some of them at most every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = 0.0

    def print(self, line: str) -> None:
        """Print a line as it is."""
        self._console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)

    def print_at_intervals(self, line: Callable[[], str], elapsed: float) -> None:
        """Print a line if enough time has passed since the last one. elapsed: seconds since the start."""
        if elapsed - self._last >= SECONDS_BETWEEN_LINES:
            self._last = elapsed
            self.print(line())


def _failure(step: Finished) -> Record:
    return next(record for record in step.records if record.status in BROKEN | UNEXPECTED)


def _describe_failure(step: Finished) -> str:
    """Return a failure as one line. The output of the command has the full message."""
    record = _failure(step)
    name = _name(step.cell)
    message = record.message.removeprefix(f"{name} ")
    if len(message) > MAX_MESSAGE:
        message = f"{message[: MAX_MESSAGE - 3]}..."
    return ": ".join(filter(None, (str(record.status), name, message)))


def _name(cell: Cell) -> str:
    """Return a readable name of a cell. A probe is an internal step, named after its encoder or suite alone."""
    words = [cell.encoder or cell.params.get("suite", "")]
    if cell.suite != PROBE or not words[0]:
        words += [cell.suite, cell.case]
    return " ".join(filter(None, words))
