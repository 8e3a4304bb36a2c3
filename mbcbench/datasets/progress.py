"""Progress bars for work that takes minutes."""

import sys
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: float | None = None) -> Iterable[Item]:
    """Yield the items and show their progress on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track as rich_track

    hidden = not sys.stderr.isatty()
    return rich_track(items, description, total, console=Console(stderr=True), transient=True, disable=hidden)
