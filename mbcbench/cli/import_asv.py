"""`mbcbench import-asv`: store ASV's measurements as records."""

from pathlib import Path
from typing import Annotated

import typer

from mbcbench.cli.options import DEFAULT_ROOT, OldRoot, Root
from mbcbench.errors import ExitCode


def import_asv(
    results: Annotated[Path, typer.Argument(help="A results file of ASV, or the folder of several.")],
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Add to this run.", show_default="a new one")] = None,
    root: Root = DEFAULT_ROOT,
    old_root: OldRoot = None,
) -> int:
    """Store measurements of ASV as records, so that reports show them next to the others of a run.

    \b
    Example:
      mbcbench import-asv .asv/results --run latest
    """
    from mbcbench.cli.console import command_line, print_line
    from mbcbench.records import store
    from mbcbench.records.asv import read

    records = read(results)
    folder = old_root or root
    if run is None:
        target = store.Run.create(folder, profile="asv", seed=0, argv=command_line(), encoders=[])
    else:
        target = store.Run(store.find(run, folder))
    target.append(records)
    target.close()
    print_line(f"records   {target.folder / store.RECORDS}")
    return ExitCode.AS_CLAIMED
