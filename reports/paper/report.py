"""The experiments of a run: one table of means with intervals each, with one row per model and test."""

from collections.abc import Iterator

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mbcbench.reporting import Report
from mbcbench.types import JsonObject

from ..formatting import css_class, facts, failures, symbol
from ..provenance import record_lines
from ..rendering import template
from ..selection import tidy
from .experiment_table import ExperimentTable, TableRow, experiment_tables

LEGEND = (
    "Mean over seeds, ± its 95 % t interval. n/m: n of m seeds gave a value. "
    "≈: that many trainings ended at the loss of the baseline, which knows only the mean colour. "
    "parameters: of the whole model. "
    "against: the difference to the first model, paired by seed and averaged over the columns, with its 95 % t "
    "interval."
)


def terminal(frame: pd.DataFrame, info: JsonObject) -> RenderableType:
    """Return a renderable of `rich`: a table for each experiment, and the failures."""
    return Group(*_parts(frame, info))


def _parts(frame: pd.DataFrame, info: JsonObject) -> Iterator[RenderableType]:
    rows = tidy(frame)
    yield Text("mbcbench experiments", style="bold")
    for label, text in facts(rows, info):
        yield Text(f"{label:9} {text}")
    yield from map(Text, record_lines(info))
    yield Text()
    for table in experiment_tables(frame, info):
        yield _view(table) if table.rows else Text(f"{table.name}: {table.title}\n  no record shows it\n")
    yield Text(LEGEND, style="dim")
    for encoder, status, where, why in failures(rows):
        yield Text(f"! {encoder}  {status}  {where}  {why}", style="bold red")


def _view(table: ExperimentTable) -> Table:
    title = Text(f"{table.name}: {table.title}", style="bold")
    view = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    view.add_column("model", overflow="fold")
    if table.has_tests:
        view.add_column("test", overflow="fold")
    if table.has_parameters:
        view.add_column("parameters", justify="right")
    for value in table.columns:
        view.add_column(f"{table.columns_by} {value}".strip(), justify="right")
    if table.has_differences:
        view.add_column(f"against {table.first}", justify="right", overflow="fold")
    for row in table.rows:
        view.add_row(*map(Text, _texts(row, table)))
    return view


def _texts(row: TableRow, table: ExperimentTable) -> Iterator[str]:
    yield row.model
    if table.has_tests:
        yield row.test
    if table.has_parameters:
        yield row.parameters
    yield from row.cells
    if table.has_differences:
        yield row.difference


def html(frame: pd.DataFrame, info: JsonObject) -> str:
    """Return the tables and failures as one self-contained page."""
    rows = tidy(frame)
    return template("experiments.html").render(
        tables=experiment_tables(frame, info),
        facts=facts(rows, info),
        origin=record_lines(info),
        failures=failures(rows),
        legend=LEGEND,
        css_class=css_class,
        symbol=symbol,
        anchors={},
    )


REPORT = Report(
    name="experiments",
    summary="each experiment as a table of means with intervals: one row per model",
    terminal=terminal,
    html=html,
)
