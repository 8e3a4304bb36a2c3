"""`mbcbench show`: print a report of an earlier run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.cli.options import DEFAULT_ROOT, OldRoot, Root
from mbcbench.errors import ExitCode, UsageError, one_line
from mbcbench.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

    from mbcbench.reporting import Report

LEADERBOARD = "leaderboard"
EXPERIMENTS = "experiments"


def show(
    run: Annotated[str, typer.Argument(help="Path or id of a run.")] = "latest",
    all_runs: Annotated[bool, typer.Option("--all", help="List all runs instead.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the page too.", show_default=False)] = None,
    report: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Print this report; see: list reports.",
            show_default="as its suites need",
            autocompletion=complete_names("reports"),
        ),
    ] = None,
    root: Root = DEFAULT_ROOT,
    old_root: OldRoot = None,
) -> int:
    """Print a report of an earlier run, or list the runs.

    \b
    Examples:
      mbcbench show
      mbcbench show --all
      mbcbench show latest --report costs --html costs.html
    """
    from mbcbench.records import store

    folder = old_root or root
    return _list_runs(folder) if all_runs else print_reports(store.find(run, folder), html, name=report)


def print_reports(folder: Path, page: Path | None = None, *, name: str | None = None, pages: bool = False) -> ExitCode:
    """Print the report `name` of a run, or those that its suites need.

    The page of the first report is written to `page`; with `pages`, the others are written to the run's folder.
    """
    from mbcbench import registry
    from mbcbench.api.provenance import with_origin
    from mbcbench.api.report import explain_reports
    from mbcbench.records import store
    from mbcbench.records.record import frame
    from mbcbench.records.reference import add_reference

    with explain_reports(f"the report of {folder}"):
        own = frame(store.records(folder))
        info = with_origin(store.info(folder), [folder], own)
        names = _needed_reports(info) if name is None else [registry.plugin(registry.REPORTS, name).name]
        records = add_reference(own, info)
    paths = {name: folder / f"{name}.html" for name in names} if pages else {}
    if page is not None:
        paths[names[0]] = page
    return max(_print_report(name, records, info, paths.get(name)) for name in names)


def _needed_reports(info: JsonObject) -> list[str]:
    """Return the leaderboard for the default suites, the experiments for suites that have some."""
    from mbcbench.registry import default_suites

    experiments = info.get("experiments")
    leaderboard = not experiments or set(info.get("suites", ())) & set(default_suites())
    return [*([LEADERBOARD] if leaderboard else []), *([EXPERIMENTS] if experiments else [])]


def _print_report(name: str, records: "pd.DataFrame", info: JsonObject, page: Path | None) -> ExitCode:
    from mbcbench import registry
    from mbcbench.cli.console import print_error, print_line, print_out

    try:
        report: Report = registry.plugin(registry.REPORTS, name).load()
        print_out(report.terminal(records, info))
        if page is not None:
            page.write_text(report.html(records, info), encoding="utf-8")
    except Exception as error:  # code of a plug-in; the records are safe
        print_error(f"the report {name} broke: {one_line(error)}")
        return ExitCode.BROKE
    if page is not None:
        print_line(f"page      {page}")
    return ExitCode.AS_CLAIMED


def _list_runs(root: Path) -> ExitCode:
    """Print the runs under a root, oldest first."""
    from mbcbench.cli.console import plain_table, print_out
    from mbcbench.records import store

    table = plain_table("run", "suites", "cells", "records", unbroken=["run"])
    for folder in store.runs(root):
        try:
            table.add_row(folder.name, *_describe_run(folder))
        except UsageError as error:
            table.add_row(folder.name, "", "", str(error))
    if table.row_count == 0:
        raise UsageError(f"there are no runs under {root}; make one with: mbcbench run")
    print_out(table)
    return ExitCode.AS_CLAIMED


def _describe_run(folder: Path) -> tuple[str, str, str]:
    """Return the suites of a run, its finished cells, and the number of records by status."""
    from mbcbench.execution.suite import PROBE
    from mbcbench.records import files, store
    from mbcbench.records.record import count_statuses

    info = store.info(folder)
    records = [record for record in store.records(folder) if record.suite != PROBE]  # a probe is not a result
    done, planned = len({record.cell for record in records}), len(files.read_cells(folder / files.CELLS))
    cells = str(done) if done >= planned else f"{done} of {planned}"  # interrupted, or still running
    return ", ".join(info.get("suites", ())), cells, count_statuses(record.status for record in records)
