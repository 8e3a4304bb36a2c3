"""The leaderboard as one page that needs nothing else: style, script and figures are inside it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..aggregation import MISSING, law_group, law_matrix, outcomes, severity, summarise, tidy
from ..extra_figures import against_n
from ..formatting import (
    NOT_RUN,
    WORDS,
    Column,
    columns,
    facts,
    failures,
    kind,
    number,
    other_task,
    over_tasks,
    symbol,
    where,
)
from ..rendering import template
from ..statistics import labelled
from .charts import accuracy_against_throughput, accuracy_by_size, cost_by_size
from .columns import ACCURACY, TASK_KEYS, Slot, encoders_of, slots, suite_rows
from .table import leaderboard_table, notes

COSTS = {"peak_memory": "MiB at its peak", "throughput": "seconds"}


@dataclass(frozen=True)
class Panel:
    """One encoder's accuracy against the number of test points; without a figure, what became of its seeds."""

    encoder: str
    figure: Markup | None
    told: str


def html(frame: pd.DataFrame, info: Mapping[str, Any]) -> str:
    """A run as one self-contained page."""
    return template("leaderboard.html").render(context(frame, info))


def context(frame: pd.DataFrame, info: Mapping[str, Any], book: pd.DataFrame | None = None) -> dict[str, Any]:
    """What the page's template is given. book: the ledger of claims (see `claims.ledger`), each to stand with the
    encoders that it is tested on."""
    rows = tidy(frame)
    table = leaderboard_table(frame, encoders_of(rows, info))
    encoders, found = list(table["encoder"]), slots(rows)
    matrix = law_matrix(rows, encoders)
    standings = list(enumerate(table.to_dict("records")))
    named = labelled(frame)
    costs = {metric: against_n(named, metric) for metric in COSTS}
    return {
        "symbol": symbol,
        "kind": kind,
        "law_group": law_group,
        "anchors": anchors(encoders),
        "facts": facts(rows, info),
        "verdict": verdict(table, matrix, rows),
        "boards": boards(table, columns(table, found)),
        "traits": traits(table),
        "ranked": [slot.about for slot in found if slot.key in TASK_KEYS],
        "encoders": encoders,
        "legend": WORDS,
        "notes": notes(frame, info, table),
        "failures": failures(rows),
        "matrix": [(name, [(law, matrix.at[name, law]) for law in matrix.columns]) for name in encoders],
        "laws": list(matrix.columns),
        "panels": panels(rows, encoders),
        "cost": cost_figure(table, found),
        "details": [detail(rows, row) | {"costs": cost_curves(costs, row["encoder"], at)} for at, row in standings],
        "claims": {name: claims(book, name) for name in encoders},
    }


def anchors(encoders: Sequence[str]) -> dict[str, str]:
    """The id of each encoder's place on the page, made of its name, so that a link to it lasts."""
    found: dict[str, str] = {}
    for name in encoders:
        plain = "encoder-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        taken = [other for other in found.values() if other.rpartition("~")[0] == plain or other == plain]
        found[name] = f"{plain}~{len(taken) + 1}" if taken else plain
    return found


def traits(table: pd.DataFrame) -> list[str]:
    """What each encoder can be filtered by, in words apart: `ranked`, and `consistent` if it keeps the laws mbc."""
    mbc = table["laws.mbc.status"] if "laws.mbc.status" in table else pd.Series(MISSING, index=table.index)
    kept = {"ranked": table["rank"].notna(), "consistent": mbc.eq("pass")}
    return [" ".join(word for word, has in kept.items() if has.iloc[at]) for at in range(len(table))]


def claims(book: pd.DataFrame | None, encoder: str) -> list[dict[str, Any]]:
    """The claims that are tested on an encoder."""
    if book is None:
        return []
    own = book[[encoder in told.split(", ") for told in book["encoders"]]]
    return [{str(key): value for key, value in row.items()} for row in own.to_dict("records")]


def cost_curves(costs: Mapping[str, pd.DataFrame], encoder: str, place: int) -> list[Markup]:
    """An encoder's memory and time against n."""
    own = {metric: table[table["encoder"].eq(encoder)] for metric, table in costs.items()}
    return [
        Markup(cost_by_size(table, f"{metric}{place}", COSTS[metric])) for metric, table in own.items() if len(table)
    ]


def boards(table: pd.DataFrame, found: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """The columns in tables that a page has room for, each with a heading and the encoder's column before it."""
    if not any(map(other_task, found)):
        return [("Standing", list(found))]
    tasks = [column for column in found if other_task(column) or column.key.startswith("accuracy")]
    cost = [column for column in found if column not in tasks]
    return [("Laws and cost", cost), ("Tasks", [found[0], *over_tasks(table), *tasks])]


def verdict(table: pd.DataFrame, matrix: pd.DataFrame, rows: pd.DataFrame) -> list[tuple[int, str, str]]:
    """How many encoders there are, and how they stand: count, what it counts, and a status for its colour."""
    broken = set(rows.loc[rows["status"].map(kind) == "broken", "encoder"])
    failing = set(rows.loc[rows["status"].isin(["fail", "xpass"]), "encoder"])
    whole = {name for name in matrix.index if len(matrix.columns) and not matrix.loc[name].eq(MISSING).any()}
    claimed = whole - broken - failing
    counts = [
        (len(table), "encoders", "ok"),
        (len(claimed), "behave as claimed", "pass"),
        (len(failing), "break a claim", "fail"),
        (len(broken), "met an error", "broken"),
    ]
    return [entry for entry in counts if entry[0]]


def panels(rows: pd.DataFrame, encoders: Sequence[str]) -> list[Panel]:
    """A panel an encoder, all with one vertical axis; none where accuracy was not measured."""
    measured, _ = suite_rows(rows, ACCURACY)
    if measured.empty:
        return []
    means = accuracies(measured, encoders)
    values = means["mean"].dropna()
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    limits = (max(0.0, low - 0.05), min(1.02, high + 0.05))
    sizes = measured["detail.train_size"].dropna()
    trained = float(sizes.iloc[0]) if len(sizes) else None
    return [_panel(means[means["encoder"] == name], i, name, limits, trained) for i, name in enumerate(encoders)]


def _panel(means: pd.DataFrame, index: int, name: str, limits: tuple[float, float], trained: float | None) -> Panel:
    seeds, expected = int(means["seeds"].max()), int(means["expected"].max())
    lost = "; ".join(dict.fromkeys(text for text in means["lost"] if text))
    told = f"{seeds} of {expected} seeds" + (f"; {lost}" if lost else "")
    known = means.dropna(subset=["mean"])
    if known.empty:
        return Panel(name, None, told)
    return Panel(name, Markup(accuracy_by_size(known, f"size{index}", limits, trained)), told)


def accuracies(measured: pd.DataFrame, encoders: Sequence[str]) -> pd.DataFrame:
    """Accuracy at each test size and mode: encoder, test_size, mode, and the columns of `evidence.summarise`."""
    where = measured[["detail.test_size", "detail.mode"]].dropna().drop_duplicates()
    parts = []
    for size, mode in where.itertuples(index=False) if len(where) else [(float("nan"), "")]:
        at = {"detail.test_size": size, "detail.mode": mode}
        found = summarise(outcomes(measured, "accuracy", at, encoders)).reset_index()
        parts.append(found.assign(test_size=size, mode=mode))
    return pd.concat(parts, ignore_index=True)


def cost_figure(table: pd.DataFrame, found: Sequence[Slot]) -> dict[str, str] | None:
    """Accuracy against throughput, of the encoders that have both from every seed; None where none has."""
    about = {slot.key: slot.about for slot in found}
    if not {"accuracy", "throughput"} <= about.keys():
        return None
    whole = table["rank"].notna() & table["throughput.lost"].eq("") & table["throughput"].gt(0)
    points = table[whole].rename(columns={"accuracy.half": "half"})
    if points.empty:
        return None
    consistent = points.get("laws.mbc.status", pd.Series("", index=points.index)).isin(["pass", "skip"])
    figure = Markup(accuracy_against_throughput(points.assign(consistent=consistent), "cost"))
    return {"figure": figure, "upwards": about["accuracy"], "rightwards": about["throughput"]}


def detail(rows: pd.DataFrame, row: Mapping[Any, Any]) -> dict[str, Any]:
    """All that is known of one encoder: what it is, its laws, and what went wrong with its measurements."""
    own = rows[rows["encoder"] == row["encoder"]]
    idle = own["message"].map(lambda message: _text(message).startswith(NOT_RUN)).astype(bool)
    laws = own[own["suite"].eq("laws") & ~idle].to_dict("records")
    broken = own[~own["suite"].isin(["laws", "probe"]) & own["status"].ne("ok") & ~idle].to_dict("records")
    return {
        "name": row["encoder"],
        "summary": _text(row["summary"]),
        "paper": _link(_text(row["paper"])),
        "probe": (_text(row["probe"]) or MISSING, _text(row["probe.message"])),
        "laws": [_law(law) for law in sorted(laws, key=lambda law: -severity(law["status"]))],
        "idle": where(own[idle].to_dict("records")),
        "broken": [(r["suite"], r["seed"], r["status"], _text(r["message"])) for r in broken],
        "attention": any(kind(status) in ("fail", "xpass", "broken") for status in own["status"]),
    }


def _law(row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {key: _text(row[f"detail.{key}"]) for key in ("text", "reproduce")}
    gap, bound, examples = (row[key] for key in ("value", "detail.bound", "detail.examples"))
    numbers = [f"gap {gap:.2g}"] if _known(gap) else []
    numbers += [f"bound {bound:.2g}"] if _known(bound) else []
    numbers += [f"{number(float(examples), 'examples')} examples"] if _known(examples) else []
    message = _text(row["message"])
    return {"law": row["case"], "status": row["status"], "message": message, "numbers": ", ".join(numbers), **told}


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and not pd.isna(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _link(url: str) -> str:
    """The address, where it is one that a page may lead to."""
    return url if url.startswith(("https://", "http://")) else ""
