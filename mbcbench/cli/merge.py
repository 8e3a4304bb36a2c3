"""`mbcbench merge`: make one run of the shards of a run."""

from pathlib import Path
from typing import Annotated

import typer

from mbcbench.cli.options import DEFAULT_ROOT, Root


def merge(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Paths or ids of the runs of all shards.")],
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the page here.", show_default="in the run's folder")
    ] = None,
    root: Root = DEFAULT_ROOT,
) -> int:
    """Merge the shards of a run (run --shard) into one run, and end as that run would have ended on one machine.

    \b
    Examples:
      mbcbench run --shard 1/2; mbcbench run --shard 2/2
      mbcbench merge .mbcbench/runs/*-of-2

    Every shard must be given once and have ended. Exit code 0: all laws are as claimed; 1: a law is broken; 2: a cell
    broke.
    """
    from mbcbench.api.merge import merge as merge_runs
    from mbcbench.cli.console import print_line
    from mbcbench.cli.show import print_reports
    from mbcbench.execution.exit_code import exit_code
    from mbcbench.records import store
    from mbcbench.system import check_writable

    if html is not None:
        check_writable(html)
    folder = merge_runs(runs, root=root)
    report_code = print_reports(folder, html, pages=True)
    print_line(f"records   {folder / store.RECORDS}")
    print_line(f"merged    {len(runs)} shards")
    return max(exit_code(store.records(folder)), report_code)
