"""Cells of earlier runs: their records, or the reason why a cell has to run again."""

import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mbcbench.errors import UsageError
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.files import CELLS, RECORDS, is_present, read_cells, read_record_lines
from mbcbench.records.record import BROKEN, Record
from mbcbench.types import JsonDict, JsonObject


@dataclass(frozen=True)
class CacheMiss:
    """Reason why a cell has to run: fields that differ from the most similar earlier cell, a failure, or neither."""

    changed: tuple[str, ...] = ()
    broke: bool = False

    def __str__(self) -> str:
        if self.broke:
            return "broke before"
        return f"{', '.join(self.changed)} changed" if self.changed else "new"


class RunCache:
    """Newest records of every cell of the runs under `root`, except cells that broke.

    unreadable: why runs were skipped, one message each.
    """

    def __init__(self, root: Path) -> None:
        self.unreadable: list[str] = []
        self._records: dict[str, list[Record]] = {}
        self._broke: set[str] = set()
        self._fields: dict[str, JsonDict] = {}
        for folder in store.runs(root):
            try:
                self._add(folder)
            except UsageError as error:
                self.unreadable.append(str(error))

    def find(self, cell: Cell) -> list[Record]:
        """Return the records of the same cell, marked with their run; none if it has to run."""
        return self._records.get(cell.key, [])

    def miss(self, cell: Cell) -> CacheMiss:
        """Return the reason why `find` has no records of a cell."""
        if cell.key in self._broke:
            return CacheMiss(broke=True)
        fields = cell.fields()
        similar = (earlier for earlier in self._fields.values() if _same_work(earlier, fields))
        differences = (_differences(earlier, fields) for earlier in similar)
        return CacheMiss(changed=min(differences, key=len, default=()))

    def _add(self, folder: Path) -> None:
        for key, records in _complete_cells(folder).items():
            if any(record.status in BROKEN for record in records):
                self._broke.add(key)
            else:
                self._records[key] = [_reused(record, folder.name) for record in records]
        with contextlib.suppress(UsageError):  # then the reason of a miss is unknown
            self._fields |= {key: cell.fields() for key, cell in read_cells(folder / CELLS).items()}


def _complete_cells(folder: Path) -> dict[str, list[Record]]:
    """Return the records of a run by cell, without a cell whose records were being written when the run was killed."""
    store.info(folder)
    path = folder / RECORDS
    cells: dict[str, list[Record]] = {}
    if not is_present(path):
        return cells
    content = path.read_bytes() if path.exists() else b"\n"  # a compressed file is complete
    unfinished = None if content.endswith(b"\n") else content.count(b"\n") + 1  # number of the last line
    schema = 0
    for number, line in read_record_lines(path):
        if number != unfinished:
            cells.setdefault(line.cell, []).extend(line.records)
            schema = line.schema
    if unfinished and schema == 1:  # with one line per record, the last cell may be incomplete
        cells.popitem()
    return cells


def _reused(record: Record, run: str) -> Record:
    return replace(record, detail={"reused_from": run, **record.detail})


def _same_work(a: JsonObject, b: JsonObject) -> bool:
    return all(a.get(name) == b.get(name) for name in ("suite", "case", "encoder", "seed"))


def _differences(a: JsonObject, b: JsonObject) -> tuple[str, ...]:
    names = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    return tuple(name.removeprefix("params.") for name in names)


def reasons(misses: Iterable[CacheMiss]) -> str:
    """Count the reasons for running cells, most frequent first: `encoder source changed (64), new (2)`."""
    counts = Counter(str(miss) for miss in misses)
    return ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
