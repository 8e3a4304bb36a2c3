"""`mbcbench report`: draw the leaderboard, tables, figures and claims as files."""

from pathlib import Path
from typing import Annotated

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.cli.options import DEFAULT_ROOT, Root
from mbcbench.errors import ExitCode
from mbcbench.registry import split_commas


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Paths or ids of runs; several are merged.",
            show_default="latest; with --only, the latest that has records of these",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID,...",
            help="Draw these artefacts; see: list artefacts. May be repeated.",
            show_default="all",
            autocompletion=complete_names("artefacts", as_list=True),
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME,...", help="html, md, latex, csv, png, svg.", show_default="html"),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the files.")] = Path("report"),
    root: Root = DEFAULT_ROOT,
) -> int:
    """Draw the leaderboard, tables, figures and verdicts on claims from records. Nothing is trained.

    \b
    Examples:
      mbcbench report
      mbcbench report latest --only fig3b,table1 --format png,csv --out figures
    """
    from mbcbench.api.report import report as write_report
    from mbcbench.cli.console import print_error, print_line
    from mbcbench.errors import plural

    files = write_report(
        runs or None, only=split_commas(only), formats=split_commas(formats) or ["html"], out=out, root=root
    )
    if only or len(files.missing) == 1:
        for line in files.missing:
            print_error(line)
    elif files.missing:  # the run was not made for these artefacts
        names = [line.partition(":")[0] for line in files.missing]
        print_error(
            f"no records for {', '.join(names)}; for the command that makes them, see: mbcbench describe {names[0]}"
        )
    drawn = files.artefacts - len(files.missing)
    print_line(f"{drawn} of {plural(files.artefacts, 'artefact')} drawn, {plural(len(files.paths), 'file')} in {out}")
    return ExitCode.AS_CLAIMED
