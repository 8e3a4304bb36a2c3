"""Details of one encoder on the page: its laws, costs, claims and failures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mbcbench.types import JsonDict

from ..aggregation import MISSING, severity
from ..columns import Row
from ..formatting import NOT_RUN, css_class, format_number, where
from ..stats import fit_growth
from .board import MARKS, format_score, remarks
from .ranking import Ranking
from .standard import order_words

COLUMNS = [
    *("suite", "case", "seed", "status", "value", "message"),
    *("detail.bound", "detail.examples", "detail.text", "detail.reproduce"),
]
MODES = ("one piece", "streamed")
COSTS = {"time": "seconds", "measured memory": "MiB at its peak"}
UNIT_SIZES = {"time": 1.0, "measured memory": 2.0**20}


def anchors(encoders: Sequence[str]) -> dict[str, str]:
    """Return the HTML id of each encoder. Ids are made of names, so that links stay valid."""
    ids: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name in encoders:
        plain = "encoder-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        count = counts[plain] = counts.get(plain, 0) + 1
        ids[name] = plain if count == 1 else f"{plain}~{count}"
    return ids


def encoder_details(rows: pd.DataFrame, row: Row) -> JsonDict:
    """Return a description of one encoder. rows: tidy records. row: its row of the leaderboard."""
    records = rows.loc[rows["encoder"] == row["encoder"], COLUMNS]
    not_run = records["message"].map(lambda message: _text(message).startswith(NOT_RUN)).astype(bool)
    laws = records[records["suite"].eq("laws") & ~not_run].sort_values("status", key=_by_severity, kind="stable")
    broken = records[~records["suite"].isin(["laws", "probe"]) & records["status"].ne("ok") & ~not_run]
    broken = broken.assign(message=broken["message"].map(_text))
    return {
        "name": row["encoder"],
        "summary": _text(row["summary"]),
        "paper": _link(_text(row["paper"])),
        "probe": (_text(row["probe"]) or MISSING, _text(row["probe.message"])),
        "laws": list(map(_law, laws.to_dict("records"))),
        "not_run": where(records[not_run].to_dict("records")),
        "broken": broken[["suite", "seed", "status", "message"]].to_numpy().tolist(),
        "attention": records["status"].map(css_class).isin(["fail", "xpass", "broken"]).any(),
    }


def _by_severity(statuses: pd.Series) -> pd.Series:
    """Return sort keys: the most severe first."""
    return pd.Series([-severity(status) for status in statuses], index=statuses.index, dtype=int)


def _law(row: Row) -> dict[str, str]:
    """Return the outcome of a law with its numbers: `gap 0.17, bound 3.1e-15, 100 examples`."""
    numbers = []
    for name, value in (("gap", row["value"]), ("bound", row["detail.bound"])):
        if _is_number(value):
            numbers.append(f"{name} {value:.2g}")
    examples = row["detail.examples"]
    if _is_number(examples):
        numbers.append(f"{format_number(float(examples), 'examples')} examples")
    return {
        "law": row["case"],
        "status": row["status"],
        "message": _text(row["message"]),
        "numbers": ", ".join(numbers),
        "text": _text(row["detail.text"]),
        "reproduce": _text(row["detail.reproduce"]),
    }


@dataclass(frozen=True)
class TaskDetails:
    """Scores of one encoder on one task. tests: order, size and mean score of each. facts: label and text."""

    title: str
    tests: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str], ...]


def task_details(ranking: Ranking, encoder: str) -> list[TaskDetails]:
    """Return the scores of an encoder that was trained under `standard`, with facts about its training."""
    details = []
    for scores in ranking.tasks:
        tests = scores.tests[scores.tests["encoder"].eq(encoder)].sort_values(["detail.test_size", "value"])
        cells = [
            (order_words(row["order"]), f"{row['detail.test_size']:g} {scores.task.noun}", format_score(row["value"]))
            for row in tests.to_dict("records")
        ]
        if cells:
            facts = _training_facts(scores.table.loc[encoder].to_dict())
            details.append(TaskDetails(f"{scores.task.title} ({scores.task.measure})", tuple(cells), tuple(facts)))
    return details


def _training_facts(row: Row) -> list[tuple[str, str]]:
    """Return facts about the trainings of an encoder on a task. row: of `TaskScores.table`."""
    facts = [("seeds", f"{row['seeds']:g}")]
    formats = {"lr": "{:g}", "steps": "{:g}", "seconds": "{:.3g}", "parameters": "{:,.0f}"}
    labels = {"lr": "learning rate", "seconds": "seconds of a training"}
    facts += [(labels.get(key, key), form.format(row[key])) for key, form in formats.items() if not pd.isna(row[key])]
    if not pd.isna(row["gain"]):
        facts.append(("gain by twice the steps", format_score(row["gain"])))
    if row["lacks"]:
        facts.append(("not ranked", str(row["lacks"])))
    return facts + [("remark", MARKS[mark]) for mark in remarks(row)]


def cost_rows(costs: pd.DataFrame, encoder: str) -> list[list[str]]:
    """Return an encoder's costs as text: a heading, a row for each n, and a row of the fitted exponents.

    costs: see `growth.cost_table`.
    """
    measured = costs[costs["encoder"].eq(encoder) & costs["cost"].isin(COSTS) & costs["mode"].isin(MODES)]
    medians = measured.groupby(["cost", "mode", "n"])["value"].median()
    series = {}
    for cost, label in COSTS.items():
        for mode in MODES:
            if (cost, mode) in medians.index:
                series[f"{label}, {mode}"] = medians[cost, mode] / UNIT_SIZES[cost]
    if not series:
        return []
    table = pd.DataFrame(series).sort_index()
    lines = [["n", *table.columns]]
    for n, values in table.iterrows():
        lines.append([f"{n:,.0f}", *map("{:.3g}".format, values)])
    lines.append(["growth", *map(_growth, series.values())])
    return [[cell.replace("nan", "") for cell in line] for line in lines]


def _growth(column: pd.Series) -> str:
    fit = fit_growth(column.index, column)
    return "" if pd.isna(fit.low) else f"n^{fit.exponent:.2f}"


def claims_of(claims: pd.DataFrame | None, encoder: str) -> Sequence[Row]:
    """Return the claims that are tested on an encoder."""
    if claims is None:
        return []
    tested = claims["encoders"].map(lambda names: encoder in names.split(", ")).astype(bool)
    return claims[tested].to_dict("records")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not pd.isna(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _link(url: str) -> str:
    """Return the address if a page may link to it."""
    return url if url.startswith(("https://", "http://")) else ""
