"""What the command `report` does: artefacts drawn from a run's records, as files."""

from collections.abc import Sequence
from pathlib import Path

from mbcbench import registry, store
from mbcbench.commands import complain, out
from mbcbench.errors import ExitCode, UsageError
from mbcbench.record import frame
from mbcbench.report import Artefact, Writer, Written


def report(folder: Path, only: Sequence[str], formats: Sequence[str], to: Path) -> ExitCode:
    """Write the artefacts named, or all, to a folder; say which have no records.

    Raises UsageError for a name or a format that is none, and for a run that a newer mbcbench wrote.
    """
    names = list(only or registry.plugins(registry.ARTEFACTS))
    plugins = [registry.plugin(registry.ARTEFACTS, name) for name in names]
    writer: Writer = registry.plugin(registry.WRITERS, "files").load()
    for name in formats:
        if name not in writer.formats:
            raise UsageError(f"no format is called {name!r}{registry.did_you_mean(name, writer.formats)}; "
                             f"there are {', '.join(writer.formats)}")  # fmt: skip
    info, rows = store.info(folder), frame(store.records(folder))
    artefacts: list[Artefact] = [plugin.load() for plugin in plugins]
    files, missing = writer.write(artefacts, rows, info, formats)
    _keep(to, files)
    for line in missing:
        complain(line)
    out().print(
        f"{len(artefacts) - len(missing)} of {len(artefacts)} drawn, {len(files)} files in {to}", soft_wrap=True
    )
    return ExitCode.AS_CLAIMED


def _keep(folder: Path, files: Written) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, held in files.items():
            (folder / name).write_bytes(held if isinstance(held, bytes) else held.encode())
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); choose another folder with --out") from error
