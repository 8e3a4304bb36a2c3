"""From records to tidy evidence: what each encoder showed, law by law and seed by seed.

A seed that broke, or that is not there, stays visible beside the mean of the others; it is never averaged away.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .statistics import half_width

MISSING = "missing"  # expected, since others have it, but there is no record
NAN = "nan"  # measured, but not a finite number
# From what says least to what is worst to see; a name that is not here is worse still.
SEVERITY = ("skip", "pass", "ok", "xfail", MISSING, "xpass", "fail", NAN, "oom", "timeout", "error", "crash")
BROKEN = ("oom", "timeout", "error", "crash")
COLUMNS = (
    *("suite", "case", "encoder", "status", "cell", "seed", "dtype", "device", "metric", "value", "unit"),
    *("seconds", "message", "detail.test_size", "detail.mode", "detail.train_size", "detail.n", "detail.bound"),
    *("detail.examples", "detail.counterexample", "detail.text", "detail.reproduce", "detail.summary"),
    *("detail.paper", "detail.streaming", "detail.parameters", "detail.order", "detail.aggregation", "detail.ways"),
    *("detail.plateau", "detail.num_slots", "params.hyper"),
)
SETTINGS = ("test_size", "train_size", "mode", "n")
GROUPS = ("mbc", "symmetry", "hygiene", "numerics", "substance", "reference")


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the report asks for; those that no record has are empty.

    Where a record does not say under which setting it was taken (it broke), its cell's parameters do.
    """
    return _filled(frame, COLUMNS)


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """As `tidy`, with all that the frame has beside."""
    return _filled(frame, tuple(dict.fromkeys((*frame.columns, *COLUMNS))))


def _filled(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    full = frame.reindex(columns=list(columns)).reset_index(drop=True)
    for name in SETTINGS:
        if f"params.{name}" in frame:
            own, asked = full[f"detail.{name}"], frame[f"params.{name}"].reset_index(drop=True)
            full[f"detail.{name}"] = own.astype(object).where(own.notna(), asked)
    return full


def severity(status: str) -> int:
    """How bad a status is; statuses that are not known are the worst."""
    return SEVERITY.index(status) if status in SEVERITY else len(SEVERITY)


def worst(statuses: Iterable[str]) -> str:
    """The worst of some statuses."""
    return max(statuses, key=severity)


def law_group(law: str) -> str:
    """The group of a law: `mbc` of `mbc.partition`."""
    return law.partition(".")[0]


def law_matrix(frame: pd.DataFrame, encoders: Sequence[str]) -> pd.DataFrame:
    """The worst status of each law (columns, in groups) for each encoder (rows); `missing` where none is recorded."""
    laws = frame[frame["suite"] == "laws"]
    names = sorted(laws["case"].unique(), key=lambda law: (_place(law_group(law)), law_group(law)))
    found = laws.groupby(["encoder", "case"])["status"].agg(worst).unstack("case")
    return found.reindex(index=list(encoders), columns=names).astype(object).fillna(MISSING)


def _place(group: str) -> int:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def badges(matrix: pd.DataFrame) -> pd.DataFrame:
    """How many of the laws that apply hold, per group: columns `laws.<group>` (`3/4`) and `laws.<group>.status`.

    Laws that classify or report (`ok`) neither hold nor fail, and are not counted.
    """
    found = pd.DataFrame(index=matrix.index)
    for group in dict.fromkeys(law_group(law) for law in matrix.columns):
        laws = matrix[[law for law in matrix.columns if law_group(law) == group]]
        held, apply = (laws == "pass").sum(axis=1), (~laws.isin(["skip", "ok"])).sum(axis=1)
        found[f"laws.{group}"] = held.astype(str) + "/" + apply.astype(str)
        found[f"laws.{group}.status"] = [worst(row) for row in laws.to_numpy()]
    return found


def outcomes(rows: pd.DataFrame, metric: str, at: Mapping[str, Any], encoders: Sequence[str]) -> pd.DataFrame:
    """What became of a metric for each encoder and seed: `value`, `status`, and whether it is `undecided` (the model
    was still on the plateau where all begin), one row each.

    rows: one suite's records; every seed in them is expected of every encoder.
    at: column -> value, where to look. A record without that column (a cell that broke) speaks for all of them.
    """
    here = rows[rows["metric"].eq(metric) | rows["metric"].isna()]
    for column, wanted in at.items():
        here = here[here[column].eq(wanted) | here[column].isna()]
    finite = np.isfinite(pd.to_numeric(here["value"]))
    here = here.assign(status=here["status"].mask(here["status"].eq("ok") & ~finite, NAN))
    order = [len(SEVERITY) + 1 if status == "ok" else severity(status) for status in here["status"]]
    last = here.assign(order=order).sort_values("order", kind="stable").groupby(["encoder", "seed"]).tail(1)
    every = pd.MultiIndex.from_product([list(encoders), sorted(rows["seed"].unique())], names=["encoder", "seed"])
    last = last.assign(undecided=last["detail.plateau"].eq(True) if "detail.plateau" in last else False)
    found = last.set_index(["encoder", "seed"])[["value", "status", "message", "undecided"]].reindex(every)
    undecided = found["undecided"].eq(True)
    return found.assign(
        status=found["status"].fillna(MISSING), message=found["message"].fillna(""), undecided=undecided
    )


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of each encoder in one row.

    mean, half: mean over the seeds that gave a value, and half the width of its 95% t interval (NaN for one seed).
    seeds, expected: how many gave a value, of how many. status: the worst. lost: what became of the others, in words.
    undecided: how many of the seeds are.
    """
    values = pd.to_numeric(found["value"]).where(found["status"].eq("ok"))
    by = values.groupby(level="encoder", sort=False)
    count, statuses = by.count(), found["status"].groupby(level="encoder", sort=False)
    return pd.DataFrame(
        {
            "mean": by.mean(),
            "half": half_width(by.std(), count),
            "seeds": count,
            "expected": by.size(),
            "undecided": found["undecided"].groupby(level="encoder", sort=False).sum(),
            "status": statuses.agg(worst),
            "lost": statuses.agg(_lost),
            "message": found["message"].groupby(level="encoder", sort=False).agg(_joined),
        }
    )


def _lost(statuses: Iterable[str]) -> str:
    others = pd.Series([status for status in statuses if status != "ok"], dtype=object).value_counts()
    return ", ".join(f"{count} {status}" for status, count in others.items())


def _joined(messages: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(message for message in messages if message))


def main_setting(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the commonest value of each column, so that unlike things are never compared, and what was left out.

    Rows without the column (a cell that broke) stay.
    """
    notes = []
    for column in columns:
        counts = rows[column].dropna().value_counts()
        if len(counts) > 1:
            kept, *others = counts.index
            rows = rows[rows[column].eq(kept) | rows[column].isna()]
            name = column.removeprefix("detail.").replace("_", " ")
            notes.append(f"{name} {_plain(kept)} is shown, and {', '.join(map(_plain, others))} left out")
    return rows, notes


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
