"""Progress of work that takes minutes: a bar on the terminal, or reports to the process that asked for the work."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Advance = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Report:
    """State of some work: `done` of `total` units, where the total is known."""

    description: str
    done: float = 0
    total: float | None = None
    unit: str = ""


Listener = Callable[[Report], None]
_listeners: list[Listener] = []  # the last one hears of all work


@contextlib.contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Send all reports to `listener`; no bars are shown."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


@contextlib.contextmanager
def progress(description: str, total: float | None = None, unit: str = "") -> Iterator[Advance]:
    """Yield a function to call with the amount of work that has been done since its last call."""
    if not _listeners:
        with _bar(description, total) as advance:
            yield advance
        return
    done = 0.0
    listener = _listeners[-1]
    listener(Report(description=description, total=total, unit=unit))

    def report(amount: float) -> None:
        nonlocal done
        done += amount
        listener(Report(description=description, done=done, total=total, unit=unit))

    yield report


def track(items: Iterable[Item], description: str, total: float | None = None, unit: str = "") -> Iterator[Item]:
    """Yield the items and show how many there have been."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(description, total, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextlib.contextmanager
def _bar(description: str, total: float | None) -> Iterator[Advance]:
    """Show a bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.advance(task, amount)
