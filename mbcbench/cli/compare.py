"""The command that holds two runs beside each other."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mbcbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

DEFAULTS = "time=0.1 memory=0.05 score=0.01"


def compare(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="The path or id of the earlier run.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="The path or id of the later run.")],
    fail_on: Annotated[
        str, typer.Option(metavar="WORDS", help="What ends with exit code 4: regress, new-failure, or any kind.")
    ] = "",
    min_effect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Least change that counts.", show_default="time=0.1 memory=0.05 score=0.01"
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write one row a line.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder that keeps the runs.")] = Path(".mbcbench"),
) -> int:
    """Compare two runs: new failures, fixed, slower, more memory, worse score; and what cannot be compared, and why."""
    from mbcbench.cli.commands import out as console
    from mbcbench.records import compare as core
    from mbcbench.records import store

    watched = _watched(fail_on)
    options = core.Options({**core.MINIMUM, **dict(map(_minimum, min_effect or []))})
    changes = core.compare(_frame(store.find(a, out)), _frame(store.find(b, out)), options)
    if json is not None:
        if not json.parent.is_dir():
            raise UsageError(f"cannot write {json}: there is no folder {json.parent}")
        changes.to_json(json, orient="records", lines=True)
    console().print(_table(changes) if len(changes) else "no changes", highlight=False)
    return ExitCode.REGRESSION if changes["kind"].isin(watched).any() else ExitCode.AS_CLAIMED


def _frame(folder: Path) -> "pd.DataFrame":
    """The records of a run, with what all of them were made with."""
    from mbcbench.records import store
    from mbcbench.records.record import frame

    said = store.info(folder)
    processor = said.get("hardware", {}).get("cpu")
    return frame(store.records(folder)).assign(schema=said["schema"], processor=processor, threads=said.get("threads"))


def _watched(words: str) -> frozenset[str]:
    from mbcbench.records.compare import FIXED, KINDS, NEW_FAILURE, NOT_COMPARABLE, REGRESS
    from mbcbench.registry import did_you_mean

    kinds = [kind for pair in KINDS.values() for kind in pair]
    known = {"regress": REGRESS} | {kind: frozenset({kind}) for kind in (*kinds, NEW_FAILURE, FIXED, NOT_COMPARABLE)}
    asked = [word.strip() for word in words.split(",") if word.strip()]
    for word in asked:
        if word not in known:
            near = did_you_mean(word, known)
            raise UsageError(f"--fail-on {word!r} is none of {', '.join(known)}{near}")
    return frozenset[str]().union(*(known[word] for word in asked))


def _minimum(text: str) -> tuple[Any, float]:
    from mbcbench.records.compare import MINIMUM

    name, _, value = text.partition("=")
    try:
        least = float(value)
    except ValueError:
        least = -1.0
    if name not in MINIMUM or not least >= 0:
        raise UsageError(f"--min-effect {text} is no NAME=VALUE of {', '.join(MINIMUM)}, as in --min-effect time=0.1")
    return name, least


def _table(changes: "pd.DataFrame") -> "Table":
    from rich.text import Text

    from mbcbench.cli.tables import plain_table
    from mbcbench.records.compare import COLUMNS

    numbers = ("a", "b", "change", "low", "high")
    table = plain_table(*COLUMNS)
    for row in changes.to_dict("records"):
        cells = [_number(row[name]) if name in numbers else _word(row[name]) for name in COLUMNS]
        table.add_row(*map(Text, cells))
    return table


def _number(value: Any) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"


def _word(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}"
    return "" if value is None else str(value)
