"""Progress of work that takes minutes: a bar on the terminal, or reports to the process that requested the work."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Report:
    """State of some work: `done` of `total` units, where the total is known; `reused` of them were done earlier."""

    description: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    reused: float = 0


Listener = Callable[[Report], None]
_listeners: list[Listener] = []  # the last one gets the reports of all work


class Tracker:
    """Counts the work that has been done, and reports it."""

    def __init__(self, first: Report, listener: Listener) -> None:
        self._report = first
        self._listener = listener
        listener(first)

    def advance(self, amount: float = 1) -> None:
        """Count work that has just been done."""
        self._update(replace(self._report, done=self._report.done + amount))

    def reuse(self, amount: float) -> None:
        """Count work that an earlier process has done."""
        done, reused = self._report.done + amount, self._report.reused + amount
        self._update(replace(self._report, done=done, reused=reused))

    def _update(self, report: Report) -> None:
        self._report = report
        self._listener(report)


@contextlib.contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Send all reports to `listener`; no bars are shown."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


@contextlib.contextmanager
def progress(description: str, total: float | None = None, unit: str = "") -> Iterator[Tracker]:
    """Yield the tracker of some work."""
    first = Report(description=description, total=total, unit=unit)
    if _listeners:
        yield Tracker(first, _listeners[-1])
        return
    with _bar(first) as listener:
        yield Tracker(first, listener)


def track(items: Iterable[Item], description: str, total: float | None = None, unit: str = "") -> Iterator[Item]:
    """Yield the items and show how many there have been."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(description, total, unit) as tracker:
        for item in items:
            yield item
            tracker.advance()


@contextlib.contextmanager
def _bar(first: Report) -> Iterator[Listener]:
    """Show a bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(first.description, total=first.total)
        yield lambda report: bar.update(task, completed=report.done)
