"""Counterexamples that were recorded, tried again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbcbench.errors import UsageError


@dataclass(frozen=True)
class Recorded:
    """A recorded counterexample: the target, the law, the case, and what the encoder is built from."""

    target: str
    law: str
    case: Mapping[str, Any]
    dim_in: int
    seed: int


def recorded(where: str) -> list[Recorded]:
    """The counterexamples in a file of records (a run's, or what `check --json` wrote), or at one line, `FILE:LINE`.

    Raises UsageError when the file or the line cannot be read, or holds no counterexample.
    """
    path, line = _split(where)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror}); give FILE or FILE:LINE of a file of records"
        ) from error
    lines = text.splitlines()
    if line is not None and not 1 <= line <= len(lines):
        raise UsageError(f"{path} has {len(lines)} lines, none numbered {line}")
    chosen = [(line, lines[line - 1])] if line is not None else list(enumerate(lines, 1))
    found = [one for number, row in chosen for one in _counterexamples(path, number, row)]
    if not found:
        raise UsageError(f"{where} holds no counterexample; records whose status is fail, xfail or error have one")
    return found


def _split(where: str) -> tuple[Path, int | None]:
    name, colon, line = where.rpartition(":")
    return (Path(name), int(line)) if colon and line.isdigit() else (Path(where), None)


def _counterexamples(path: Path, number: int, row: str) -> Iterator[Recorded]:
    if not row.strip():
        return
    try:
        record = json.loads(row)
        held = {**record, **record.get("detail", {})}
        found = held.get("counterexample")
        if found:
            yield Recorded(held["encoder"], held["law"], found, found["dim_in"], held["seed"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}, line {number}: not a record ({error})") from error
