"""Cells and columns of the leaderboard as they are shown, in the terminal and on the page alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..aggregation import BROKEN, MISSING
from ..columns import Row
from ..formatting import STATUS_WORDS, format_number, symbol
from .columns import TASKS, ScoreColumn

OTHER_TASKS = ("nll", "centroids")  # their columns form a table of their own where width is short
LOWER_IS_BETTER = ("mean_rank", "nll", "memory", "state", "parameters")
OVER_TASKS = {
    "mean_rank": ("mean rank", "the mean over tasks of the rank by mean score (lower is better)"),
    "borda": ("Borda", "encoders beaten, averaged over the seeds of a task and summed over tasks (higher is better)"),
}
INTERVAL = "mean and 95 % t interval over seeds"
INCONSISTENT = "†"  # beside the rank of an encoder that breaks a law of mbc


@dataclass(frozen=True)
class Cell:
    """A cell: the text, a note beside it (an interval, or what is missing), the status, a sort key and a tooltip."""

    text: str
    beside: str = ""
    status: str = "ok"
    order: float | str | None = None
    title: str = ""


@dataclass(frozen=True)
class Column:
    """A column: key, heading, meaning in words, and True if it holds numbers."""

    key: str
    label: str
    about: str
    numeric: bool
    cells: tuple[Cell, ...]

    @property
    def is_descending(self) -> bool:
        """True if the largest value is the best."""
        return self.numeric and self.key.partition(".")[0] not in LOWER_IS_BETTER

    @property
    def is_other_task(self) -> bool:
        """True for a task other than the first."""
        return self.key.partition(".")[0] in OTHER_TASKS


def view_columns(table: pd.DataFrame, scores: Sequence[ScoreColumn]) -> list[Column]:
    """Return the columns to show: the encoder, a badge for each group of laws, and the scores."""
    rows = table.to_dict("records")
    columns = [Column("encoder", "encoder", "the encoder, best first", False, tuple(map(_encoder_cell, rows)))]
    for group in law_groups(table):
        about = f"laws of the group {group} that hold, of those that apply"
        columns.append(Column(group, group, about, True, tuple(_badge(row, group) for row in rows)))
    return columns + [_score_column(rows, score) for score in scores]


def _score_column(rows: Sequence[Row], score: ScoreColumn) -> Column:
    cells = tuple(_score_cell(row, score) for row in rows)
    about = score.about
    if score.suite in TASKS:
        about += f": {INTERVAL}"
    return Column(score.key, score.label, about, True, cells)


def law_groups(table: pd.DataFrame) -> list[str]:
    """Return the groups of laws that a leaderboard has badges for."""
    return [column.split(".")[1] for column in table.columns if column.startswith("laws.") and column.count(".") == 1]


def over_tasks(table: pd.DataFrame) -> list[Column]:
    """Return the columns of what is counted over all tasks."""
    columns = []
    for key, (label, about) in OVER_TASKS.items():
        columns.append(Column(key, label, about, True, tuple(map(_count_cell, table[key]))))
    return columns


def _encoder_cell(row: Row) -> Cell:
    name = str(row["encoder"])
    if math.isnan(row["rank"]):
        return Cell(name, "", "unranked", name)
    if row.get("laws.mbc.status", "pass") in ("xfail", "fail"):
        note = "breaks a law of mbc: chunks change its encoding"
        return Cell(name, f"{row['rank']:g}{INCONSISTENT}", "ok", name, note)
    return Cell(name, f"{row['rank']:g}", "ok", name)


def _count_cell(value: float) -> Cell:
    if math.isnan(value):
        return Cell("", "", "unranked", None, "not every seed of every task gave a score")
    return Cell(f"{value:.3g}", "", "ok", value)


def _badge(row: Row, group: str) -> Cell:
    text, status = row[f"laws.{group}"], row[f"laws.{group}.status"]
    hold, apply = map(int, text.split("/"))
    title = f"{hold} of {apply} {group} laws hold"
    if status in BROKEN:
        title += f"; {status}"
    elif status != "pass":
        title += f"; {STATUS_WORDS.get(status, status)}"
    if not apply:
        return Cell("", "", status, None, title)
    return Cell(text, "", status, hold / apply, title)


def _score_cell(row: Row, score: ScoreColumn) -> Cell:
    mean, half, status = row[score.key], row[f"{score.key}.half"], row[f"{score.key}.status"]
    seeds, expected, lost = row[f"{score.key}.seeds"], row[f"{score.key}.expected"], row[f"{score.key}.lost"]
    unlearnt, message = row[f"{score.key}.unlearnt"], row[f"{score.key}.message"]
    if status == MISSING and score.where.get("detail.mode") == "streamed" and row["streaming"] is False:
        return Cell("", "", "skip", None, "it does not stream")
    story = "; ".join(filter(None, (f"{seeds} of {expected} seeds", lost)))
    title = ": ".join(filter(None, (story, message)))
    if not seeds:
        return Cell("", "", status, None, title)
    text = format_number(mean, score.metric)
    if lost:  # without a sort key: it cannot be compared with means over all seeds
        return Cell(text, story, status, None, title)
    notes = [] if math.isnan(half) else [f"±{half:.3f}"]
    if unlearnt:
        notes.append(f"{symbol('unlearnt')}{unlearnt:g}")
        title += f"; {unlearnt:g} of {expected:g} trainings ended at the loss of the baseline"
    return Cell(text, " ".join(notes), "ok", mean, title)
