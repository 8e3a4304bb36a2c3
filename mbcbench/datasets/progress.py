"""Progress of what takes minutes: on standard error, when that is a terminal."""

import sys
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, total: float | None = None) -> Iterable[Item]:
    """The items, counted as they are taken."""
    from rich.console import Console
    from rich.progress import track as count

    shown = sys.stderr.isatty()
    return count(items, what, total, console=Console(stderr=True), transient=True, disable=not shown)
