"""The commands about data sets: what there is, where, whether it is whole, and getting it."""

from typing import Annotated

import typer

from mbcbench.errors import ExitCode, UsageError

app = typer.Typer(help="List, fetch and verify data sets.", no_args_is_help=True, rich_markup_mode=None)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Data sets, as `data list` names them.")]


@app.command("list")
def list_() -> int:
    """List the data sets with their licences and sources."""
    from mbcbench.cli.commands import out
    from mbcbench.cli.tables import plain_table
    from mbcbench.datasets import DATA_SETS

    table = plain_table("name", "content", "", "present", "SHA-256", "licence", "source")
    for data in DATA_SETS.values():
        origin = "paper" if data.paper else "built in"
        present = "yes" if data.present else "no"
        table.add_row(data.name, data.content, origin, present, data.sha256[:12], data.licence, data.source)
    out().print(table)
    return ExitCode.AS_CLAIMED


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A data set.", show_default="the folder of all")] = None,
) -> int:
    """Print where data sets are kept, or where one lies."""
    from mbcbench.datasets import cache, data_folder, data_set

    places = [data_set(name).path(), *cache.cached_folders(name)] if name else [data_folder()]
    for place in places:
        typer.echo(place)
    return ExitCode.AS_CLAIMED


@app.command()
def verify(names: Names = None) -> int:
    """Read every file of the data sets that are there, or of those named."""
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


@app.command()
def fetch(
    names: Names = None,
    offline: Annotated[bool, typer.Option("--offline", help="Make no connection.")] = False,
) -> int:
    """Get data sets ready; without a name, those that are built in.

    What is built in needs no network. What cannot be fetched says what to put where.
    """
    from mbcbench.datasets import DATA_SETS, data_set

    chosen = [data_set(name) for name in names or []] or [data for data in DATA_SETS.values() if not data.paper]
    for data in chosen:
        data.fetch(offline=offline)
        typer.echo(f"{data.name}: ready")
    return ExitCode.AS_CLAIMED
