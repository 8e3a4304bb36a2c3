"""The experiments of a run: for each a table of means with intervals, a row for each model and way of testing it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mbcbench.reporting import Report

from ..aggregation import tidy
from ..formatting import facts, failures, kind, symbol
from ..rendering import template
from .experiment_table import ExperimentTable, experiment_tables

LEGEND = (
    "Mean over seeds, ± its 95% t interval. n/m: n of m seeds gave a value. "
    "≈: that many seeds are still on the plateau, where a model knows only the mean colour: undecided. "
    "against: the paired difference to the first model, averaged over the columns, with its 95% bootstrap interval "
    "over seeds; of three seeds that is their range, which is narrower than it should be."
)


def terminal(frame: pd.DataFrame, info: Mapping[str, Any]) -> RenderableType:
    """What `rich` prints: a table for each experiment, and what went wrong."""
    return Group(*_parts(frame, info))


def _parts(frame: pd.DataFrame, info: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text("mbcbench experiments", style="bold")
    for label, text in facts(tidy(frame), info):
        yield Text(f"{label:9} {text}")
    yield Text()
    for found in experiment_tables(frame, info):
        yield _table(found) if found.rows else Text(f"{found.name}: {found.title}\n  no record shows it\n")
    yield Text(LEGEND, style="dim")
    for encoder, status, where, why in failures(tidy(frame)):
        yield Text(f"! {encoder}  {status}  {where}  {why}", style="bold red")


def _table(found: ExperimentTable) -> Table:
    title = f"{found.name}: {found.title}"
    table = Table(box=box.SIMPLE_HEAD, title=Text(title, style="bold"), title_justify="left", pad_edge=False)
    table.add_column("model", overflow="fold")
    if found.tested:
        table.add_column("test", overflow="fold")
    for value in found.columns:
        table.add_column(f"{found.across} {value}".strip(), justify="right")
    if found.compared:
        table.add_column(f"against {found.first}", justify="right", overflow="fold")
    for row in found.rows:
        test = [Text(row.test)] if found.tested else []
        compared = [Text(row.difference)] if found.compared else []
        table.add_row(Text(row.model), *test, *map(Text, row.cells), *compared)
    return table


def html(frame: pd.DataFrame, info: Mapping[str, Any]) -> str:
    """The same as one self-contained page."""
    tables: Sequence[ExperimentTable] = experiment_tables(frame, info)
    rows = tidy(frame)
    return template("experiments.html").render(
        tables=tables,
        facts=facts(rows, info),
        failures=failures(rows),
        legend=LEGEND,
        kind=kind,
        symbol=symbol,
        anchors={},
    )


REPORT = Report(
    name="experiments",
    summary="each experiment as a table of means with intervals: one row a model",
    terminal=terminal,
    html=html,
)
