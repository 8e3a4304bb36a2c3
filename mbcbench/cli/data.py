"""`mbcbench data`: list, fetch and verify data sets."""

from typing import Annotated

import typer

from mbcbench.cli.options import show_help_if_bare
from mbcbench.errors import ExitCode, UsageError

app = typer.Typer(help="List, fetch and verify data sets.", rich_markup_mode=None)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Data sets, as `data list` names them.")]


@app.callback(invoke_without_command=True)
def _data(context: typer.Context) -> None:
    show_help_if_bare(context)


@app.command("list")
def list_() -> int:
    """List the data sets with their licences and sources."""
    from mbcbench.cli.console import plain_table, print_out
    from mbcbench.datasets import DATA_SETS

    table = plain_table("name", "content", "", "present", "SHA-256", "licence", "source")
    for data in DATA_SETS.values():
        origin = "paper" if data.paper else "additional" if data.additional else "built in"
        present = "yes" if data.present else "no"
        table.add_row(data.name, data.content, origin, present, data.sha256[:12], data.licence, data.source)
    print_out(table)
    return ExitCode.AS_CLAIMED


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A data set.", show_default="the folder of all")] = None,
) -> int:
    """Print the folder of the data sets, or of one of them."""
    from mbcbench.datasets import cache, data_folder, data_set

    paths = [data_set(name).path(), *cache.cached_folders(name)] if name else [data_folder()]
    for path in paths:
        typer.echo(path)
    return ExitCode.AS_CLAIMED


@app.command(short_help="Read every file and compare it with its digest.")
def verify(names: Names = None) -> int:
    """Read every file of the named data sets, or of all that are present, and compare it with its digest."""
    from mbcbench.datasets import DATA_SETS, data_set

    chosen = [data_set(name) for name in names or []] or [data for data in DATA_SETS.values() if data.present]
    damaged = 0
    for data in chosen:
        try:
            typer.echo(f"{data.name}: {data.verify()}")
        except UsageError as error:
            damaged += 1
            typer.echo(f"{data.name}: {error}", err=True)
    return ExitCode.USAGE if damaged else ExitCode.AS_CLAIMED


@app.command(short_help="Prepare data sets; built-in ones if none is named.")
def fetch(
    names: Names = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use no network.")] = False,
) -> int:
    """Prepare the named data sets, or all that are built in.

    Built-in data sets need no network. For a data set that cannot be downloaded, the message says what to put where.
    """
    from mbcbench.datasets import DATA_SETS, data_set

    chosen = [data_set(name) for name in names or []] or [data for data in DATA_SETS.values() if data.built_in]
    for data in chosen:
        data.fetch(offline=offline)
        typer.echo(f"{data.name}: ready")
    return ExitCode.AS_CLAIMED
