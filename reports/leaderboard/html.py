"""The leaderboard as one self-contained page, with its style, script and figure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from mbcbench.types import JsonDict, JsonObject

from ..aggregation import MISSING, judged_rows, law_group, law_matrix, outcomes, summarise_outcomes
from ..captions import sentence
from ..cost_figures import QUALITY_COST
from ..formatting import STATUS_WORDS, css_class, facts, failures, symbol
from ..growth import cost_table
from ..provenance import record_lines
from ..rendering import template
from ..selection import label_models, tidy
from ..style import image
from .board import MARKS, SHORT_ORDERS, board_columns, entries
from .cells import Column, view_columns
from .columns import ACCURACY, ONE_PIECE, RESOURCES, STREAMED, ScoreColumn, encoders_of, score_columns, suite_rows
from .encoder_details import anchors, claims_of, cost_rows, encoder_details, task_details
from .ranking import INTERVALS_RULE, Ranking
from .standard import ANY_ORDER
from .table import notes, ranked_table

COST_KEYS = ("throughput", "memory", "state", "parameters")
CHANGED = 0.002  # accuracies of one piece and of a stream that differ by more are marked


def html(frame: pd.DataFrame, info: JsonObject) -> str:
    """Return a run as one self-contained page."""
    return template("leaderboard.html").render(context(frame, info))


def context(frame: pd.DataFrame, info: JsonObject, claims: pd.DataFrame | None = None) -> JsonDict:
    """Return the variables of the page's template.

    claims: the table of claims (see `claims.claims_table`); each is shown with the encoders that it is tested on.
    """
    rows = judged_rows(tidy(frame))
    table, ranking = ranked_table(frame, encoders_of(rows, info))
    encoders = list(table["encoder"])
    matrix = law_matrix(rows, encoders)
    return {
        "symbol": symbol,
        "css_class": css_class,
        "column_class": column_class,
        "law_group": law_group,
        "anchors": anchors(encoders),
        "facts": facts(rows, info),
        "origin": record_lines(info),
        "summary": summary(table, matrix, rows),
        "boards": boards(table, ranking, score_columns(rows)),
        "entries": entries(table),
        "is_ranked": bool(ranking.tasks),
        "rules": [ranking.rule, INTERVALS_RULE] if ranking.tasks else [],
        "marks": MARKS,
        "any_order": SHORT_ORDERS[ANY_ORDER],
        "encoders": encoders,
        "legend": STATUS_WORDS,
        "notes": notes(frame, info, table),
        "failures": failures(rows),
        "laws": list(matrix.columns),
        "matrix": matrix.to_dict("index"),
        "statements": law_statements(rows),
        "accuracies": accuracy_table(rows, encoders),
        "figure": cost_figure(frame),
        "details": _details(rows, table, ranking, claims),
    }


def column_class(column: Column, previous: Column | None = None) -> Markup:
    """Return the classes of a column of the ranked table: `more` if a phone leaves it out, `first` under a heading."""
    if not column.heading:
        return Markup("")
    is_first = previous is None or previous.heading != column.heading
    return Markup(' class="{}"').format(" ".join(["more"] * (not column.is_main) + ["first"] * is_first))


def _details(rows: pd.DataFrame, table: pd.DataFrame, ranking: Ranking, claims: pd.DataFrame | None) -> list[JsonDict]:
    costs = cost_table(rows)
    details = []
    for row in table.to_dict("records"):
        name = str(row["encoder"])
        more = {"costs": cost_rows(costs, name), "claims": claims_of(claims, name)}
        details.append(encoder_details(rows, row) | more | {"tasks": task_details(ranking, name)})
    return details


def boards(table: pd.DataFrame, ranking: Ranking, scores: Sequence[ScoreColumn]) -> list[tuple[str, list[Column]]]:
    """Return tables that fit on a page: a heading, and the columns, the encoder's first.

    All ranked scores are in one table.
    """
    if ranking.tasks:
        return [("Ranking", board_columns(table, ranking, scores))]
    columns = view_columns(table, scores)
    encoder, *others = columns
    parts: dict[str, list[Column]] = {"Laws": [], "Tasks": [], "Cost": []}
    for column in others:
        parts[_board(column)].append(column)
    if not any(column.is_other_task for column in parts["Tasks"]):
        return [("Laws, scores and costs", columns)]
    return [(title, [encoder, *part]) for title, part in parts.items() if part]


def _board(column: Column) -> str:
    """Return the heading of the table that a column belongs to."""
    if column.key.partition(".")[0] in COST_KEYS:
        return "Cost"
    return "Tasks" if column.is_other_task or column.key.startswith("accuracy") else "Laws"


def summary(table: pd.DataFrame, matrix: pd.DataFrame, rows: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Return counts of encoders: the count, its description, and a status for its colour."""
    broken = set(rows.loc[rows["status"].map(css_class) == "broken", "encoder"])
    failing = set(rows.loc[rows["status"].isin(["fail", "xpass"]), "encoder"])
    complete = set(matrix.index[~matrix.isin([MISSING]).any(axis=1)])
    if matrix.empty:
        complete = set()
    counts = [
        (len(table), "encoder", "encoders", "ok"),
        (len(complete - broken - failing), "behaves as claimed", "behave as claimed", "pass"),
        (len(failing), "breaks a claim", "break a claim", "fail"),
        (len(broken), "met an error", "met an error", "broken"),
    ]
    return [(count, one if count == 1 else many, status) for count, one, many, status in counts if count]


def law_statements(rows: pd.DataFrame) -> dict[str, str]:
    """Return the statements of laws that records have."""
    laws = rows[rows["suite"].eq("laws") & rows["detail.statement"].notna()].drop_duplicates("case")
    return dict(zip(laws["case"], laws["detail.statement"], strict=True))


@dataclass(frozen=True)
class AccuracyCell:
    """Accuracy in one piece, and streamed if that differs."""

    text: str
    streamed: str = ""


@dataclass(frozen=True)
class AccuracyTable:
    """Accuracy of each encoder that has one by the number of test points. seeds: notes on missing seeds."""

    sizes: tuple[str, ...]
    rows: dict[str, tuple[AccuracyCell, ...]]
    seeds: dict[str, str]


def accuracy_table(rows: pd.DataFrame, encoders: Sequence[str]) -> AccuracyTable | None:
    """Return accuracies by the number of test points; None if there are fewer than two sizes."""
    of_suite, _ = suite_rows(rows, ACCURACY)
    sizes = sorted(of_suite["detail.test_size"].dropna().unique())
    if len(sizes) < 2:
        return None
    means = accuracies(of_suite, encoders)
    by_setting = means.set_index(["encoder", "test_size", "mode"])["mean"].to_dict()
    cells = {}
    for name in encoders:
        of_encoder = tuple(_accuracy_cell(by_setting, name, size) for size in sizes)
        if any(cell.text or cell.streamed for cell in of_encoder):
            cells[name] = of_encoder
    return AccuracyTable(tuple(map("{:g}".format, sizes)), cells, _seed_notes(means))


def _accuracy_cell(means: Mapping[Any, float], encoder: str, size: float) -> AccuracyCell:
    whole = means.get((encoder, size, ONE_PIECE), float("nan"))
    streamed = means.get((encoder, size, STREAMED), float("nan"))
    differs = pd.notna(streamed) and not abs(whole - streamed) <= CHANGED
    text = f"{whole:.3f}".replace("nan", "")
    return AccuracyCell(text, f"{streamed:.3f}") if differs else AccuracyCell(text)


def _seed_notes(means: pd.DataFrame) -> dict[str, str]:
    """Return the number of seeds with a value, for encoders that lack seeds."""
    worst = means.sort_values("seeds", kind="stable").drop_duplicates("encoder")
    lacking = worst[worst["lost"].ne("")]
    texts = map("{} of {} seeds; {}".format, lacking["seeds"], lacking["expected"], lacking["lost"])
    return dict(zip(lacking["encoder"], texts, strict=True))


def accuracies(of_suite: pd.DataFrame, encoders: Sequence[str]) -> pd.DataFrame:
    """Return accuracy by test size and mode: encoder, test_size, mode, and those of `summarise_outcomes`."""
    settings = of_suite[["detail.test_size", "detail.mode"]].dropna().drop_duplicates()
    parts = []
    for size, mode in settings.itertuples(index=False):
        where = {"detail.test_size": size, "detail.mode": mode}
        part = summarise_outcomes(outcomes(of_suite, "accuracy", where, encoders)).reset_index()
        parts.append(part.assign(test_size=size, mode=mode))
    return pd.concat(parts, ignore_index=True)


def cost_figure(frame: pd.DataFrame) -> dict[str, str] | None:
    """Return the figure of accuracy against cost, as base64, with its texts; None without data."""
    if RESOURCES not in set(frame.get("suite", ())):
        return None
    data = QUALITY_COST.data(label_models(frame))
    if data.empty or QUALITY_COST.draw is None:
        return None
    return {
        "title": QUALITY_COST.title,
        "caption": QUALITY_COST.caption,
        "alt": alt_text(data),
        "png": base64.b64encode(image(QUALITY_COST.draw(data), "png")).decode(),
    }


def alt_text(data: pd.DataFrame) -> str:
    """Return the figure of accuracy against cost in words."""
    points = map("{}: {:.3g} s, {:.3f}".format, data["encoder"], data["cost"], data["mean"])
    return sentence(f"Accuracy against seconds for a million elements: {'; '.join(points)}")
