"""Registry: plug-ins by name, known before any of them is imported.

A plug-in is registered by an entry point in one of the groups below. The entry point names a single object, or an
`Index` of many, so that a package with many plug-ins needs one entry point and no new install for the next plug-in.
"""

import difflib
import fnmatch
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any

from mbcbench.errors import BrokenPluginError, UsageError, one_line

ENCODERS = "mbcbench.encoders"
LAWS = "mbcbench.laws"
SUITES = "mbcbench.suites"
REPORTS = "mbcbench.reports"
ARTEFACTS = "mbcbench.artefacts"
GROUPS = (ENCODERS, LAWS, SUITES, REPORTS, ARTEFACTS)


@dataclass(frozen=True)
class Index:
    """The plug-ins of a package as data, so that listing them imports none of them.

    An entry point names an index if the name of its module is `index` or ends in `_index`. Such a module
    must import nothing but this class.

    Attributes
    ----------
    package
        Package to which the targets are relative, usually `__package__`.
    entries
        Target and summary by name. A target is `module:attribute`; the summary is one line.
    default
        Names that are used if the user gives none; for suites only.
    slow
        Names that only long profiles select by a prefix, a glob or by default; for laws only.
    trains
        Names of those that train models, which need libraries that take a second to import; for suites only.
    """

    package: str
    entries: Mapping[str, tuple[str, str]]
    default: Collection[str] = ()
    slow: Collection[str] = ()
    trains: Collection[str] = ()


@dataclass(frozen=True)
class Plugin:
    """A registered name with its target (`package.module:attribute`) and what its index says about it."""

    name: str
    target: str
    entry: EntryPoint
    summary: str = ""
    is_default: bool = False
    is_slow: bool = False
    trains: bool = False

    @property
    def module(self) -> str:
        """Name of the module that defines the plug-in."""
        return self.target.partition(":")[0]

    @property
    def attribute(self) -> str:
        """Name of the plug-in in its module."""
        return self.target.partition(":")[2]

    @property
    def distribution(self) -> str:
        """Name of the installed distribution that registers the plug-in."""
        return _distribution(self.entry)

    def load(self) -> Any:
        """Import the plug-in. Exceptions of its module are not caught."""
        return EntryPoint(self.name, self.target, self.entry.group).load()


@lru_cache(maxsize=4)
def installed(path: tuple[str, ...]) -> Mapping[str, EntryPoints]:
    """Return the entry points of each group on a search path (`sys.path`). Cached, because reading them is slow."""
    everything = entry_points()
    return {group: everything.select(group=group) for group in GROUPS}


def plugins(group: str) -> dict[str, Plugin]:
    """Return the plug-ins of a group by name, sorted by name.

    Raises UsageError if two different plug-ins have the same name, and BrokenPluginError if an index cannot be read.
    """
    registered: dict[str, Plugin] = {}
    for entry in installed(tuple(sys.path))[group]:
        for candidate in _plugins_of(entry):
            other = registered.setdefault(candidate.name, candidate)
            if other.target != candidate.target:
                raise UsageError(
                    f"the name {candidate.name!r} is registered twice: {other.target} ({other.distribution}) and "
                    f"{candidate.target} ({candidate.distribution}); rename or uninstall one"
                )
    return dict(sorted(registered.items()))


def _plugins_of(entry: EntryPoint) -> Iterator[Plugin]:
    if not _is_index(entry):
        yield Plugin(entry.name, entry.value, entry)
        return
    index = _load_index(entry)
    prefix = f"{index.package}." if index.package else ""
    for name, (target, summary) in index.entries.items():
        marks = (name in index.default, name in index.slow, name in index.trains)
        yield Plugin(name, f"{prefix}{target}", entry, summary, *marks)


def _is_index(entry: EntryPoint) -> bool:
    module = entry.module.rpartition(".")[2]
    return module == "index" or module.endswith("_index")


def _load_index(entry: EntryPoint) -> Index:
    try:
        index = entry.load()
    except Exception as error:
        raise BrokenPluginError(
            f"cannot import the index {entry.value} of {_distribution(entry)} ({one_line(error)}); "
            "repair or uninstall it"
        ) from error
    if not isinstance(index, Index):
        raise BrokenPluginError(
            f"{entry.value} of {_distribution(entry)} is not an mbcbench.registry.Index, as its module's name says; "
            "make it one or rename the module"
        )
    return index


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def plugin(group: str, name: str) -> Plugin:
    """Return the plug-in `name` of a group. Raises UsageError with the nearest names if there is none."""
    known = plugins(group)
    if name not in known:
        raise _unknown(group, name, known)
    return known[name]


def _unknown(group: str, name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"no {_kind(group)} is called {name!r}{did_you_mean(name, known)}; see: {_listing(group)}")


def select(
    group: str, patterns: Iterable[str] | None, skip: Iterable[str] | None = None, *, slow: bool = False
) -> list[str]:
    """Return the names in a group that match `patterns`, or all if that is None, without those that match `skip`.

    A pattern is a name, a glob such as `mbc.m*`, a prefix such as `mbc`, which stands for all names below it, or a
    comma-separated list of them. Without `slow`, a slow plug-in is left out unless its name is a pattern. Raises
    UsageError for a pattern that matches no name, and if patterns select nothing.
    """
    known, named = plugins(group), split_commas(patterns)
    selected = list(known) if patterns is None else _matches(group, known, named)
    if not slow:
        slow_names = [name for name in selected if known[name].is_slow and name not in named]
        selected = [name for name in selected if name not in slow_names]
        if slow_names and not selected:
            raise UsageError(f"{', '.join(named)} selects only what is slow; name it in full: {','.join(slow_names)}")
    if patterns is not None and not selected:
        raise UsageError(f"no {_kind(group)} is named; leave the list out for all of them")
    skipped = _matches(group, known, skip or ())
    names = [name for name in selected if name not in skipped]
    if skipped and not names:
        raise UsageError(f"no {_kind(group)} is left after skipping {', '.join(skip or ())}; see: {_listing(group)}")
    return names


def _matches(group: str, known: Collection[str], patterns: Iterable[str]) -> list[str]:
    prefixes = {name.partition(".")[0] for name in known} - set(known)
    names: list[str] = []
    for pattern in split_commas(patterns):
        glob = f"{pattern}.*" if pattern in prefixes else pattern
        matches = fnmatch.filter(known, glob)
        if not matches and any(character in pattern for character in "*?["):
            head, dot, rest = pattern.partition(".")
            nearest = [f"{near}{dot}{rest}" for near in difflib.get_close_matches(head, prefixes, n=1)]
            hint = f" (did you mean {nearest[0]}?)" if nearest and nearest[0] != pattern else ""
            raise UsageError(f"no {_kind(group)} matches {pattern!r}{hint}; see: {_listing(group)}")
        if not matches:
            is_prefix = "." not in pattern and bool(did_you_mean(pattern, prefixes))
            raise _unknown(group, pattern, prefixes if is_prefix else known)
        names += matches
    return list(dict.fromkeys(names))


def split_commas(values: Iterable[str] | None) -> list[str]:
    """Return the names in an option that may be repeated and takes comma-separated lists."""
    return [name.strip() for value in values or () for name in value.split(",") if name.strip()]


def default_suites() -> list[str]:
    """Return the names of the suites that run if the user names none."""
    return [plugin.name for plugin in plugins(SUITES).values() if plugin.is_default]


def _kind(group: str) -> str:
    return group.rpartition(".")[2].removesuffix("s")


def _listing(group: str) -> str:
    return f"mbcbench list {_kind(group)}s"


def check_target(target: str) -> None:
    """Raise UsageError if a target cannot name an encoder, as far as can be told without importing it."""
    where, colon, attribute = target.rpartition(":")
    if not colon:
        if target.endswith(".py"):
            raise UsageError(f"{target} names a file; say which encoder in it: {target}:NAME")
        plugin(ENCODERS, target)
    elif where.endswith(".py") and not Path(where).expanduser().is_file():
        raise UsageError(f"no such file: {where} (target {target})")
    elif not where or not attribute:
        raise UsageError(
            f"{target!r} is not a target; give a registered name, package.module:attr or path/to/file.py:attr"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` with the names nearest to `name`, or nothing if none is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
