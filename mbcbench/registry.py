"""The registry: plug-ins found by entry points, known by name before anything of them is imported."""

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mbcbench.errors import UsageError

ENCODERS = "mbcbench.encoders"
LAWS = "mbcbench.laws"
SUITES = "mbcbench.suites"
DEFAULT_SUITES = "mbcbench.default_suites"  # those of SUITES that run when none is named
REPORTS = "mbcbench.reports"
ARTEFACTS = "mbcbench.artefacts"
WRITERS = "mbcbench.writers"


@dataclass(frozen=True)
class Plugin:
    """One registered name: what it points to (`module:attr`) and the distribution it came with."""

    name: str
    target: str
    entry: EntryPoint

    @property
    def distribution(self) -> str:
        """The distribution it came with; read from disk when it is asked for."""
        return self.entry.dist.name if self.entry.dist is not None else "unknown"

    def load(self) -> Any:
        """Import what the plug-in points to; whatever that raises is the caller's to record."""
        return self.entry.load()


@lru_cache(maxsize=4)
def installed(path: tuple[str, ...]) -> Any:
    """All entry points on a search path (`sys.path`), for `select`; read once, as every distribution's are read."""
    return entry_points()


def plugins(group: str) -> dict[str, Plugin]:
    """The plug-ins of a group by name, in the order of their names.

    Raises UsageError when two different plug-ins share a name, naming both.
    """
    found: dict[str, Plugin] = {}
    for entry in installed(tuple(sys.path)).select(group=group):
        plugin = Plugin(entry.name, entry.value, entry)
        other = found.setdefault(entry.name, plugin)
        if other.target != plugin.target:
            raise UsageError(
                f"the name {entry.name!r} is registered twice: {other.target} ({other.distribution}) and "
                f"{plugin.target} ({plugin.distribution}); rename or uninstall one"
            )
    return dict(sorted(found.items()))


def plugin(group: str, name: str) -> Plugin:
    """The plug-in `name` of a group. Raises UsageError with the nearest names when there is none."""
    known = plugins(group)
    if name not in known:
        kind = group.rpartition(".")[2].removesuffix("s")
        raise UsageError(f"no {kind} is called {name!r}{did_you_mean(name, known)}; see: mbcbench list {kind}s")
    return known[name]


def check_target(target: str) -> None:
    """Raise UsageError when a target can be seen to name nothing, without importing anything."""
    where, colon, attribute = target.rpartition(":")
    if not colon:
        if target.endswith(".py"):
            raise UsageError(f"{target} names a file; say which encoder in it: {target}:NAME")
        plugin(ENCODERS, target)
    elif where.endswith(".py") and not Path(where).expanduser().is_file():
        raise UsageError(f"no such file: {where} (target {target})")
    elif not where or not attribute:
        raise UsageError(
            f"{target!r} is no target; give a registered name, package.module:attr or path/to/file.py:attr"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for the names nearest to `name`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""
