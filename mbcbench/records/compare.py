"""Compare two runs: new and fixed failures, and changes of time, memory and scores with their intervals.

Measurements are paired by seed. A change counts if it is larger than a minimum and its 95 % interval (Student's t over
the differences of the seeds) excludes zero; with one seed there is no interval, and only the minimum applies. Times and
memory are compared by their ratio, on a logarithmic scale, so that swapping the runs inverts the result.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from mbcbench.records.record import BROKEN, UNEXPECTED
from mbcbench.records.statistics import Estimate
from mbcbench.types import JsonDict

Quantity = Literal["time", "memory", "score"]
# Smallest change that counts: distance of a ratio from one, or difference of scores.
MINIMUM: dict[Quantity, float] = {"time": 0.10, "memory": 0.05, "score": 0.01}
KINDS: dict[Quantity, tuple[str, str]] = {  # names of a change for the worse and for the better
    "time": ("slower", "faster"),
    "memory": ("more-memory", "less-memory"),
    "score": ("worse", "better"),
}
NEW_FAILURE, FIXED, NOT_COMPARABLE = "new-failure", "fixed", "not-comparable"
REGRESS = frozenset(worse for worse, _ in KINDS.values())
COLUMNS = ["kind", "suite", "case", "encoder", "what", "metric", "a", "b", "change", "low", "high", "seeds", "note"]

SUBJECT = ["suite", "case", "encoder"]
SETUP = ["device", "dtype", "schema"]
MACHINE = ["processor", "threads"]  # only times depend on these
DATA = "params.data"
WHAT = (  # fields that distinguish the records of a cell
    *("n", "mode", "chunk_size", "test_size", "order", "aggregation", "ways", "num_slots", "estimator"),
    "gradient_size",
)


@dataclass(frozen=True)
class Options:
    """Smallest change of each quantity that counts, and the level of the intervals."""

    minimum: Mapping[Quantity, float] = field(default_factory=lambda: dict(MINIMUM))
    level: float = 0.95


def compare(a: pd.DataFrame, b: pd.DataFrame, options: Options = Options()) -> pd.DataFrame:
    """Return the changes from run `a` to run `b`, one row each, with the columns `COLUMNS`.

    a, b: records as `mbcbench.load` returns them, with the columns `schema`, `processor` and `threads` of the run where
    they are known. `change` is b / a for times and memory and b - a for scores; `low` and `high` are its interval.
    """
    before, after = _groups(a), _groups(b)
    keys = sorted(before.keys() | after.keys(), key=repr)
    rows = []
    for key, label in zip(keys, _without_common_params(keys), strict=True):
        if key not in before or key not in after:
            where = "A" if key in before else "B"
            rows.append(_row(NOT_COMPARABLE, label, note=f"only in {where}"))
            continue
        reason = _different(before[key], after[key], [*SETUP, DATA])
        if reason:
            rows.append(_row(NOT_COMPARABLE, label, note=reason))
            continue
        rows += _failures(label, before[key], after[key])
        rows += _changes(label, before[key], after[key], options)
    return pd.DataFrame(rows, columns=COLUMNS)


Key = tuple[Hashable, Hashable, Hashable, tuple[str, ...]]  # suite, case, encoder, parameters


def _groups(table: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """Group the records by subject and parameters (except the data), over all seeds."""
    work = table[table["case"] != "plan"] if len(table) else table
    names = sorted(c for c in work.columns if c.startswith("params.") and c != DATA)
    keys: dict[Key, list[Any]] = {}
    for index, row in zip(work.index, work.to_dict("records"), strict=True):
        what = tuple(f"{n.removeprefix('params.')}={_plain(row[n])}" for n in names if not _missing(row[n]))
        suite, case, encoder = (row[n] for n in SUBJECT)
        keys.setdefault((suite, case, encoder, what), []).append(index)
    return {key: work.loc[rows] for key, rows in keys.items()}


def _without_common_params(keys: Sequence[Key]) -> list[Key]:
    """Return the keys without the parameters that all cells of a suite share: they distinguish nothing."""
    cells: dict[Hashable, list[set[str]]] = {}
    for suite, _, _, params in keys:
        cells.setdefault(suite, []).append(set(params))
    same = {suite: set.intersection(*sets) if len(sets) > 1 else set() for suite, sets in cells.items()}
    return [(*key[:3], tuple(word for word in key[3] if word not in same[key[0]])) for key in keys]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """Return a whole number as an int: gaps in its column have made it a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _different(a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str]) -> str:
    """Describe how the set-ups of two groups differ: `dtype was float32 and is float64`."""
    changes = []
    for name in names:
        was, now = _values(a, name), _values(b, name)
        if was != now:
            changes.append(f"{name.removeprefix('params.')} was {was or 'unknown'} and is {now or 'unknown'}")
    return "; ".join(changes)


def _values(table: pd.DataFrame, name: str) -> str:
    if name not in table:
        return ""
    return ", ".join(sorted({str(_plain(v)) for v in table[name] if not _missing(v)}))


def _failures(key: Key, a: pd.DataFrame, b: pd.DataFrame) -> Iterator[JsonDict]:
    was, now = _bad(a), _bad(b)
    if now and not was:
        yield _row(NEW_FAILURE, key, note=now)
    if was and not now:
        yield _row(FIXED, key, note=f"was: {was}")


def _bad(table: pd.DataFrame) -> str:
    """Describe the first failure of a group; return an empty string if there is none."""
    rows = table[table["status"].isin([str(status) for status in BROKEN | UNEXPECTED])]
    if rows.empty:
        return ""
    first = rows.sort_values("seed").iloc[0]
    return f"{first['status']}: {first['message']}".rstrip(": ")


def _changes(key: Key, a: pd.DataFrame, b: pd.DataFrame, options: Options) -> Iterator[JsonDict]:
    before, after = _measured(a), _measured(b)
    for name in sorted(before.keys() & after.keys(), key=repr):
        metric, what = name
        one, two = before[name], after[name]
        quantity = _quantity(str(one["unit"].iloc[0]))
        reason = _different(one, two, MACHINE) if quantity == "time" else ""
        if reason:
            yield _row(NOT_COMPARABLE, key, what, metric=metric, note=reason)
            continue
        change = _change(_paired(one, two), quantity, bool(two["higher_is_better"].iloc[0]), options)
        if change is not None:
            yield _row(change.pop("kind"), key, what, metric=metric, **change)


def _measured(table: pd.DataFrame) -> dict[tuple[str, tuple[str, ...]], pd.DataFrame]:
    """Group the measurements that can be better or worse by metric and by the fields in `WHAT`."""
    comparable = table[table["higher_is_better"].notna() & table["value"].notna() & table["metric"].notna()]
    names: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
    for index, row in zip(comparable.index, comparable.to_dict("records"), strict=True):
        what = tuple(f"{n}={_plain(row[f'detail.{n}'])}" for n in WHAT if _is_in_detail_only(row, n))
        names.setdefault((row["metric"], what), []).append(index)
    return {name: comparable.loc[rows] for name, rows in names.items()}


def _is_in_detail_only(row: Mapping[Hashable, Any], name: str) -> bool:
    return not _missing(row.get(f"detail.{name}")) and _missing(row.get(f"params.{name}"))


def _quantity(unit: str) -> Quantity:
    if unit == "bytes":
        return "memory"
    return "time" if unit == "s" or unit.endswith("/s") else "score"


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return the median of each seed that both groups have, in the columns `a` and `b`."""
    sides = {"a": a.groupby("seed")["value"].median(), "b": b.groupby("seed")["value"].median()}
    return pd.DataFrame(sides).dropna().astype(float)


def _change(pairs: pd.DataFrame, quantity: Quantity, higher: bool, options: Options) -> JsonDict | None:
    """Return the kind and the columns of a change of one measurement, or None if it does not count."""
    ratio = quantity != "score"
    if pairs.empty:
        return {"kind": NOT_COMPARABLE, "note": "no seed is in both"}
    was, now = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    if ratio and (pairs <= 0).any(axis=None):
        equal = bool((was == now).all())
        return None if equal else {"kind": NOT_COMPARABLE, "note": "a measurement of zero has no ratio"}
    differences = Estimate.of(np.log(now) - np.log(was) if ratio else now - was, options.level)
    minimum = math.log1p(options.minimum[quantity]) if ratio else options.minimum[quantity]
    includes_zero = differences.low <= 0 <= differences.high  # never with one seed: low and high are NaN
    if abs(differences.mean) <= minimum or includes_zero:
        return None
    worse, better = KINDS[quantity]
    interval = differences.mean, differences.low, differences.high
    change, low, high = (math.exp(value) if ratio else value for value in interval)
    several = len(pairs) > 1
    return {
        "kind": worse if (differences.mean < 0) == higher else better,
        "a": float(np.median(was)),
        "b": float(np.median(now)),
        "change": change,
        "low": low if several else None,
        "high": high if several else None,
        "seeds": len(pairs),
        "note": "" if several else "one seed: no interval",
    }


def _row(kind: str, key: Key, what: tuple[str, ...] = (), **more: Any) -> JsonDict:
    suite, case, encoder, params = key
    assert isinstance(params, tuple)
    return {"kind": kind, "suite": suite, "case": case, "encoder": encoder, "what": " ".join((*params, *what))} | more
