"""`mbcbench list`: list the registered names. No plug-in is imported."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mbcbench.errors import ExitCode

if TYPE_CHECKING:
    from rich.table import Table


class Kind(StrEnum):
    """Kinds of plug-ins."""

    ENCODERS = "encoders"
    LAWS = "laws"
    SUITES = "suites"
    REPORTS = "reports"
    ARTEFACTS = "artefacts"


def list_(
    kind: Annotated[Kind | None, typer.Argument(help="Kind of plug-ins to list.", show_default="all")] = None,
) -> int:
    """List the registered encoders, laws, suites, reports and artefacts.

    \b
    Examples:
      mbcbench list
      mbcbench list laws
    """
    from mbcbench.cli.console import print_out

    for chosen in [kind] if kind else list(Kind):
        print_out(_table(chosen))
    return ExitCode.AS_CLAIMED


def _table(kind: Kind) -> "Table":
    from rich.text import Text

    from mbcbench import registry
    from mbcbench.cli.fitted_table import fitted_table

    plugins = registry.plugins(f"mbcbench.{kind}").values()
    others = any(plugin.distribution != "mbcbench" for plugin in plugins)
    columns = [*(["runs"] if kind is Kind.SUITES else []), *(["from"] if others else [])]
    rows = []
    for plugin in plugins:
        runs = ["by default" if plugin.is_default else "when named"] if kind is Kind.SUITES else []
        origin = [plugin.distribution] if others else []
        rows.append([Text(cell) for cell in (plugin.name, *runs, *origin, plugin.summary or plugin.target)])
    return fitted_table(("name", *columns, "summary"), rows, title=str(kind))
