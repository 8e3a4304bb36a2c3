"""Progress of a run: running and finished cells and the time left. Live on a terminal, plain lines elsewhere."""

import contextlib
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mbcbench.execution.planner import Planned, Step
from mbcbench.execution.runner import Finished, Started
from mbcbench.execution.suite import PROBE
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, UNEXPECTED

SECONDS_BETWEEN_LINES = 10.0
Clock = Callable[[], float]


class Progress:
    """Progress of a run, updated with each step. clock: a monotonic clock, in seconds."""

    def __init__(self, workers: int, clock: Clock = time.monotonic) -> None:
        self.total: int | None = None
        self.done = self.failed = self.reused = self.to_run = 0
        self.reasons = ""
        self.running: dict[str, tuple[Cell, float]] = {}
        self._clock = clock
        self._workers = workers
        self._began = clock()
        self._waiting: dict[str, str] = {}  # the suites of cells to run, by key
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def since(self, moment: float) -> float:
        """Return the seconds since `moment`, a reading of the clock."""
        return self._clock() - moment

    def update(self, step: Step) -> None:
        """Update the progress with one step."""
        match step:
            case Planned():
                self.total = len(step.cells)
                self.reused, self.reasons, self.to_run = step.reused, step.reasons, len(step.to_run)
                self._waiting = {cell.key: cell.suite for cell in step.to_run}
            case Started():
                self.running[step.cell.key] = (step.cell, self._clock())
            case Finished():
                self._finish(step)

    def _finish(self, step: Finished) -> None:
        _, began = self.running.pop(step.cell.key, (None, None))
        if step.cell.suite == PROBE:
            return
        self.done += 1
        self.failed += is_bad(step)
        self._waiting.pop(step.cell.key, None)
        if began is not None:
            self._seconds[step.cell.suite].append(self.since(began))

    def seconds_left(self) -> float | None:
        """Estimate the time left from the mean cell of each suite; return None until each has finished a cell."""
        waiting = Counter(self._waiting.values())
        if self.total is None or any(not self._seconds[suite] for suite in waiting):
            return None
        work = sum(count * statistics.mean(self._seconds[suite]) for suite, count in waiting.items())
        return work / self._workers

    def line(self) -> str:
        """Return the progress in one line."""
        if self.total is None:
            return f"planning, {format_duration(self.elapsed)}"
        left = self.seconds_left()
        rest = "time left: unknown" if left is None else f"about {format_duration(left)} left"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.total} cells{failed}, {format_duration(self.elapsed)}, {rest}"


def is_bad(step: Finished) -> bool:
    """Return True if a cell failed or broke."""
    return any(record.status in BROKEN | UNEXPECTED for record in step.records)


def format_duration(seconds: float) -> str:
    """Format a duration: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextlib.contextmanager
def watch(console: Console, progress: Progress, *, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Show progress on `console`; yield the function to call with each step."""
    if quiet:
        yield progress.update
    elif console.is_terminal:
        with Live(get_renderable=lambda: _render(progress), console=console, transient=True):
            yield progress.update
    else:
        yield _Lines(console, progress).update


class _Lines:
    """Progress as plain lines: failures immediately, the rest at intervals."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._last = 0.0

    def update(self, step: Step) -> None:
        self._progress.update(step)
        if isinstance(step, Planned) and step.reused:
            self._print(f"{step.reused} of {len(step.cells)} cells reused from earlier runs")
        if isinstance(step, Finished) and not step.reused and is_bad(step):
            self._print(_failure_line(step))
        if isinstance(step, Finished) and self._progress.elapsed - self._last >= SECONDS_BETWEEN_LINES:
            self._last = self._progress.elapsed
            self._print(self._progress.line())

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def _failure_line(step: Finished) -> str:
    record = next(r for r in step.records if r.status in BROKEN | UNEXPECTED)
    return f"{record.status}: {name_of(step.cell)}{f': {record.message}' if record.message else ''}"


def name_of(cell: Cell) -> str:
    """Return the name of a cell for display."""
    return " ".join(word for word in (cell.encoder or cell.params.get("suite", ""), cell.suite, cell.case) if word)


def _render(progress: Progress) -> Group:
    running = Table.grid(padding=(0, 2))
    for cell, began in list(progress.running.values()):
        running.add_row(Text(format_duration(progress.since(began)), justify="right"), Text(name_of(cell)))
    bar = ProgressBar(total=progress.total or 1, completed=progress.done, width=40)
    return Group(bar, Text(progress.line()), running)
