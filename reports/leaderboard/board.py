"""The ranked leaderboard: notes next to the name of an encoder, and columns of the three tasks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..aggregation import BROKEN, worst
from ..columns import Row
from ..formatting import STATUS_WORDS
from .cells import Cell, Column, encoder_column, law_groups, score_column
from .columns import ONE_PIECE, ScoreColumn
from .families import family_of
from .ranking import Ranking, format_interval
from .standard import ANY_ORDER, ORDERS, Task, TaskScores

INCONSISTENT = "†"
UNCONVERGED = "°"
UNLEARNT = "≈"
# Remarks, by the symbol that stands for them. None of them removes a result.
MARKS = {
    INCONSISTENT: "breaks a law of mbc: chunks change its encoding",
    UNCONVERGED: "not converged: twice the steps improve its validation score by more than the task's tolerance",
    UNLEARNT: "at chance: a training ended within .02 nats of the loss of the best prediction that ignores the set",
}
# Short names of stream orders in the table, by their names in words; the page explains them.
SHORT_ORDERS = {words: words.partition(" ")[0] for words in ORDERS.values()}
SHORT_ORDERS |= {ORDERS["one-and-rest"]: "1 + rest", ONE_PIECE: "whole", ANY_ORDER: "any"}
LAW_COLUMNS = ("mbc", "other laws")
COST_LABELS = {"throughput": "elem/s", "memory": "mem.", "parameters": "params"}


@dataclass(frozen=True)
class Entry:
    """Notes next to the name of an encoder in the first column.

    rank: empty if it is not ranked, for the `reason` given. traits: values by which rows can be filtered.
    """

    name: str
    rank: str
    interval: str
    group: str
    family: str
    reason: str
    is_apart: bool
    marks: tuple[str, ...]
    traits: tuple[str, ...]

    @property
    def order(self) -> float | None:
        """Return the sort key of its rank."""
        return float(self.rank) if self.rank else None


def entries(table: pd.DataFrame) -> list[Entry]:
    """Return an entry for each row of the table of the leaderboard."""
    return [_entry(row) for row in table.to_dict("records")]


def _entry(row: Row) -> Entry:
    mbc = row.get("laws.mbc.status", "")
    is_ranked = not math.isnan(row["rank"])
    return Entry(
        name=str(row["encoder"]),
        rank=f"{row['rank']:g}" if is_ranked else "",
        interval=format_interval(row["low"], row["high"]),
        group=str(row["group"]),
        family=family_of(str(row["encoder"])),
        reason=str(row["reason"]),
        is_apart=bool(row["is_apart"]),
        marks=(INCONSISTENT,) if mbc in ("xfail", "fail") else (),
        traits=tuple(["ranked"] * is_ranked + ["consistent"] * (mbc == "pass")),
    )


def board_columns(table: pd.DataFrame, ranking: Ranking, scores: Sequence[ScoreColumn]) -> list[Column]:
    """Return the columns of the ranked leaderboard: the encoder, four for each task, laws, and costs."""
    rows = table.to_dict("records")
    columns = [encoder_column(table)]
    for task in ranking.tasks:
        columns += _task_columns(task, list(table["encoder"]), ranking)
    columns += _law_columns(table)
    for score in scores:
        if score.key in COST_LABELS:
            column = score_column(rows, score)
            columns.append(Column(column.key, COST_LABELS[score.key], column.about, True, column.cells, "cost"))
    return columns


def _task_columns(scores: TaskScores, names: Sequence[str], ranking: Ranking) -> list[Column]:
    task, (trained, other) = scores.task, scores.sizes
    expected = len(scores.losses.columns)
    rows = [
        {**scores.table.loc[name].to_dict(), "place": _place(ranking, name, task), "expected": expected}
        for name in names
    ]
    about = f"{task.title}, {task.measure}; sets of {trained:g} {task.noun} as in training"
    settings = [
        ("one_piece", "whole", f"{about}, in one piece"),
        ("random", "random", f"{about}, streamed in random chunks of a quarter"),
    ]
    if other is not None:
        settings.append(("other", f"@{other:g}", f"{task.title}, {task.measure}; {other:g} {task.noun}, in one piece"))
    heading = f"{task.title} {'↓' if task.lower_is_better else '↑'}"
    worst_about = f"{about}; the worst over one piece and all orders of the stream, which is named; this ranks"
    score_cells = tuple(_worst_cell(row) for row in rows)
    columns = [Column(f"{task.key}.score", "worst", worst_about, True, score_cells, heading, is_main=True)]
    for key, label, words in settings:
        cells = tuple(_mean_cell(row, key) for row in rows)
        columns.append(Column(f"{task.key}.{key}", label, words, True, cells, heading))
    return columns


def _place(ranking: Ranking, name: str, task: Task) -> str:
    """Return the rank on one task in words, if the encoder has one."""
    row = ranking.table.loc[name]
    if pd.isna(row["rank"]):
        return ""
    interval = format_interval(row[f"{task.key}.low"], row[f"{task.key}.high"])
    return f"rank {row[f'{task.key}.rank']:g}" + (f" ({interval})" if interval else "")


def _worst_cell(row: Row) -> Cell:
    """Return the score for the ranking, with its interval, the worst order, and remarks."""
    if pd.isna(row["score"]):
        return Cell("", "", "missing", None, str(row["lacks"]) or "no score")
    if row["lacks"]:  # no sort key: the score cannot be compared with means over all seeds
        seeds = f"{row['seeds']:g} of {row['expected']} seeds"
        return Cell(format_score(row["score"]), seeds, "missing", None, str(row["lacks"]))
    marks = tuple(remarks(row))
    title = [str(row["place"]), f"{row['seeds']:g} seeds"]
    if row["worst_order"] != ANY_ORDER:
        title.append(f"{row['worst_order']}: {format_score(row['lost'])} worse than in one piece")
    title += [MARKS[mark] for mark in marks]
    if UNCONVERGED in marks:
        title.append(f"better by {format_score(row['gain'])}")
    beside = "" if pd.isna(row["half"]) else f"±{format_score(row['half'])}"
    text, order = format_score(row["score"]), float(row["score"])
    below = SHORT_ORDERS.get(row["worst_order"], row["worst_order"])
    return Cell(text, beside, "ok", order, "; ".join(filter(None, title)), below, marks)


def remarks(row: Row) -> list[str]:
    """Return the marks of an encoder on a task. row: of `TaskScores.table`."""
    marks = [UNCONVERGED] if row["unconverged"] else []
    return marks + ([UNLEARNT] if row["unlearnt"] > 0 else [])


def _mean_cell(row: Row, key: str) -> Cell:
    if pd.isna(row[key]):
        return Cell("", "", "missing", None, str(row["lacks"]) or "no record")
    return Cell(format_score(row[key]), "", "ok", None if row["lacks"] else float(row[key]))


def format_score(value: float) -> str:
    """Return three decimals without a leading zero, `.924` or `-.051`; above 1, three digits: `15.5`."""
    if abs(value) < 1:
        return f"{value:z.3f}".replace("0.", ".", 1)
    return f"{value:.3g}" if abs(value) >= 100 else f"{value:#.3g}"


def _law_columns(table: pd.DataFrame) -> list[Column]:
    """Return two badges: the laws of mbc, and all the others."""
    groups = law_groups(table)
    parts = {"mbc": [group for group in groups if group == "mbc"], "other laws": [g for g in groups if g != "mbc"]}
    rows = table.to_dict("records")
    columns = []
    for label, members in parts.items():
        if members:
            about = f"laws that hold, of those that apply: {', '.join(members)}"
            cells = tuple(_badge(row, members) for row in rows)
            columns.append(Column(label, label.removesuffix(" laws"), about, True, cells, "laws"))
    return columns


def _badge(row: Row, groups: Sequence[str]) -> Cell:
    """Return the numbers of laws that hold and that apply, over some groups; the tooltip has each group."""
    texts = [str(row[f"laws.{group}"]) for group in groups]
    status = worst(row[f"laws.{group}.status"] for group in groups)
    hold = sum(int(text.split("/")[0]) for text in texts)
    apply = sum(int(text.split("/")[1]) for text in texts)
    title = ", ".join(f"{group} {text}" for group, text in zip(groups, texts, strict=True))
    if status != "pass":
        title += f"; {status if status in BROKEN else STATUS_WORDS.get(status, status)}"
    if not apply:
        return Cell("", "", status, None, title)
    return Cell(f"{hold}/{apply}", "", status, hold / apply, title)
