"""From a frame of records to samples: which were measured under one setting, their means, and paired differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
HYPER = {"num_slots": "K", "slot_dim": "h", "layers": "layers", "aggregate": "g"}  # those that a label tells
BASE = ("suite", "case", "encoder", "status", "seed", "metric", "value", "message", "params.hyper", "model")
DETAIL = (
    *("data", "mode", "test_size", "chunk_size", "order", "aggregation", "train_size", "ways", "steps", "curve"),
    *("plateau", "parameters", "train_seconds", "baseline", "estimator", "gradient_size", "n", "counterexample"),
    *("examples", "bound", "worst_gap", "queries", "centroids", "pairs", "layers", "paper", "place", "method"),
    *("num_slots", "images", "completions", "beats_baseline_at"),
)
PARAMS = ("train_size", "layer_norm", "scale", "estimator", "data", "profile")
NAMED_BY = ("suite", "encoder", "params.hyper", "params.estimator", "params.layer_norm", "params.scale")
TEXT = ("encoder", "model", "detail.order", "detail.estimator", "detail.aggregation", "detail.data")  # also if empty
COLUMNS = (*BASE, *(f"detail.{name}" for name in DETAIL), *(f"params.{name}" for name in PARAMS))


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column `model`, an encoder with its hyper-parameters, and every column that is asked for.

    Of a model that several runs trained on one case, the records of the longest training are left. A run without
    records, or one that lacks whole suites, gives empty columns. A labelled frame is left as it is.
    """
    if "model" in frame:
        return frame
    rows = frame.assign(model=[_model(row) for row in frame.reindex(columns=list(NAMED_BY)).to_dict("records")])
    absent = [column for column in COLUMNS if column not in rows.columns]
    rows = rows.reindex(columns=[*rows.columns, *absent])
    return _trained_longest(rows).astype(dict.fromkeys(TEXT, object)).reset_index(drop=True)


def _trained_longest(rows: pd.DataFrame) -> pd.DataFrame:
    steps = pd.to_numeric(rows["detail.steps"])
    most = steps.groupby([rows[column] for column in ("suite", "case", "model")], dropna=False).transform("max")
    return rows[steps.isna() | steps.eq(most)]


def _model(row: Mapping[Any, Any]) -> str:
    """`sse-random K=32`; behind it how it was trained, if not on full sets, and how a network of centroids scales its
    encodings, if not as usual."""
    hyper = row.get("params.hyper")
    told = [
        f"{short}={_level(hyper[name])}"
        for name, short in HYPER.items()
        if isinstance(hyper, Mapping) and name in hyper
    ]
    if row.get("params.estimator") in ("partition", "unbiased"):
        told.append(str(row["params.estimator"]))
    if row.get("suite") == "centroids" and row.get("params.layer_norm") is False:
        told.append("no norm" if row.get("params.scale") == 1 else "rescaled")
    return " ".join([str(row["encoder"]), *told])


def _level(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def pick(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows that were measured, under a setting: a tuple says any of its values, None that there is none."""
    here = rows["status"].eq("ok").to_numpy()
    for column, wanted in where.items():
        if not here.any():
            break
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        here = here & (rows[column].isna() if wanted is None else rows[column].isin(values)).to_numpy()
    kept = rows.loc[here, list(COLUMNS)]
    return kept.assign(value=pd.to_numeric(kept["value"]))


def means(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean over seeds, half its 95% t interval (NaN for one seed), standard deviation, and how many seeds."""
    groups = rows.groupby(list(by), sort=True)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index().rename(columns={"count": "seeds"})
    table["half"] = half_width(table["std"].to_numpy(float), table["seeds"].to_numpy(float))
    return table[[*by, "mean", "std", "half", "seeds"]]


def half_width(deviation: Any, count: Any, level: float = LEVEL) -> Any:
    """Half the t interval of a mean; NaN for fewer than two."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return deviation / np.sqrt(count) * stats.t.ppf(0.5 + level / 2, np.asarray(count) - 1)


@dataclass(frozen=True)
class Estimate:
    """A mean over paired seeds, with half the width of its interval.

    The interval is Student's: a bootstrap of three seeds has ten distinct resamples, and its bias-corrected form needs
    a spread of jackknife values that so few do not give; both come out too narrow.
    """

    mean: float
    half: float
    seeds: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Iterable[float], level: float = LEVEL) -> "Estimate":
        found = np.asarray(list(values), dtype=float)
        if not len(found):
            return cls(float("nan"), float("nan"), 0)
        spread = found.std(ddof=1) if len(found) > 1 else float("nan")
        return cls(float(found.mean()), float(half_width(spread, len(found), level)), len(found), tuple(found))

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def by_seed(rows: pd.DataFrame, where: Mapping[str, Any], column: str = "value") -> pd.Series:
    """The value of each seed under a setting; several records of one seed are averaged, and those without left out."""
    found = pick(rows, where)
    return pd.to_numeric(found[column]).groupby(found["seed"]).mean().dropna()


def paired(rows: pd.DataFrame, terms: Sequence[tuple[float, Mapping[str, Any]]], column: str = "value") -> pd.Series:
    """The weighted sum of several settings, seed by seed: +1 and -1 give a difference. Unpaired seeds are left out."""
    parts = [weight * by_seed(rows, where, column) for weight, where in terms]
    return pd.concat(parts, axis=1, join="inner").sum(axis=1)
