"""Where runs are kept: `<root>/runs/<run>/` with run.json, cells.jsonl and records.jsonl.

run.json says once what the run was made with. cells.jsonl keeps the fields of every cell, so that a later run can say
why it cannot reuse one. records.jsonl grows as cells end.
"""

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from mbcbench import system
from mbcbench.errors import UsageError
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, Record, frame, read_records
from mbcbench.records.schema import RUN_MIGRATIONS, SCHEMA, migrate

if TYPE_CHECKING:
    import pandas as pd

ROOT = ".mbcbench"
INFO, CELLS, RECORDS = "run.json", "cells.jsonl", "records.jsonl"


class Run:
    """A run that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: TextIO = (folder / RECORDS).open("a", encoding="utf-8")

    @classmethod
    def create(cls, root: Path, *, profile: str, seed: int, argv: Sequence[str], **told: Sequence[str]) -> Self:
        """A new run under `root`, with what else is told of it. Raises UsageError when nothing can be written there."""
        now = datetime.now(UTC)
        try:
            folder = _new_folder(root / "runs", f"{now:%Y-%m-%dT%H-%M-%SZ}-{profile}")
            info = _describe(folder.name, now) | {
                "profile": profile,
                "seed": seed,
                **{key: [system.without_home(w) for w in words] for key, words in {"argv": argv, **told}.items()},
            }
            _write(folder / INFO, info)
            return cls(folder)
        except OSError as error:
            raise UsageError(f"cannot write to {root} ({error.strerror}); choose another folder with --out") from error

    def plan(self, cells: Iterable[Cell], experiments: Mapping[str, Any]) -> None:
        """Keep the fields of the cells that this run is about, and what its experiments show."""
        _write(self.folder / INFO, {**info(self.folder), "experiments": experiments})
        lines = [json.dumps({"cell": cell.key, "fields": cell.fields()}) for cell in cells]
        (self.folder / CELLS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def append(self, records: Iterable[Record]) -> None:
        """Add the records of one cell, in one write."""
        self._records.write("".join(record.to_json() + "\n" for record in records))
        self._records.flush()

    def close(self) -> None:
        self._records.close()

    def discard(self) -> None:
        """Remove the run: it came to nothing."""
        self.close()
        shutil.rmtree(self.folder)


def _write(path: Path, said: Mapping[str, Any]) -> None:
    """Write JSON in the place of what is there, whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    new.replace(path)


def _new_folder(runs: Path, name: str) -> Path:
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number:02}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(17, "a thousand runs began in this second")


def _describe(run: str, now: datetime) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run,
        "created": now.isoformat(),
        "versions": system.versions(),
        "commit": system.commit(),
        "hardware": system.hardware(),
        "threads": 1,
    }


def runs(root: Path) -> list[Path]:
    """The folders of the runs under `root`, oldest first."""
    return sorted(path.parent for path in (root / "runs").glob(f"*/{INFO}"))


def find(run: str | Path = "latest", root: Path = Path(ROOT)) -> Path:
    """The folder of a run: a path, the id of a run under `root`, or "latest". Raises UsageError when there is none."""
    known = runs(root)
    if run == "latest":
        if not known:
            raise UsageError(f"no run is kept under {root}; make one with: mbcbench run")
        return known[-1]
    for folder in (root / "runs" / run, Path(run)):
        if (folder / INFO).is_file():
            return folder
    raise UsageError(f"no run is called {str(run)!r} under {root}; see: mbcbench show --all")


def info(folder: Path) -> dict[str, Any]:
    """What run.json says. Raises UsageError when a newer mbcbench wrote it, or it cannot be read."""
    try:
        said: dict[str, Any] = json.loads((folder / INFO).read_text(encoding="utf-8"))
        migrated = migrate({"schema": said["schema"], **said}, RUN_MIGRATIONS)
    except UsageError as error:
        raise UsageError(f"{folder / INFO} {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / INFO} describes no run ({error}); remove the folder") from error
    return migrated


def records(folder: Path) -> list[Record]:
    """The records of a run. Raises UsageError as `info` does, and for a line that is no record."""
    info(folder)
    path = folder / RECORDS
    return read_records(path) if path.exists() else []


def load(run: str | Path = "latest", root: str | Path = ROOT) -> "pd.DataFrame":
    """The records of a run as a frame, one row each.

    run: the path of a run's folder, the id of a run under `root`, or "latest".
    Raises UsageError when there is no such run or a newer mbcbench wrote it.
    """
    return frame(records(find(run, Path(root))))


@dataclass(frozen=True)
class Miss:
    """Why a cell has to run: the fields that differ from the nearest earlier cell, `broke` before, or new."""

    changed: tuple[str, ...] = ()
    broke: bool = False

    def __str__(self) -> str:
        if self.broke:
            return "broke before"
        return f"{', '.join(self.changed)} changed" if self.changed else "new"


class Earlier:
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

    def miss(self, cell: Cell) -> Miss:
        """Why a cell is not here."""
        if cell.key in self._broke:
            return Miss(broke=True)
        wanted = cell.fields()
        alike = (f for f in self._fields.values() if _same_work(f, wanted))
        nearest = min(((_differences(f, wanted)) for f in alike), key=len, default=())
        return Miss(changed=nearest)

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


def reasons(misses: Iterable[Miss]) -> str:
    """How many cells have to run for which reason, the most frequent first: `encoder source changed (64)`."""
    counts = Counter(str(miss) for miss in misses)
    return ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
