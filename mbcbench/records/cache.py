"""Cells of earlier runs: their records, or the reason why a cell has to run again."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbcbench.errors import UsageError
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, Record
from mbcbench.records.store import CELLS, RECORDS, records, runs


@dataclass(frozen=True)
class CacheMiss:
    """Why a cell has to run: the fields that differ from the nearest earlier cell, `broke` before, or new."""

    changed: tuple[str, ...] = ()
    broke: bool = False

    def __str__(self) -> str:
        if self.broke:
            return "broke before"
        return f"{', '.join(self.changed)} changed" if self.changed else "new"


class RunCache:
    """What the earlier runs under a root hold: the newest good records of every cell."""

    def __init__(self, root: Path) -> None:
        self.unreadable: list[str] = []
        self._records: dict[str, list[Record]] = {}
        self._broke: set[str] = set()
        self._fields: dict[str, dict[str, Any]] = {}
        for folder in runs(root):
            try:
                self._read(folder)
            except UsageError as error:
                self.unreadable.append(str(error))

    def find(self, cell: Cell) -> list[Record]:
        """The records of the same cell, marked with the run they come from; none when it has to run."""
        return self._records.get(cell.key, [])

    def miss(self, cell: Cell) -> CacheMiss:
        """Why a cell is not here."""
        if cell.key in self._broke:
            return CacheMiss(broke=True)
        wanted = cell.fields()
        alike = (f for f in self._fields.values() if _same_work(f, wanted))
        nearest = min(((_differences(f, wanted)) for f in alike), key=len, default=())
        return CacheMiss(changed=nearest)

    def _read(self, folder: Path) -> None:
        for key, found in _whole_cells(folder).items():
            if any(record.status in BROKEN for record in found):
                self._broke.add(key)
            else:
                self._records[key] = [_reused(record, folder.name) for record in found]
        self._fields |= _fields(folder / CELLS)


def _whole_cells(folder: Path) -> dict[str, list[Record]]:
    """The records of a run by cell, without the cell whose records were being written when the run was killed."""
    found: dict[str, list[Record]] = {}
    for record in records(folder):
        found.setdefault(record.cell, []).append(record)
    path = folder / RECORDS
    if found and not path.read_bytes().endswith(b"\n"):
        found.popitem()
    return found


def _fields(path: Path) -> dict[str, dict[str, Any]]:
    """The fields of a run's cells by key; what was being written when the run was killed is passed over."""
    found = {}
    with contextlib.suppress(OSError, ValueError, KeyError):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found[row["cell"]] = row["fields"]
    return found


def _reused(record: Record, run: str) -> Record:
    return replace(record, detail={"reused_from": run, **record.detail})


def _same_work(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a.get(name) == b.get(name) for name in ("suite", "case", "encoder", "seed"))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, ...]:
    names = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    return tuple(name.removeprefix("params.") for name in names)


def reasons(misses: Iterable[CacheMiss]) -> str:
    """How many cells have to run for which reason, the most frequent first: `encoder source changed (64)`."""
    counts = Counter(str(miss) for miss in misses)
    return ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
