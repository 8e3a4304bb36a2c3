"""Compare two runs: new failures, fixes, and significant changes of time, memory and scores.

Measurements are paired by seed. A change counts if it is larger than a minimum and its 95 % interval excludes no
change; with one seed there is no interval, and only the minimum applies. Times and memory are compared by the logarithm
of their ratio, so that comparing B with A gives the inverse of comparing A with B.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.records.detail import EvaluationDetail
from mbcbench.records.intervals import Estimate
from mbcbench.records.record import BROKEN, UNEXPECTED, Status
from mbcbench.types import JsonDict

Quantity = Literal["time", "memory", "score"]
# The least change that counts: the distance of a ratio from one, or a difference of scores.
MINIMUM: dict[Quantity, float] = {"time": 0.10, "memory": 0.05, "score": 0.01}
KINDS: dict[Quantity, tuple[str, str]] = {  # names of a change for the worse, and for the better
    "time": ("slower", "faster"),
    "memory": ("more-memory", "less-memory"),
    "score": ("worse", "better"),
}
NEW_FAILURE, FIXED, NOT_COMPARABLE = "new-failure", "fixed", "not-comparable"
CHANGED = "changed"  # for a law that cannot fail
REGRESS = frozenset(worse for worse, _ in KINDS.values())
COLUMNS = ["kind", "suite", "case", "encoder", "what", "metric", "a", "b", "change", "low", "high", "seeds", "note"]

SUBJECT = ["suite", "case", "encoder"]
SETUP = ["device", "dtype", "schema"]
MACHINE = ["processor", "threads"]  # only times depend on them
DATA = "params.data"
GAP = "gap"  # the metric of a law
BASELINES = ("baseline", "pooled_baseline", "baseline_name")
# Entries of the details that tell the records of one cell apart.
SETTINGS = (
    "n",
    *(f.name for f in fields(EvaluationDetail) if f.name not in BASELINES),
    *("estimator", "gradient_size"),
)

Params = tuple[str, ...]  # each `name=value`
Key = tuple[Hashable, Hashable, Hashable, Params]  # suite, case, encoder, parameters
Row = Mapping[Hashable, Any]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """The least change of each quantity that counts, and the level of the intervals."""

    minimum: Mapping[Quantity, float] = field(default_factory=lambda: dict(MINIMUM))
    level: float = 0.95


def compare(a: pd.DataFrame, b: pd.DataFrame, options: Options = Options()) -> pd.DataFrame:
    """Return the changes from run `a` to run `b`, one row each, with the columns `COLUMNS`.

    a, b: records as `mbcbench.load` returns them, with the columns `schema`, `processor` and `threads` of the run if
    they are known. `change` is b / a for times and memory, b - a for scores; `low` and `high` are its interval.
    """
    before, after = _group(a), _group(b)
    keys = sorted(before.keys() | after.keys(), key=repr)
    rows = []
    for key, label in zip(keys, _distinguishing(keys), strict=True):
        if key not in before or key not in after:
            rows.append(_row(NOT_COMPARABLE, label, note=f"only in {'A' if key in before else 'B'}"))
            continue
        difference = _describe_difference(before[key], after[key], [*SETUP, DATA])
        if difference:
            rows.append(_row(NOT_COMPARABLE, label, note=difference))
            continue
        failures = list(_failures(label, before[key], after[key]))
        if not failures and _has_no_verdict(before[key], after[key]):
            rows += _outcome_changes(label, before[key], after[key], options)
            continue
        # The gap of a law that fails now, or no longer, is in its note.
        changes = (
            row for row in _changes(label, before[key], after[key], options) if row["metric"] != GAP or not failures
        )
        rows += [*failures, *changes]
    return pd.DataFrame(rows, columns=COLUMNS)


def _group(table: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """Return the records of each subject and parameters (except the data), over all seeds."""
    results = table[table["case"] != "plan"] if len(table) else table
    names = sorted(c for c in results.columns if c.startswith("params.") and c != DATA)
    indices: dict[Key, list[Any]] = {}
    for index, row in zip(results.index, results.to_dict("records"), strict=True):
        suite, case, encoder = (row[name] for name in SUBJECT)
        key = (suite, case, encoder, _assignments(row, names))
        indices.setdefault(key, []).append(index)
    return {key: results.loc[index] for key, index in indices.items()}


def _assignments(row: Row, columns: Sequence[str]) -> Params:
    """Return `name=value` for each column that has a value in a row; names are without `params.` and `detail.`."""
    return tuple(f"{c.partition('.')[2]}={_plain(row[c])}" for c in columns if not _is_missing(row.get(c)))


def _distinguishing(keys: Sequence[Key]) -> list[Key]:
    """Return the keys without the parameters that all cells of a suite have in common."""
    params_of_suite: dict[Hashable, list[set[str]]] = {}
    for suite, _, _, params in keys:
        params_of_suite.setdefault(suite, []).append(set(params))
    common = {suite: set.intersection(*sets) if len(sets) > 1 else set() for suite, sets in params_of_suite.items()}
    return [(*key[:3], tuple(param for param in key[3] if param not in common[key[0]])) for key in keys]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """Return a whole number as int: a column with gaps turns it into a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _describe_difference(a: pd.DataFrame, b: pd.DataFrame, columns: Sequence[str]) -> str:
    """Return how the set-ups of two groups differ: `dtype was float32 and is float64`."""
    differences = []
    for column in columns:
        before, after = _distinct(a, column), _distinct(b, column)
        if before != after:
            name = column.removeprefix("params.")
            differences.append(f"{name} was {before or 'unknown'} and is {after or 'unknown'}")
    return "; ".join(differences)


def _distinct(table: pd.DataFrame, column: str) -> str:
    if column not in table:
        return ""
    return ", ".join(sorted({str(_plain(value)) for value in table[column] if not _is_missing(value)}))


def _failures(key: Key, a: pd.DataFrame, b: pd.DataFrame) -> Iterator[JsonDict]:
    before, after = _first_failure(a), _first_failure(b)
    if after and not before:
        yield _row(NEW_FAILURE, key, note=after)
    if before and not after:
        yield _row(FIXED, key, note=f"was: {before}")


def _has_no_verdict(*tables: pd.DataFrame) -> bool:
    """Return True for a law that was tried in both runs and cannot fail in at least one of them."""
    is_tried = all((table["metric"] == GAP).all() for table in tables)
    return is_tried and any((table["status"] == str(Status.OK)).any() for table in tables)


def _outcome_changes(key: Key, a: pd.DataFrame, b: pd.DataFrame, options: Options) -> Iterator[JsonDict]:
    """Yield the changes of a law that cannot fail: of its gap and of its message."""
    before, after = (_distinct(table, "message") or _distinct(table, "status") for table in (a, b))
    outcome: JsonDict = {"note": f"{before} -> {after}"} if before != after else {}
    changes = [
        row if row["kind"] == NOT_COMPARABLE else {**row, "kind": CHANGED, **outcome}
        for row in _changes(key, a, b, options)
    ]
    yield from changes or ([_row(CHANGED, key, metric=GAP, **outcome)] if outcome else [])


def _first_failure(table: pd.DataFrame) -> str:
    """Return status and message of the first failure of a group, or nothing."""
    failures = table[table["status"].isin([str(status) for status in BROKEN | UNEXPECTED])]
    if failures.empty:
        return ""
    first = failures.sort_values("seed").iloc[0]
    message = first["message"]
    if not message and first["metric"] == GAP:
        message = f"gap {first['value']:.3g}"
    return f"{first['status']}: {message}".rstrip(": ")


def _changes(key: Key, a: pd.DataFrame, b: pd.DataFrame, options: Options) -> Iterator[JsonDict]:
    before, after = _measurements(a), _measurements(b)
    for measurement in sorted(before.keys() & after.keys(), key=repr):
        metric, settings = measurement
        old, new = before[measurement], after[measurement]
        quantity = _quantity(str(old["unit"].iloc[0]))
        difference = _describe_difference(old, new, MACHINE) if quantity == "time" else ""
        if difference:
            yield _row(NOT_COMPARABLE, key, settings, metric=metric, note=difference)
            continue
        change = _change(_pair(old, new), quantity, bool(new["higher_is_better"].iloc[0]), options)
        if change is not None:
            yield _row(change.pop("kind"), key, settings, metric=metric, **change)


def _measurements(table: pd.DataFrame) -> dict[tuple[str, Params], pd.DataFrame]:
    """Return the measurements that can be better or worse, by metric and by the settings of their records."""
    measured = table[table["higher_is_better"].notna() & table["value"].notna() & table["metric"].notna()]
    indices: dict[tuple[str, Params], list[Any]] = {}
    for index, row in zip(measured.index, measured.to_dict("records"), strict=True):
        # A setting that is a parameter of the cell too is in its key.
        columns = [f"detail.{name}" for name in SETTINGS if _is_missing(row.get(f"params.{name}"))]
        indices.setdefault((row["metric"], _assignments(row, columns)), []).append(index)
    return {measurement: measured.loc[index] for measurement, index in indices.items()}


def _quantity(unit: str) -> Quantity:
    if unit == "bytes":
        return "memory"
    return "time" if unit == "s" or unit.endswith("/s") else "score"


def _pair(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of each seed that both tables have, in the columns `a` and `b`."""
    medians = {"a": a.groupby("seed")["value"].median(), "b": b.groupby("seed")["value"].median()}
    return pd.DataFrame(medians).dropna().astype(float)


def _change(pairs: pd.DataFrame, quantity: Quantity, higher_is_better: bool, options: Options) -> JsonDict | None:
    """Return the kind and the numbers of a change, None if it does not count."""
    is_ratio = quantity != "score"
    if pairs.empty:
        return {"kind": NOT_COMPARABLE, "note": "no seed is in both"}
    before, after = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    if is_ratio and (pairs <= 0).any(axis=None):
        is_equal = bool((before == after).all())
        return None if is_equal else {"kind": NOT_COMPARABLE, "note": "a measurement of zero has no ratio"}
    estimate = Estimate.of(_differences(before, after, is_ratio), options.level)
    minimum = math.log1p(options.minimum[quantity]) if is_ratio else options.minimum[quantity]
    if abs(estimate.mean) <= minimum or estimate.low <= 0 <= estimate.high:  # with one seed, low and high are NaN
        return None
    worse, better = KINDS[quantity]
    change, low, high = (
        math.exp(value) if is_ratio else value for value in (estimate.mean, estimate.low, estimate.high)
    )
    has_interval = len(pairs) > 1
    return {
        "kind": worse if (estimate.mean < 0) == higher_is_better else better,
        "a": float(np.median(before)),
        "b": float(np.median(after)),
        "change": change,
        "low": low if has_interval else None,
        "high": high if has_interval else None,
        "seeds": len(pairs),
        "note": "" if has_interval else "one seed: no interval",
    }


def _differences(before: Values, after: Values, is_ratio: bool) -> Values:
    """Return after - before, or the logarithm of the ratio; zero where both are the same infinity."""
    if is_ratio:
        before, after = np.log(before), np.log(after)
    return np.subtract(after, before, out=np.zeros_like(after), where=before != after)


def _row(kind: str, key: Key, settings: Params = (), **columns: Any) -> JsonDict:
    suite, case, encoder, params = key
    subject = {"suite": suite, "case": case, "encoder": encoder}
    return {"kind": kind, **subject, "what": " ".join((*params, *settings)), **columns}
