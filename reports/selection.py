"""Selection of rows from a frame of records: complete columns, names of models, rows of one setting, values by seed."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mbcbench.paper import Filter, model_label

from . import stats
from .columns import ALL, MODEL_SETTINGS, SETTINGS, SIZES, TEXT, Row

REPAIR_HINT = r" \(pip install [^)]*\)"  # in the names of data sets that old versions recorded
STANDARD = "standard-"  # cases of trainings that rank encoders begin so; they are no part of the paper's experiments
PARTITIONED = ("partition", "unbiased")  # ways of training on partitions, named in the label of a model


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with every column that reports read; those that no record has are empty.

    A record that does not say under which setting it was taken (its cell broke) gets the setting of its cell.
    """
    table = frame.reindex(columns=list(dict.fromkeys((*frame.columns, *ALL)))).reset_index(drop=True)
    for name in SETTINGS:
        if f"params.{name}" in frame:
            table[f"detail.{name}"] = table[f"detail.{name}"].combine_first(table[f"params.{name}"])
    for name in SIZES:
        table[f"detail.{name}"] = pd.to_numeric(table[f"detail.{name}"], errors="coerce")
    table["detail.data"] = table["detail.data"].astype(object).replace(REPAIR_HINT, "", regex=True)
    return table.astype(dict.fromkeys(TEXT, object)).copy()  # in one block: many columns were added


def label_models(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the tidy frame with the columns `model` and `longest`. A frame that has them is returned as it is.

    model: the encoder with its hyper-parameters. longest: False if another run trained the model longer on this case.
    """
    if "model" in frame:
        return frame
    rows = tidy(frame)
    names = [_model_name(row) for row in rows[["suite", "encoder", *MODEL_SETTINGS]].to_dict("records")]
    rows = rows.assign(model=pd.Series(names, index=rows.index, dtype=object))
    steps = pd.to_numeric(rows["detail.steps"])
    most = steps.groupby([rows[column] for column in ("suite", "case", "model")], dropna=False).transform("max")
    return rows.assign(longest=steps.isna() | steps.eq(most))


def _model_name(row: Row) -> str:
    """Return `sse-random K=32`, followed by how it was trained or scaled if not as usual."""
    hyper = row["params.hyper"]
    words = [model_label(str(row["encoder"]), hyper if isinstance(hyper, Mapping) else {})]
    if row["params.estimator"] in PARTITIONED:
        words.append(str(row["params.estimator"]))
    if row["suite"] == "centroids" and row["params.layer_norm"] is False:
        words.append("no norm" if row["params.scale"] == 1 else "rescaled")
    return " ".join(words)


def is_standard(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return True for the records of trainings that rank encoders."""
    return rows["case"].astype(str).str.startswith(STANDARD)


def select(rows: pd.DataFrame, where: Filter) -> pd.DataFrame:
    """Return the measured rows of a setting, of the longest training of each model, without those of `standard`.

    where: a tuple matches any of its values, None a missing value.
    """
    matches = rows["status"].eq("ok") & rows["longest"] & ~is_standard(rows)
    for column, value in where.items():
        if value is None:
            matches &= rows[column].isna()
        else:
            matches &= rows[column].isin(value if isinstance(value, tuple) else (value,))
    measured = rows.loc[matches]
    return measured.assign(value=pd.to_numeric(measured["value"]))


def values_by_seed(rows: pd.DataFrame, where: Filter, column: str = "value") -> pd.Series:
    """Return the value of each seed under a setting: the mean of its records, without missing values."""
    measured = select(rows, where)
    return pd.to_numeric(measured[column]).groupby(measured["seed"]).mean().dropna()


def weighted_sum(rows: pd.DataFrame, terms: Sequence[tuple[float, Filter]], column: str = "value") -> pd.Series:
    """Return the weighted sum of the values under several settings, by seed: +1 and -1 give a paired difference."""
    samples = [values_by_seed(rows, where, column) for _, where in terms]
    return stats.paired_sum(samples, [weight for weight, _ in terms])
