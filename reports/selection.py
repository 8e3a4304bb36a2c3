"""Select rows from a frame of records: complete columns, model names, rows of a setting, values by seed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.paper import PAPER_ARM, PUBLISHED_ARM, Filter, model_label

from .columns import ALL, MODEL_SETTINGS, SETTINGS, SIZES, TEXT, Row

REPAIR_HINT = r" \(pip install [^)]*\)"  # in names of data sets recorded by old versions
STANDARD = "standard-"  # prefix of the cases of trainings that rank encoders, outside of the paper's experiments
PARTITIONED = ("partition", "unbiased")  # ways of training on partitions, named in the label of a model
# Encodings without a LayerNorm: as they are, or multiplied by the number of slots.
NO_NORM, RESCALED = "no norm", "rescaled"
ARM_NAMES = {PAPER_ARM: "as in the text", PUBLISHED_ARM: "as published"}


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with every column that reports read; columns that no record has are empty.

    A record without a setting, because its cell broke, gets the setting of the cell.
    """
    table = frame.reindex(columns=list(dict.fromkeys((*frame.columns, *ALL)))).reset_index(drop=True)
    for name in SETTINGS:
        if f"params.{name}" in frame:
            table[f"detail.{name}"] = table[f"detail.{name}"].combine_first(table[f"params.{name}"])
    for name in SIZES:
        table[f"detail.{name}"] = pd.to_numeric(table[f"detail.{name}"], errors="coerce")
    table["detail.data"] = table["detail.data"].astype(object).replace(REPAIR_HINT, "", regex=True)
    return table.astype(dict.fromkeys(TEXT, object)).copy()  # copied into one block, since many columns were added


def label_models(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the tidy frame with the column `model`: the encoder with its hyper-parameters, in words.

    A frame that has the column is returned as it is.
    """
    if "model" in frame:
        return frame
    rows = tidy(frame)
    names = [_model_name(row) for row in rows[["suite", "encoder", *MODEL_SETTINGS]].to_dict("records")]
    return rows.assign(model=pd.Series(names, index=rows.index, dtype=object))


def _model_name(row: Row) -> str:
    """Return `SSE random K=32`, followed by its training or scaling if these are not the usual ones."""
    hyper = row["params.hyper"]
    words = [model_label(str(row["encoder"]), hyper if isinstance(hyper, Mapping) else {})]
    if row["params.estimator"] in PARTITIONED:
        words.append(str(row["params.estimator"]))
    if row["suite"] == "centroids" and row["params.layer_norm"] is False:
        words.append(NO_NORM if row["params.scale"] == 1 else RESCALED)
    if row["params.arm"] in ARM_NAMES:
        words.append(ARM_NAMES[row["params.arm"]])
    return " ".join(words)


def is_standard(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return True for the records of trainings that rank encoders."""
    return rows["case"].astype(str).str.startswith(STANDARD)


def additional_data() -> list[str]:
    """Return the names of the data sets that are used only where they are named."""
    from mbcbench.datasets import DATA_SETS

    return [name for name, data in DATA_SETS.items() if data.additional]


def select(rows: pd.DataFrame, where: Filter) -> pd.DataFrame:
    """Return the measured rows of a setting, from the longest training of each model, without those of `standard`.

    where: a tuple matches any of its values, None a missing value. Records of additional data sets, and of the arms of
        the reproduction, match only where it names their case (or their data).

    Profiles train a model of one name for different numbers of steps. The longest training with records in this setting
    counts (see `most_steps`).
    """
    positions = _matching(rows, {"status": "ok", **where})
    if not len(positions):
        return rows.iloc[:0].assign(value=pd.Series(dtype=float))
    measured = rows.iloc[positions]
    measured = measured[~is_standard(measured)]
    if not {"case", "params.data"} & set(where):
        measured = measured[
            ~measured["params.data"].isin(additional_data()) & ~measured["params.arm"].isin([*ARM_NAMES])
        ]
    return _longest_trainings(measured.assign(value=pd.to_numeric(measured["value"])))


def _matching(rows: pd.DataFrame, where: Filter) -> npt.NDArray[np.intp]:
    """Return the positions of the rows of a setting. A column is read only where the columns before it match."""
    positions = np.arange(len(rows))
    for column in sorted(where, key=lambda name: name != "model"):  # a model has few records, so its column comes first
        values = rows[column].iloc[positions]
        value = where[column]
        matches = values.isna() if value is None else values.isin(value if isinstance(value, tuple) else (value,))
        positions = positions[matches.to_numpy()]
        if not len(positions):
            break
    return positions


def _longest_trainings(rows: pd.DataFrame) -> pd.DataFrame:
    steps = pd.to_numeric(rows["detail.steps"])
    if steps.nunique() < 2:  # most settings: nothing to compare
        return rows
    return rows[steps.isna() | steps.ge(most_steps(rows, ("suite", "case", "model")))]


def most_steps(rows: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Return for each row the most steps of its group (columns `by`) on sets as large as its own or larger.

    One profile trains on larger sets for fewer steps; another one trains for fewer steps on any.
    """
    table = rows[list(by)].assign(
        size=pd.to_numeric(rows["detail.train_size"]).fillna(0), steps=pd.to_numeric(rows["detail.steps"])
    )
    most = table.groupby([*by, "size"], dropna=False)["steps"].max().reset_index().sort_values("size", ascending=False)
    most["most"] = most.groupby(list(by), dropna=False)["steps"].cummax()
    return table.merge(most.drop(columns="steps"), on=[*by, "size"], how="left").set_axis(rows.index)["most"]


def has_not_learnt(rows: pd.DataFrame, margin: float = 0.0) -> pd.Series:
    """Return True for rows of models whose final training loss is not below the training baseline minus the margin.

    rows: tidy records. Such a model predicts no more than the mean colour of the pixels. For records without the two
    losses, the recorded judgement counts.
    """
    loss, baseline = pd.to_numeric(rows["detail.train_loss"]), pd.to_numeric(rows["detail.train_baseline"])
    is_known = loss.notna() & baseline.notna()
    return loss.ge(baseline - margin).where(is_known, rows["detail.plateau"].eq(True)).astype(bool)


def values_by_seed(rows: pd.DataFrame, where: Filter, column: str = "value") -> pd.Series:
    """Return the value of each seed under a setting: the mean of its records, without missing values."""
    return mean_by_seed(select(rows, where), column)


def mean_by_seed(measured: pd.DataFrame, column: str = "value") -> pd.Series:
    """Return the mean of the records of each seed, without missing values."""
    return pd.to_numeric(measured[column]).groupby(measured["seed"]).mean().dropna()
