"""`mbcbench compare`: compare two runs."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mbcbench.cli.options import DEFAULT_ROOT, OldRoot, Root
from mbcbench.errors import ExitCode, UsageError
from mbcbench.registry import split_commas

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def compare(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Path or id of the earlier run, or a --root.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="Path or id of the later run, or a --root.")],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND,...",
            help="End with exit code 4 after such changes: regress, new-failure or any kind. May be repeated.",
            show_default=False,
        ),
    ] = None,
    min_effect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Least change that counts. May be repeated.",
            show_default="time=0.1 memory=0.05 score=0.01",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write one row per line.", show_default=False)
    ] = None,
    root: Root = DEFAULT_ROOT,
    old_root: OldRoot = None,
) -> int:
    """Compare two runs: failures, changes of time, memory and scores, and results that cannot be compared.

    \b
    Examples:
      mbcbench compare before after --fail-on new-failure
      mbcbench compare A B --fail-on regress,new-failure --min-effect time=0.2
    """
    from mbcbench.api.compare import compare as compare_runs
    from mbcbench.cli.console import print_line, print_out
    from mbcbench.system import check_writable

    watched = _watched_kinds(split_commas(fail_on))
    minimum = dict(map(_parse_minimum, min_effect or []))
    changes = compare_runs(a, b, min_effect=minimum, root=old_root or root)
    if json is not None:
        check_writable(json)
        changes.to_json(json, orient="records", lines=True)
    if len(changes):
        print_out(_table(changes), highlight=False)
    print_line(_counts(changes))
    return ExitCode.REGRESSION if changes["kind"].isin(watched).any() else ExitCode.AS_CLAIMED


def _watched_kinds(words: list[str]) -> frozenset[str]:
    from mbcbench.records.compare import CHANGED, FIXED, KINDS, NEW_FAILURE, NOT_COMPARABLE, REGRESS
    from mbcbench.registry import did_you_mean

    kinds = [kind for pair in KINDS.values() for kind in pair]
    others = (CHANGED, NEW_FAILURE, FIXED, NOT_COMPARABLE)
    known = {"regress": REGRESS} | {kind: frozenset({kind}) for kind in (*kinds, *others)}
    for word in words:
        if word not in known:
            near = did_you_mean(word, known)
            raise UsageError(f"--fail-on {word!r} is not a kind of change{near}; expected one of {', '.join(known)}")
    return frozenset[str]().union(*(known[word] for word in words))


def _parse_minimum(text: str) -> tuple[Any, float]:
    from mbcbench.records.compare import MINIMUM

    name, _, value = text.partition("=")
    try:
        minimum = float(value)
    except ValueError:
        minimum = -1.0
    if name not in MINIMUM or not minimum >= 0:
        raise UsageError(
            f"--min-effect {text} is not NAME=VALUE with one of {', '.join(MINIMUM)}; as in --min-effect time=0.1"
        )
    return name, minimum


def _counts(changes: "pd.DataFrame") -> str:
    """Return the number of changes of each kind, and the laws or cases that fail now."""
    from mbcbench.records.compare import NEW_FAILURE

    counts = [f"{count} {kind}" for kind, count in changes["kind"].value_counts(sort=False).items()]
    cases = changes.loc[changes["kind"] == NEW_FAILURE, "case"].unique()
    failures = f"; fails now: {', '.join(cases)}" if len(cases) else ""
    return f"{', '.join(counts) or 'no changes'}{failures}"


def _table(changes: "pd.DataFrame") -> "Table":
    from rich.text import Text

    from mbcbench.cli.console import format_number, plain_table
    from mbcbench.records.compare import COLUMNS

    numbers = ("a", "b", "change", "low", "high")
    cells = {
        name: [format_number(value, ".4g") if name in numbers else _word(value) for value in changes[name]]
        for name in COLUMNS
    }
    used = [name for name in COLUMNS if any(cells[name])]
    table = plain_table(*used)
    for row in zip(*(cells[name] for name in used), strict=True):
        table.add_row(*map(Text, row))
    return table


def _word(value: Any) -> str:
    """Return a cell as text. Whole numbers have no decimals: a column with missing values holds floats."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}"
    return "" if value is None else str(value)
