"""What the command `report` does: artefacts drawn from a run's records, as files."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from mbcbench import registry
from mbcbench.cli.commands import complain, out
from mbcbench.errors import ExitCode, UsageError
from mbcbench.records import store
from mbcbench.records.record import Record, frame
from mbcbench.reporting import Artefact, Writer, Written


def report(folders: Sequence[Path], only: Sequence[str], formats: Sequence[str], to: Path) -> ExitCode:
    """Write the artefacts named, or all, of one or several runs to a folder; say which have no records.

    Raises UsageError for a name or a format that is none, and for a run that a newer mbcbench wrote.
    """
    names = list(only or registry.plugins(registry.ARTEFACTS))
    plugins = [registry.plugin(registry.ARTEFACTS, name) for name in names]
    writer: Writer = registry.plugin(registry.WRITERS, "files").load()
    for name in formats:
        if name not in writer.formats:
            raise UsageError(f"no format is called {name!r}{registry.did_you_mean(name, writer.formats)}; "
                             f"there are {', '.join(writer.formats)}")  # fmt: skip
    info, rows = together(folders)
    artefacts: list[Artefact] = [plugin.load() for plugin in plugins]
    files, missing = writer.write(artefacts, frame(rows), info, formats)
    _keep(to, files)
    for line in missing:
        complain(line)
    out().print(
        f"{len(artefacts) - len(missing)} of {len(artefacts)} drawn, {len(files)} files in {to}", soft_wrap=True
    )
    return ExitCode.AS_CLAIMED


def together(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Record]]:
    """What describes some runs, and their records; what a later run did again counts as it found it.

    `runs` says of each what made it.
    """
    told = [store.info(folder) for folder in folders]
    cells: dict[str, list[Record]] = {}
    for folder in folders:
        own: dict[str, list[Record]] = {}
        for record in store.records(folder):
            own.setdefault(record.cell, []).append(record)
        cells |= own
    info = {key: value for one in told for key, value in one.items()}
    for name in ("encoders", "suites"):
        info[name] = list(dict.fromkeys(value for one in told for value in one.get(name) or ()))
    made = [{name: one.get(name) for name in ("run", "versions", "commit")} for one in told]
    return info | {"run": ", ".join(one["run"] for one in told), "runs": made}, list(chain(*cells.values()))


def _keep(folder: Path, files: Written) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, held in files.items():
            (folder / name).write_bytes(held if isinstance(held, bytes) else held.encode())
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); choose another folder with --out") from error
