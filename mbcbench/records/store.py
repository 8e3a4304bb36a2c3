"""Where runs are kept: `<root>/runs/<run>/` with run.json, cells.jsonl and records.jsonl.

run.json says once what the run was made with. cells.jsonl keeps the fields of every cell, so that a later run can say
why it cannot reuse one. records.jsonl grows as cells end.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from mbcbench import system
from mbcbench.errors import UsageError
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, frame, read_records
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
                **{key: [system.redact_home(w) for w in words] for key, words in {"argv": argv, **told}.items()},
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
    system.write_atomically(path, (json.dumps(said, indent=2) + "\n").encode())


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
