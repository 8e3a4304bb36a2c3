"""Folder of a run, `<root>/runs/<run>/`: run.json, cells.jsonl and records.jsonl.

run.json describes the run: options, versions and machine. cells.jsonl describes every cell, so that a later run can say
why it cannot reuse one. records.jsonl gets one more line when a cell ends (see `mbcbench.records.files`).
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mbcbench import system
from mbcbench.errors import MALFORMED, UsageError, one_line
from mbcbench.records import files
from mbcbench.records.cell import Cell
from mbcbench.records.field_types import check_types
from mbcbench.records.files import encode_cells, encode_records, read_records
from mbcbench.records.record import Record, frame
from mbcbench.records.schema import RUN_MIGRATIONS, SCHEMA, migrate, read_json
from mbcbench.types import JsonDict, JsonObject

if TYPE_CHECKING:
    import pandas as pd

ROOT = ".mbcbench"
INFO, CELLS, RECORDS = files.INFO, files.CELLS, files.RECORDS
MAX_RUNS_PER_SECOND = 1000
INFO_TYPES = {
    **dict.fromkeys(("run", "created", "profile"), str),
    **dict.fromkeys(("encoders", "suites", "argv"), list[str]),
    "seed": int,
    "commit": str | None,
    "threads": int | None,
    "versions": Mapping[str, str | None],
    "hardware": Mapping[str, str | int | float | None],
    "experiments": Mapping[str, Mapping[str, Any]],
    "reference": Mapping[str, Any] | None,
}


class Run:
    """A run that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells: dict[str, Cell] = {}
        _drop_torn_line(folder / RECORDS)
        self._records = (folder / RECORDS).open("a", encoding="utf-8")

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        profile: str,
        seed: int,
        argv: Sequence[str],
        reference: JsonObject | None = None,
        shard: JsonObject | None = None,
        **lists: Sequence[str],
    ) -> Self:
        """Start a new run under `root`; `lists` (encoders, suites) go into run.json as well.

        reference: origin of the reference results that the run shows, or None if it shows none.
        shard: `index` and `count`, if the run is one shard of several.

        Raises UsageError if the folder cannot be written.
        """
        words = {
            name: [system.redact_home(word) for word in values] for name, values in {"argv": argv, **lists}.items()
        }
        part = {"shard": shard} if shard else {}
        made = {**_describe_machine(), "profile": profile, "seed": seed, "reference": reference, **part, **words}
        return cls.create_from(root, made)

    @classmethod
    def create_from(cls, root: Path, description: JsonObject) -> Self:
        """Start a new run under `root`; `description` is the content of run.json without its name and date.

        Raises UsageError if the folder cannot be written.
        """
        now = datetime.now(UTC)
        shard = description.get("shard")
        part = f"-shard-{shard['index']}-of-{shard['count']}" if shard else ""
        try:
            folder = _new_folder(root / "runs", f"{now:%Y-%m-%dT%H-%M-%SZ}-{description['profile']}{part}")
            head = {"schema": SCHEMA, "run": folder.name, "created": now.isoformat()}
            _write_json(folder / INFO, {**head, **description})
            return cls(folder)
        except OSError as error:
            raise UsageError(f"cannot write to {root} ({error.strerror}); choose another folder with --root") from error

    def plan(
        self, cells: Sequence[Cell], experiments: JsonObject, digest: str = "", hardware: JsonObject | None = None
    ) -> None:
        """Write the cells and experiments of the run, the digest of the whole plan, and the hardware of a cluster."""
        self._cells = {cell.key: cell for cell in cells}
        self._describe(experiments=experiments, plan=digest, **({"hardware": hardware} if hardware else {}))
        system.write_atomically(self.folder / CELLS, encode_cells(cells).encode())

    def append(self, records: Iterable[Record]) -> None:
        """Add the records of one or more cells, one line per cell; those of a cell must be adjacent."""
        self._records.write(encode_records(records, self._cells))
        self._records.flush()

    def finish(self) -> None:
        """Note that every cell has ended."""
        self._describe(finished=True)

    def _describe(self, **facts: object) -> None:
        """Add facts to run.json."""
        _write_json(self.folder / INFO, {**info(self.folder), **facts})

    def close(self) -> None:
        """Close the files."""
        self._records.close()

    def discard(self) -> None:
        """Remove the folder of the run."""
        self.close()
        shutil.rmtree(self.folder)


def _write_json(path: Path, content: JsonObject) -> None:
    system.write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def _drop_torn_line(path: Path) -> None:
    """Remove an incomplete last line, so that the next one does not continue it."""
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        system.write_atomically(path, data[: data.rfind(b"\n") + 1])


def _new_folder(runs: Path, name: str) -> Path:
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, MAX_RUNS_PER_SECOND):
        folder = runs / (name if number == 1 else f"{name}-{number:02}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(17, f"{MAX_RUNS_PER_SECOND} runs began in this second")


def _describe_machine() -> JsonDict:
    return {
        "versions": system.versions(),
        "commit": system.commit(),
        "hardware": system.hardware(),
        "threads": 1,
    }


def runs(root: Path) -> list[Path]:
    """Return the folders of the runs under `root`, oldest first."""
    return sorted(path.parent for path in (root / "runs").glob(f"*/{INFO}"))


def find(run: str | Path = "latest", root: Path = Path(ROOT)) -> Path:
    """Return the folder of a run: a path, the id of a run under `root`, "latest", or a folder of runs for its latest.

    Raises UsageError if there is no such run.
    """
    known = runs(root)
    if run == "latest":
        if not known:
            raise UsageError(f"there are no runs under {root}; make one with: mbcbench run")
        return known[-1]
    for folder in (root / "runs" / run, Path(run)):
        if (folder / INFO).is_file():
            return folder
    in_folder = runs(Path(run))
    if in_folder:
        return in_folder[-1]
    raise UsageError(f"no run is called {str(run)!r} under {root}; see: mbcbench show --all")


def info(folder: Path) -> JsonDict:
    """Return the content of run.json in the present schema.

    Raises UsageError if a newer mbcbench wrote it, or if it cannot be read.
    """
    try:
        content = read_json((folder / INFO).read_text(encoding="utf-8"))
        migrated = migrate({"schema": content["schema"], **content}, RUN_MIGRATIONS)
        check_types(migrated, INFO_TYPES)
        return {"run": folder.name, "encoders": [], "suites": [], **migrated}
    except UsageError as error:
        raise UsageError(f"{folder / INFO} {error}") from error
    except (OSError, *MALFORMED) as error:
        raise UsageError(f"{folder / INFO} does not describe a run ({one_line(error)}); remove the folder") from error


def records(folder: Path) -> list[Record]:
    """Return the records of a run. Raises UsageError as `info` does, and for a line that is not a record."""
    info(folder)
    path = folder / RECORDS
    return read_records(path) if files.is_present(path) else []


def load(run: str | Path = "latest", root: str | Path = ROOT) -> "pd.DataFrame":
    """Return the records of a run as a frame, one row each.

    Parameters
    ----------
    run
        Path of a run's folder, id of a run under `root`, or "latest".
    root
        Folder that keeps the runs.

    Returns
    -------
    pandas.DataFrame
        The fields of `Record`, with a column `params.*` for each parameter and a column `detail.*` for each entry of
        the details.

    Raises
    ------
    UsageError
        If there is no such run, a newer mbcbench wrote it, or one of its files cannot be read.
    """
    return frame(records(find(run, Path(root))))
