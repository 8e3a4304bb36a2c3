"""Aggregate records to one row per encoder: the status of laws, and the outcomes of measurements by seed.

A seed that broke or is missing stays visible next to the mean of the other seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mbcbench.paper import Filter

from .selection import has_not_learnt
from .stats import half_width

MISSING = "missing"  # expected, since other encoders have it, but without a record
NAN = "nan"  # measured, but not a finite number
# Statuses from the least to the most severe. An unknown status is worse than all of them.
SEVERITY = (
    "skip",
    "pass",
    "ok",
    "xfail",
    MISSING,
    "undecided",
    "xpass",
    "fail",
    NAN,
    "oom",
    "timeout",
    "error",
    "crash",
)
# Columns of an outcome, besides those of its setting.
OUTCOME = (
    "encoder",
    "seed",
    "status",
    "value",
    "message",
    "detail.train_loss",
    "detail.train_baseline",
    "detail.plateau",
)
BROKEN = ("oom", "timeout", "error", "crash")
GROUPS = ("mbc", "symmetry", "hygiene", "numerics", "substance", "reference")


def severity(status: str) -> int:
    """Return the position of a status in `SEVERITY`."""
    return SEVERITY.index(status) if status in SEVERITY else len(SEVERITY)


def worst(statuses: Iterable[str]) -> str:
    """Return the most severe status."""
    return max(statuses, key=severity)


def law_group(law: str) -> str:
    """Return the group of a law: `mbc` for `mbc.partition`."""
    return law.partition(".")[0]


def _law_order(law: str) -> tuple[int, str]:
    group = law_group(law)
    return (GROUPS.index(group) if group in GROUPS else len(GROUPS), group)


def judged_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out laws of an encoder with other hyper-parameters where it has a record with the default ones."""
    if "params.hyper" not in rows:
        return rows
    is_default = ~rows["params.hyper"].map(lambda hyper: isinstance(hyper, Mapping) and bool(hyper)).astype(bool)
    has_default = is_default.groupby([rows["suite"], rows["encoder"], rows["case"]]).transform("any")
    return rows[rows["suite"].ne("laws") | is_default | ~has_default]


def law_matrix(rows: pd.DataFrame, encoders: Sequence[str]) -> pd.DataFrame:
    """Return the worst status of each law (columns, by group) for each encoder (rows); `missing` without a record."""
    laws = judged_rows(rows[rows["suite"].eq("laws")])
    names = sorted(laws["case"].unique(), key=_law_order)
    matrix = laws.groupby(["encoder", "case"])["status"].agg(worst).unstack("case")
    return matrix.reindex(index=list(encoders), columns=names).astype(object).fillna(MISSING)


def badges(matrix: pd.DataFrame) -> pd.DataFrame:
    """Count the laws that hold among those that apply, in each group: columns `laws.<group>` (`3/4`) and `.status`.

    Laws that classify or report (`ok`) neither hold nor fail, and are not counted.
    """
    table = pd.DataFrame(index=matrix.index)
    for group in dict.fromkeys(map(law_group, matrix.columns)):
        laws = matrix[[law for law in matrix.columns if law_group(law) == group]]
        hold = (laws == "pass").sum(axis=1)
        apply = (~laws.isin(["skip", "ok"])).sum(axis=1)
        table[f"laws.{group}"] = hold.astype(str) + "/" + apply.astype(str)
        table[f"laws.{group}.status"] = [worst(row) for row in laws.to_numpy()]
    return table


def outcomes(rows: pd.DataFrame, metric: str, where: Filter, encoders: Sequence[str]) -> pd.DataFrame:
    """Return the outcome of a metric for each encoder and seed: columns value, status, message and unlearnt.

    rows: the records of one suite; every seed in them is expected of every encoder.
    where: a record without one of its columns (a broken cell) matches every value.
    unlearnt: True if the training ended at the loss of the baseline (see `selection.has_not_learnt`). That is a remark.
    """
    columns = dict.fromkeys((*OUTCOME, *where))
    here = rows.loc[rows["metric"].eq(metric) | rows["metric"].isna(), [*columns]]
    for column, value in where.items():
        here = here[here[column].eq(value) | here[column].isna()]
    finite = np.isfinite(pd.to_numeric(here["value"]))
    here = here.assign(
        status=here["status"].mask(here["status"].eq("ok") & ~finite, NAN),
        unlearnt=has_not_learnt(here),
    )
    last = _decisive(here).set_index(["encoder", "seed"])
    expected = pd.MultiIndex.from_product([list(encoders), sorted(rows["seed"].unique())], names=["encoder", "seed"])
    table = last[["value", "status", "message", "unlearnt"]].reindex(expected)
    return table.assign(
        status=table["status"].fillna(MISSING),
        message=table["message"].fillna(""),
        unlearnt=table["unlearnt"].eq(True),
    )


def _decisive(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each encoder and seed: the last measurement, or else the most severe status."""
    order = [len(SEVERITY) + 1 if status == "ok" else severity(status) for status in rows["status"]]
    return rows.assign(order=order).sort_values("order", kind="stable").groupby(["encoder", "seed"]).tail(1)


def summarise_outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the outcomes of each encoder in one row.

    mean, half: over the seeds that gave a value; half the width of the 95 % t interval (NaN for one seed).
    seeds, expected: number of seeds with a value, and of expected seeds. status: the worst. lost: the outcomes of the
    other seeds, in words. unlearnt: number of unlearnt seeds.
    """
    values = pd.to_numeric(table["value"]).where(table["status"].eq("ok"))
    by_encoder = values.groupby(level="encoder", sort=False)
    groups = table.groupby(level="encoder", sort=False)
    count = by_encoder.count()
    return pd.DataFrame(
        {
            "mean": by_encoder.mean(),
            "half": half_width(by_encoder.std(), count),
            "seeds": count,
            "expected": by_encoder.size(),
            "unlearnt": groups["unlearnt"].sum(),
            "status": groups["status"].agg(worst),
            "lost": groups["status"].agg(_count_lost),
            "message": groups["message"].agg(_join_messages),
        }
    )


def _count_lost(statuses: Iterable[str]) -> str:
    lost = pd.Series([status for status in statuses if status != "ok"], dtype=object).value_counts()
    return ", ".join(f"{count} {status}" for status, count in lost.items())


def _join_messages(messages: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(message for message in messages if message))


def main_setting(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows with the most frequent value of each column, and notes on the values that are left out.

    Rows without the column (a broken cell) stay.
    """
    notes = []
    for column in columns:
        counts = rows[column].dropna().value_counts()
        if len(counts) > 1:
            main, *others = counts.index
            rows = rows[rows[column].eq(main) | rows[column].isna()]
            name = column.removeprefix("detail.").replace("_", " ")
            notes.append(f"{name} {_format(main)} is shown, and {', '.join(map(_format, others))} left out")
    return rows, notes


def _format(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
