"""The table of an experiment: models and tests as rows, sizes as columns."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mbcbench.types import JsonObject

from ..aggregation import BROKEN
from ..columns import TEST_SETTINGS, Row
from ..formatting import parameter_range, symbol
from ..selection import has_not_learnt, tidy
from ..stats import Estimate

# Columns that distinguish models besides the encoder and its hyper-parameters, and tests besides mode and size.
MODEL_SETTINGS = (
    "case",
    "params.layer_norm",
    "params.scale",
    "params.readout",
    "params.train_size",
    "params.estimator",
)
TESTS = ("metric", *TEST_SETTINGS)
LINE = ["model", "test"]
COLUMN = "column"  # the value that a record's column stands for


@dataclass(frozen=True)
class TableRow:
    """A model, its test, its parameters, the result in each column, and the difference to the first model."""

    model: str
    test: str
    parameters: str
    cells: tuple[str, ...]
    difference: str = ""


@dataclass(frozen=True)
class ExperimentTable:
    """One experiment. columns_by: name of the values in the heading. first: the model that others are compared with."""

    name: str
    title: str
    columns_by: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    first: str = ""

    @property
    def has_differences(self) -> bool:
        """True if a model could be compared with the first."""
        return any(row.difference for row in self.rows)

    @property
    def has_parameters(self) -> bool:
        """True if the number of parameters of a model is known."""
        return any(row.parameters for row in self.rows)

    @property
    def has_tests(self) -> bool:
        """True if models are tested in more than one way."""
        return any(row.test for row in self.rows)


def experiment_tables(frame: pd.DataFrame, info: JsonObject) -> list[ExperimentTable]:
    """Return the tables of the experiments in a run's description, filled from its records."""
    rows = tidy(frame)
    experiments: Mapping[str, JsonObject] = info.get("experiments") or {}
    return [experiment_table(name, experiment, rows) for name, experiment in experiments.items()]


def experiment_table(name: str, experiment: JsonObject, rows: pd.DataFrame) -> ExperimentTable:
    """Return the table of one experiment.

    experiment: see `mbcbench.execution.suite.Experiment`; instead of a function it has the keys of its cells.
    rows: tidy records.
    """
    rows = _shown_rows(experiment, rows)
    is_broken = rows["status"].isin(BROKEN)
    tested = rows[~is_broken]
    columns_by = _columns_by(tested, experiment["columns_by"])
    columns = sorted(tested[columns_by].dropna().unique())
    records = _label(rows, tested, experiment, columns_by)
    lines = _spread_broken(records[~is_broken], records[is_broken], columns)
    title = experiment["title"]
    if len(tested):
        title += f" ({', '.join(tested['metric'].unique())})"
    first = str(lines["model"].iloc[0]) if len(tested) else ""
    return ExperimentTable(
        name=name,
        title=title,
        columns_by=columns_by.rpartition(".")[2].replace("_", " ") if columns else "",
        columns=tuple(f"{column:g}" for column in columns) or ("",),
        rows=tuple(_table_rows(lines, columns, first, seeds=rows["seed"].nunique())),
        first=first,
    )


def _shown_rows(experiment: JsonObject, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the records that the experiment shows, in the order of its cells.

    A broken record matches any setting that it does not specify.
    """
    place = rows["cell"].map({key: place for place, key in enumerate(experiment["cells"])})
    rows = rows.assign(place=place)[place.notna()].sort_values("place", kind="stable")
    is_broken = rows["status"].isin(BROKEN)
    matches = pd.Series(True, index=rows.index)
    for column, value in experiment["where"].items():
        values = rows.get(column, pd.Series(np.nan, index=rows.index))
        is_equal = values.isna() if value is None else values.eq(value)
        matches &= is_equal | (is_broken & values.isna())
    if experiment["only_train_size"]:
        matches &= is_broken | rows["detail.test_size"].eq(rows["detail.train_size"])
    return rows[matches]


def _columns_by(tested: pd.DataFrame, asked: str) -> str:
    """Return the column whose values are the headings: a measurement without a test size may have another size."""
    for column in (asked, "detail.gradient_size"):
        if column in tested and tested[column].notna().any():
            return column
    return asked if asked in tested else "detail.test_size"


def _label(rows: pd.DataFrame, tested: pd.DataFrame, experiment: JsonObject, columns_by: str) -> pd.DataFrame:
    """Return the records with the columns `model`, `test` and `column`."""
    known = {*experiment["where"], columns_by, columns_by.replace("detail.", "params.")}
    if experiment["only_train_size"]:
        known.add("detail.test_size")
    model_settings = [c for c in MODEL_SETTINGS if c not in known and _varies(rows[c])]
    test_settings = [c for c in TESTS if c not in known and _varies(tested[c])]
    records = rows.to_dict("records")
    return rows.assign(
        model=[_model(record, model_settings) for record in records],
        test=[_test(record, test_settings, experiment["where"]) for record in records],
        column=rows[columns_by],
    )


def _varies(column: pd.Series) -> bool:
    return column.map(lambda value: "" if _is_missing(value) else repr(value)).nunique() > 1


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _model(record: Row, settings: Iterable[str]) -> str:
    hyper = record["params.hyper"]
    values = dict(hyper) if isinstance(hyper, Mapping) else {}
    values |= {column.rpartition(".")[2]: record[column] for column in settings if not _is_missing(record[column])}
    return " ".join([record["encoder"], *(f"{name}={_value(value)}" for name, value in values.items())])


def _test(record: Row, settings: Iterable[str], where: JsonObject) -> str:
    words = []
    mode = record["detail.mode"]
    if "detail.chunk_size" not in where and where.get("detail.mode") != "one piece" and not _is_missing(mode):
        words.append(f"chunks of {_value(record['detail.chunk_size'])}" if mode == "streamed" else "one piece")
    for column in settings:
        if not _is_missing(record[column]):
            name = "" if column == "metric" else column.rpartition(".")[2].replace("_", " ") + " "
            words.append(f"{name}{_value(record[column])}")
    return ", ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread_broken(tested: pd.DataFrame, broken: pd.DataFrame, columns: Sequence[Any]) -> pd.DataFrame:
    """Return the records with each broken seed in every row and column of its model, or in a row of its own."""
    cells = tested[[*LINE, COLUMN]].drop_duplicates()
    lost = broken.drop(columns=["test", COLUMN])
    in_lines = lost.merge(cells, on="model")
    alone = lost[~lost["model"].isin(cells["model"])].assign(test="")
    alone = alone.merge(pd.DataFrame({COLUMN: columns or [np.nan]}), how="cross")
    return pd.concat([part for part in (tested, in_lines, alone) if len(part)] or [tested], ignore_index=True)


def _table_rows(lines: pd.DataFrame, columns: Sequence[Any], first: str, seeds: int) -> Iterable[TableRow]:
    references = {test: rows for (model, test), rows in lines.groupby(LINE, sort=False) if model == first}
    for (model, test), rows in lines.groupby(LINE, sort=False):
        by_column = [rows[rows[COLUMN].eq(column)] for column in columns] or [rows]
        difference = "" if model == first or test not in references else _difference(rows, references[test])
        cells = tuple(_cell(part, seeds) for part in by_column)
        yield TableRow(str(model), str(test), parameter_range(rows["detail.parameters"]), cells, difference)


def _cell(rows: pd.DataFrame, expected: int) -> str:
    """Return `0.912 ±0.013`, with a note on missing or unlearnt seeds; without any value, the outcomes."""
    rows = rows.drop_duplicates("seed", keep="last")
    if rows.empty:
        return ""
    values = rows.loc[_is_measured(rows), "value"].astype(float)
    if values.empty:
        return ", ".join(sorted(set(rows["status"].replace("ok", "nan"))))
    estimate = Estimate.of(values)
    parts = [_number(estimate.mean)]
    if estimate.seeds > 1:
        parts.append(f"±{_number(estimate.half)}")
    if estimate.seeds < expected:
        parts.append(f"{estimate.seeds}/{expected}")
    unlearnt = int(has_not_learnt(rows).sum())
    if unlearnt:
        parts.append(f"{symbol('unlearnt')}{unlearnt}")
    return " ".join(parts)


def _difference(rows: pd.DataFrame, first: pd.DataFrame) -> str:
    """Return `+0.021 [+0.015, +0.027]`: the difference to the first model and its interval.

    Values are paired by seed and column, and differences averaged over the columns.
    """
    differences = (_by_seed(rows) - _by_seed(first)).mean(axis=1).dropna()
    estimate = Estimate.of(differences)
    if estimate.seeds < 2:
        return ""
    mean, low, high = (round(number, 3) + 0.0 for number in (estimate.mean, estimate.low, estimate.high))  # no -0.000
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def _by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return values by seed (rows) and column."""
    measured = rows[_is_measured(rows)]
    measured = measured.assign(value=measured["value"].astype(float), column=measured[COLUMN].fillna(0))
    return measured.pivot_table(index="seed", columns=COLUMN, values="value", aggfunc="last")


def _is_measured(rows: pd.DataFrame) -> pd.Series:
    values = pd.to_numeric(rows["value"])
    return ~rows["status"].isin(BROKEN) & pd.Series(np.isfinite(values), index=rows.index)


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
