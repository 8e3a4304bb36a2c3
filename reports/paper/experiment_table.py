"""From records to the table of an experiment: models and ways of testing downwards, sizes across."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..aggregation import BROKEN
from ..statistics import half_width

Row = Mapping[str, Any]
Lines = dict[tuple[str, str], dict[Any, list[Row]]]  # (model, test) -> column -> records
# What tells models apart besides the encoder and its hyper-parameters, and tests besides their mode and size.
SETTINGS = ("case", "params.layer_norm", "params.scale", "params.readout", "params.train_size", "params.estimator")
TESTS = (
    *("metric", "detail.order", "detail.aggregation", "detail.ways", "detail.estimator", "detail.test_size"),
    "detail.num_slots",
)


@dataclass(frozen=True)
class TableRow:
    """A model, a way of testing it, what that gave in each column, and how it differs from the first model."""

    model: str
    test: str
    cells: tuple[str, ...]
    difference: str = ""


@dataclass(frozen=True)
class ExperimentTable:
    """One experiment. across: what the columns are the values of. first: the model that others are compared with."""

    name: str
    title: str
    across: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    first: str = ""

    @property
    def compared(self) -> bool:
        """Whether any model could be compared with the first."""
        return any(row.difference for row in self.rows)

    @property
    def tested(self) -> bool:
        """Whether models are tested in more ways than one."""
        return any(row.test for row in self.rows)


def experiment_tables(frame: pd.DataFrame, info: Mapping[str, Any]) -> list[ExperimentTable]:
    """The experiments that a run's description tells of, filled from its records."""
    rows = [{str(key): value for key, value in row.items() if _known(value)} for row in frame.to_dict("records")]
    return [_table(name, told, rows) for name, told in (info.get("experiments") or {}).items()]


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _table(name: str, told: Mapping[str, Any], rows: Sequence[Row]) -> ExperimentTable:
    """`told`: see `mbcbench.execution.suite.Experiment`; in place of functions it holds the keys of the cells."""
    keys = {key: place for place, key in enumerate(told["cells"])}
    found = [row for row in rows if row.get("cell") in keys and _shown(row, told)]
    found.sort(key=lambda row: keys[row["cell"]])  # cells end in any order
    tested = [row for row in found if not _broke(row)]
    across = _across(tested, told["columns_by"])
    columns = sorted({row[across] for row in tested if across in row})
    model, test = _settings(found, SETTINGS, told, across), _settings(tested, TESTS, told, across)
    seeds = len({row["seed"] for row in found})
    cells: Lines = {}
    for row in tested:
        place = (_model(row, model), _test(row, test, told["where"]))
        cells.setdefault(place, {}).setdefault(row.get(across), []).append(row)
    for row in (row for row in found if _broke(row)):
        _add_broken(cells, row, _model(row, model), columns)
    first = next(iter(cells))[0] if cells else ""
    lines = [
        TableRow(name, how, tuple(_cell(by.get(c, []), seeds) for c in columns or [None]), difference)
        for (name, how), by in cells.items()
        for difference in ["" if name == first else _difference(by, cells.get((first, how), {}))]
    ]
    heading = across.rpartition(".")[2].replace("_", " ") if columns else ""
    metrics = dict.fromkeys(row["metric"] for row in tested)
    title = told["title"] + (f" ({', '.join(metrics)})" if metrics else "")
    return ExperimentTable(name, title, heading, tuple(f"{c:g}" for c in columns) or ("",), tuple(lines), first)


def _shown(row: Row, told: Mapping[str, Any]) -> bool:
    """Whether a record is one that the experiment shows; one that broke speaks for all that it does not tell."""
    if not all(row.get(column, value if _broke(row) else None) == value for column, value in told["where"].items()):
        return False
    return _broke(row) or not told["only_train_size"] or row.get("detail.test_size") == row.get("detail.train_size")


def _broke(row: Row) -> bool:
    return row["status"] in BROKEN


def _across(rows: Sequence[Row], asked: str) -> str:
    """The column whose values head the columns; a measurement without a test size may have a size of another kind."""
    return next((c for c in (asked, "detail.gradient_size") if any(c in row for row in rows)), asked)


def _settings(rows: Sequence[Row], columns: Iterable[str], told: Mapping[str, Any], across: str) -> list[str]:
    """The columns that tell these rows apart and stand nowhere else."""
    known = {*told["where"], across, across.replace("detail.", "params.")}
    known |= {"detail.test_size"} if told["only_train_size"] else set()
    return [c for c in columns if c not in known and len({repr(row.get(c)) for row in rows}) > 1]


def _model(row: Row, settings: Sequence[str]) -> str:
    told = [f"{name}={_value(value)}" for name, value in (row.get("params.hyper") or {}).items()]
    told += [f"{c.rpartition('.')[2]}={_value(row[c])}" for c in settings if c in row]
    return " ".join([row["encoder"], *told])


def _test(row: Row, settings: Sequence[str], where: Mapping[str, Any]) -> str:
    named = {c: f"{c.rpartition('.')[2].replace('_', ' ')} " for c in settings if c != "metric"}
    told = [f"{named.get(c, '')}{_value(row[c])}" for c in settings if c in row]
    if not {"detail.chunk_size"} & where.keys() and where.get("detail.mode") != "one piece" and "detail.mode" in row:
        streamed = row["detail.mode"] == "streamed"
        told.insert(0, f"chunks of {_value(row['detail.chunk_size'])}" if streamed else "one piece")
    return ", ".join(told)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _add_broken(cells: Lines, row: Row, model: str, columns: Sequence[Any]) -> None:
    """Count a model's seed that broke wherever its other seeds are, or in a line of its own."""
    lines = [by for (name, _), by in cells.items() if name == model] or [cells.setdefault((model, ""), {})]
    for by in lines:
        for column in by.keys() or columns or [None]:
            by.setdefault(column, []).append(row)


def _cell(rows: Sequence[Row], expected: int) -> str:
    """`0.912 ±0.013`, with what is missing or undecided; without any value, what became of it."""
    by_seed = {row["seed"]: row for row in rows}
    values = [row["value"] for row in by_seed.values() if _measured(row)]
    stuck = sum(row.get("detail.plateau") is True for row in by_seed.values())
    if not by_seed:
        return ""
    if not values:
        return ", ".join(sorted({"nan" if row["status"] == "ok" else row["status"] for row in by_seed.values()}))
    parts = [_number(float(np.mean(values)))]
    if len(values) > 1:
        half = float(half_width(np.std(values, ddof=1), len(values)))
        parts.append(f"±{_number(half)}")
    parts += [f"{len(values)}/{expected}"] if len(values) < expected else []
    return " ".join([*parts, *([f"≈{stuck}"] if stuck else [])])


def _difference(mine: Mapping[Any, Sequence[Row]], first: Mapping[Any, Sequence[Row]]) -> str:
    """`+0.021 [+0.015, +0.027]`: mine less the first's, of one seed and column each and averaged over the columns; the
    mean over seeds, and its bootstrap interval."""
    by_seed: dict[int, list[float]] = {}
    for column, rows in mine.items():
        theirs = {row["seed"]: row["value"] for row in first.get(column, ()) if _measured(row)}
        for row in rows:
            if _measured(row) and row["seed"] in theirs:
                by_seed.setdefault(row["seed"], []).append(row["value"] - theirs[row["seed"]])
    found = [float(np.mean(values)) for values in by_seed.values()]
    if len(found) < 2:
        return ""
    interval = stats.bootstrap((found,), np.mean, method="percentile", rng=0).confidence_interval
    mean, low, high = (round(float(number), 3) + 0.0 for number in (np.mean(found), *interval))  # no -0.000
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def _measured(row: Row) -> bool:
    return not _broke(row) and math.isfinite(row.get("value", math.nan))


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
