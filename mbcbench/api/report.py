"""Draw reports as files: `mbcbench.report`, and the body of the command `report`."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mbcbench import registry
from mbcbench.api.provenance import with_origin
from mbcbench.errors import (
    BrokenPluginError,
    UsageError,
    check_lists,
    explain_missing_libraries,
    one_line,
    user_frame,
)
from mbcbench.records import store
from mbcbench.records.record import Record, frame
from mbcbench.records.reference import add_reference
from mbcbench.reporting import Artefact, Files, Report
from mbcbench.types import JsonDict

if TYPE_CHECKING:
    import pandas as pd

WRITER = "leaderboard"  # the report that writes files


@dataclass(frozen=True)
class ReportFiles:
    """Files that `report` has written.

    Attributes
    ----------
    paths
        Paths of the files.
    missing
        One line for each artefact without records.
    artefacts
        Number of requested artefacts, with those that are missing.
    """

    paths: Sequence[Path]
    missing: Sequence[str]
    artefacts: int


def report(
    runs: str | Path | Sequence[str | Path] | None = None,
    *,
    only: Sequence[str] = (),
    formats: Sequence[str] = ("html",),
    out: str | Path = "report",
    root: str | Path = store.ROOT,
) -> ReportFiles:
    """Write the leaderboard, tables, figures and the verdicts on the paper's claims, drawn from records.

    Parameters
    ----------
    runs
        Paths or ids of runs. Several runs are merged; if several contain a cell, the last one counts. By default the
        latest run or, with `only`, the latest run that has records for all of these artefacts, or for most of them.
    only
        Artefacts to draw; by default all of them.
    formats
        Any of `html`, `md`, `latex`, `csv`, `png` and `svg`.
    out
        Folder of the files. It is created if necessary.
    root
        Folder of the runs.

    Returns
    -------
    ReportFiles
        The written paths, one line for each artefact without records, and the number of artefacts.

    Raises
    ------
    UsageError
        For an unknown run, artefact or format, for a run that a newer mbcbench wrote, and if `out` cannot be written.
    BrokenPluginError
        If a report raises.
    """
    check_lists(only=only, formats=formats)
    plugins = [registry.plugin(registry.ARTEFACTS, name) for name in only or registry.plugins(registry.ARTEFACTS)]
    with explain_missing_libraries():
        writer: Report = registry.plugin(registry.REPORTS, WRITER).load()
        artefacts = [plugin.load() for plugin in plugins]
    for name in formats:
        if name not in writer.formats:
            near = registry.did_you_mean(name, writer.formats)
            raise UsageError(f"no format is called {name!r}{near}; there are {', '.join(writer.formats)}")
    elsewhere: dict[str, Path] = {}
    if runs is None:
        latest = store.find("latest", Path(root))
        folder, elsewhere = _latest_with(artefacts, writer, Path(root)) if only else (latest, {})
        folders = [folder]
    else:
        folders = [store.find(name, Path(root)) for name in ([runs] if isinstance(runs, str | Path) else runs)]
    with explain_missing_libraries(), explain_reports(f"the report of {', '.join(folder.name for folder in folders)}"):
        info, rows = merge_runs(folders)
        files, missing = writer.write(artefacts, add_reference(rows, info), info, formats)
    others = {name: f"no records in {folders[0].name}, but in {run.name}" for name, run in elsewhere.items()}
    lines = [f"{name}: {reason}" for name, reason in {**missing, **others}.items()]
    return ReportFiles(_write_files(Path(out), files), lines, len(artefacts))


def _latest_with(artefacts: Sequence[Artefact], writer: Report, root: Path) -> tuple[Path, dict[str, Path]]:
    """Return the latest run with records for most artefacts, and the latest ones with records for the others."""
    lacking: dict[Path, set[str]] = {}
    for folder in reversed(store.runs(root)):
        lacking[folder] = _without_records(artefacts, writer, folder)
        if not lacking[folder]:
            return folder, {}
    best = min(lacking, key=lambda folder: len(lacking[folder]))
    having = {name: [folder for folder in lacking if name not in lacking[folder]] for name in sorted(lacking[best])}
    return best, {name: folders[0] for name, folders in having.items() if folders}


def _without_records(artefacts: Sequence[Artefact], writer: Report, folder: Path) -> set[str]:
    """Return the ids of the artefacts for which a run has no records: all of them if it cannot be read."""
    try:
        with explain_missing_libraries(), explain_reports(f"the report of {folder.name}"):
            info, rows = merge_runs([folder])
            _, missing = writer.write(artefacts, add_reference(rows, info), info, ())
    except UsageError:  # a newer mbcbench wrote it
        return {artefact.id for artefact in artefacts}
    return set(missing)


@contextlib.contextmanager
def explain_reports(what: str) -> Iterator[None]:
    """Turn exceptions of a report into BrokenPluginError: its code, and the details of records, come from plug-ins."""
    try:
        yield
    except (UsageError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise BrokenPluginError(f"{what} broke: {one_line(error)}{user_frame(error)}") from error


def merge_runs(folders: Sequence[Path]) -> tuple[JsonDict, "pd.DataFrame"]:
    """Return the description and the frame of the records of several runs (internal).

    If several runs contain a cell, the last one counts. `runs` in the description has the origin of each run.
    """
    infos = [store.info(folder) for folder in folders]
    cells: dict[str, list[Record]] = {}
    for folder in folders:
        of_run: dict[str, list[Record]] = {}
        for record in store.records(folder):
            of_run.setdefault(record.cell, []).append(record)
        cells |= of_run
    merged = {key: value for info in infos for key, value in info.items()}
    for name in ("encoders", "suites"):
        merged[name] = list(dict.fromkeys(value for info in infos for value in info.get(name) or ()))
    merged["reference"] = next((info["reference"] for info in infos if info.get("reference")), None)
    merged["run"] = ", ".join(info["run"] for info in infos)
    rows = frame(chain(*cells.values()))
    return with_origin(merged, folders, rows), rows


def _write_files(folder: Path, files: Files) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); choose another folder with --out") from error
    return [folder / name for name in files]
