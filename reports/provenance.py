"""Lines for every page and table with the commit and the machine of its records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mbcbench.errors import plural
from mbcbench.types import JsonObject

from .captions import list_names
from .formatting import machine

DIRTY = "-dirty"
COMMIT_DIGITS = 7


def record_lines(info: JsonObject) -> list[str]:
    """Return `Records: commit abc1234 (2026-11-28); machine ...`, and a warning if the installed sources differ.

    info: description of a run, or of several in its `runs` (see `mbcbench.api.provenance`). Without one, the line
    says that nothing is known. Reference results that the runs show have a line of their own.
    """
    runs: Sequence[JsonObject] = info.get("runs") or [info]
    reference: Sequence[JsonObject] = [info["reference"]] if info.get("reference") else []
    lines = [_line("Records", runs), *(_line("Reference results", [each]) for each in reference)]
    return [*lines, *_spot_check(reference), *_warning([*runs, *reference])]


def _line(what: str, runs: Sequence[JsonObject]) -> str:
    made = _join(map(_made_by, runs)) or "of an unknown commit"
    machines = _join(map(machine, runs))
    return f"{what}: {made}; machine {machines}" if machines else f"{what}: {made}"


def _spot_check(reference: Sequence[JsonObject]) -> list[str]:
    """Return a line on the reference trainings that were repeated on this machine, if there are any."""
    checks: Sequence[JsonObject] = [check for each in reference for check in each.get("spot_checks", ())]
    if not checks:
        return []
    lost = [check for check in checks if check["difference"] > check["tolerance"]]
    line = f"Spot check: reproduced {len(checks) - len(lost)} of {len(checks)} reference trainings within tolerance"
    others = [
        f"{check['encoder']} on {check['case']}, seed {check['seed']}: {check['difference']:.3f} apart, tolerance "
        f"{check['tolerance']:g}"
        for check in lost
    ]
    return [f"{line} ({'; '.join(others)})" if others else line]


def _made_by(run: JsonObject) -> str:
    """Return `commit abc1234 (2026-11-28)`, or the version if no commit is known."""
    commit, day = str(run.get("commit") or ""), str(run.get("created") or "")[:10]
    version = (run.get("versions") or {}).get("mbcbench")
    name = f"commit {commit.removesuffix(DIRTY)[:COMMIT_DIGITS]}" if commit else ""
    if commit.endswith(DIRTY):
        name += " with changes"
    if not name:
        name = f"mbcbench {version}" if version else "an unknown commit" if day else ""
    return f"{name} ({day})" if day else name


def _warning(runs: Sequence[JsonObject]) -> list[str]:
    """Return a line that names the suites and encoders whose installed sources are not those of the records."""
    parts = []
    for kind in ("suite", "encoder"):
        names = sorted({name for run in runs for name in _changed(run).get(f"{kind}s", ())})
        if names:
            parts.append(f"{plural(len(names), kind)} ({list_names(names, 3)})")
    if not parts:
        return []
    return [
        f"Warning: the installed sources of {' and '.join(parts)} differ from those that made these records; they may "
        "give other numbers"
    ]


def _changed(run: JsonObject) -> Mapping[str, Any]:
    changed: Mapping[str, Any] = run.get("changed") or {}
    return changed


def _join(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))
