"""The commands about data sets: what there is, where, whether it is whole, and getting it."""

from typing import Annotated

import typer

from mbcbench.errors import ExitCode, UsageError

app = typer.Typer(help="List, fetch and verify data sets.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Data sets, as `data list` names them.")]


@app.command("list")
def list_() -> int:
    """List the data sets: what each is for, whether it is there, its licence and source."""
    from mbcbench.commands import out
    from mbcbench.data import DATA_SETS
    from mbcbench.tables import plain_table

    table = plain_table("name", "kind", "", "present", "SHA-256", "licence", "source")
    for data in DATA_SETS.values():
        origin = "paper" if data.paper else "built in"
        present = "yes" if data.present else "no"
        table.add_row(data.name, data.kind, origin, present, data.sha256[:12], data.licence, data.source)
    out().print(table)
    return ExitCode.AS_CLAIMED


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A data set.", show_default="the folder of all")] = None,
) -> int:
    """Print the folder of all data sets, or where one lies and what is kept of it."""
    from mbcbench.data import data_set, folder, kept

    places = [data_set(name).where(), *kept.under(name)] if name else [folder()]
    for place in places:
        typer.echo(place)
    return ExitCode.AS_CLAIMED


@app.command()
def verify(names: Names = None) -> int:
    """Read every file of the data sets that are there, or of those named, and compare checksums."""
    from mbcbench.data import DATA_SETS, data_set

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
    """Get the data sets ready that are named; without a name, all that are built in, which needs no network."""
    from mbcbench.data import DATA_SETS, data_set

    chosen = [data_set(name) for name in names or []] or [data for data in DATA_SETS.values() if not data.paper]
    for data in chosen:
        data.fetch(offline)
        typer.echo(f"{data.name}: ready")
    return ExitCode.AS_CLAIMED
