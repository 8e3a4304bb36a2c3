"""Cells and columns of the leaderboard, for the terminal and the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..aggregation import BROKEN, MISSING
from ..columns import Row
from ..formatting import STATUS_WORDS, format_number, symbol
from .columns import TASKS, ScoreColumn

OTHER_TASKS = ("nll", "centroids")  # their columns form a separate table if space is short
LOWER_IS_BETTER = ("nll", "images", "memory", "state", "parameters")
INTERVAL = "mean and 95 % t interval over seeds"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    beside: an interval, or a note on missing seeds. order: sort key. title: tooltip. below: a second line. marks:
    symbols of remarks (see `board.MARKS`).
    """

    text: str
    beside: str = ""
    status: str = "ok"
    order: float | str | None = None
    title: str = ""
    below: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column of a table.

    about: meaning in words. numeric: True if it holds numbers. heading: shared with adjacent columns. is_main: True
    if there is room for it on a phone.
    """

    key: str
    label: str
    about: str
    numeric: bool
    cells: tuple[Cell, ...]
    heading: str = ""
    is_main: bool = False

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
    columns = [encoder_column(table)]
    for group in law_groups(table):
        about = f"laws of the group {group} that hold, of those that apply"
        columns.append(Column(group, group, about, True, tuple(_badge(row, group) for row in rows)))
    return columns + [score_column(rows, score) for score in scores]


def score_column(rows: Sequence[Row], score: ScoreColumn) -> Column:
    """Return a measured column. rows: of the table of the leaderboard."""
    cells = tuple(_score_cell(row, score) for row in rows)
    about = score.about
    if score.suite in TASKS:
        about += f": {INTERVAL}"
    return Column(score.key, score.label, about, True, cells)


def law_groups(table: pd.DataFrame) -> list[str]:
    """Return the groups of laws that a leaderboard has badges for."""
    return [column.split(".")[1] for column in table.columns if column.startswith("laws.") and column.count(".") == 1]


def encoder_column(table: pd.DataFrame) -> Column:
    """Return the column of the encoders; `board.Entry` has further notes for it."""
    cells = tuple(Cell(str(name), order=str(name)) for name in table["encoder"])
    return Column("encoder", "encoder", "the encoder, best first", False, cells, is_main=True)


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
    if lost:  # no sort key: the score cannot be compared with means over all seeds
        return Cell(text, story, status, None, title)
    notes = [] if math.isnan(half) else [f"±{half:.3f}"]
    if unlearnt:
        notes.append(f"{symbol('unlearnt')}{unlearnt:g}")
        title += f"; {unlearnt:g} of {expected:g} trainings ended at the loss of the baseline"
    return Cell(text, " ".join(notes), "ok", mean, title)
