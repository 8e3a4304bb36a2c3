"""Score columns of the leaderboard: the suite, metric and setting of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from mbcbench.paper import PUBLISHED_ENCODER, Filter
from mbcbench.types import JsonObject

from ..aggregation import main_setting
from ..selection import is_standard

ACCURACY = "point-clouds"
COMPLETION = "image-completion"
CENTROIDS = "centroids"
TASKS = (ACCURACY, COMPLETION, CENTROIDS)
RESOURCES = "resources"
FORESEE = "foresee"  # case of predictions for a size at which nothing is measured
ONE_PIECE, STREAMED = "one piece", "streamed"


@dataclass(frozen=True)
class ScoreColumn:
    """A measured column: a metric of a suite under a setting (`where`, see `aggregation.outcomes`).

    key: its name in tables. label: its heading. about: its meaning in words. Tasks have one value for each seed.
    """

    key: str
    label: str
    about: str
    suite: str
    metric: str
    where: Filter = field(default_factory=dict)


def encoders_of(rows: pd.DataFrame, info: JsonObject) -> list[str]:
    """Return the requested encoders of the run, then any others that have records.

    The encoder of the published code, unless it is requested, is left out beside others: the experiments judge it by a
    single law.
    """
    requested, present = map(str, info.get("encoders") or ()), list(rows["encoder"].dropna().unique())
    others = [name for name in present if name != PUBLISHED_ENCODER]
    return list(dict.fromkeys([*requested, *others])) or present


def suite_rows(rows: pd.DataFrame, suite: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the tidy records of a suite under its main setting, and notes on those that are left out.

    Tests with other numbers of slots and encoders with other hyper-parameters belong to experiments; trainings under
    `standard` are ranked (see `standard`).
    """
    of_suite = rows[rows["suite"].eq(suite)]
    if of_suite.empty:
        return of_suite, []
    is_shown = of_suite["case"].ne(FORESEE) & of_suite["detail.num_slots"].isna() & ~is_standard(of_suite)
    by = ["case", "device", "dtype"]
    if suite in TASKS:
        by.append("detail.train_size")
    main, notes = main_setting(_as_registered(of_suite[is_shown]), by)
    without_mode = main["status"].eq("ok") & main["detail.mode"].isna()
    return main.assign(**{"detail.mode": main["detail.mode"].astype(object).mask(without_mode, ONE_PIECE)}), notes


def _as_registered(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the records of encoders with registered hyper-parameters, or all rows if there are none."""
    changed = rows["params.hyper"].map(lambda hyper: isinstance(hyper, Mapping) and bool(hyper)).astype(bool)
    registered = rows[~changed]
    return registered if registered["status"].eq("ok").any() else rows


def score_columns(rows: pd.DataFrame) -> list[ScoreColumn]:
    """Return the columns that tidy records can fill. Where `standard` has scores, other trainings are not shown."""
    if is_standard(rows).any():
        return resource_columns(rows)
    return [*accuracy_columns(rows), *completion_columns(rows), *centroid_columns(rows), *resource_columns(rows)]


def accuracy_columns(rows: pd.DataFrame) -> list[ScoreColumn]:
    """Return columns of accuracy for sets as large as in training, and for the largest, in one piece and streamed."""
    rows, _ = suite_rows(rows, ACCURACY)
    if rows.empty:
        return []
    sizes = sorted(rows["detail.test_size"].dropna().unique())
    if not sizes:
        return [ScoreColumn("accuracy", "accuracy", "test accuracy", ACCURACY, "accuracy")]
    train_sizes = rows["detail.train_size"].dropna()
    as_trained = len(train_sizes) > 0 and train_sizes.iloc[0] in sizes
    first, largest = train_sizes.iloc[0] if as_trained else sizes[0], sizes[-1]
    about = f"{first:g} points, {'as in training' if as_trained else 'the fewest tested'}"
    columns = [_accuracy_column("accuracy", f"acc @{first:g}", about, first, ONE_PIECE)]
    if largest != first:
        about = f"{largest:g} points in one piece"
        columns.append(_accuracy_column("accuracy.large", f"acc @{largest:g}", about, largest, ONE_PIECE))
    if rows["detail.mode"].eq(STREAMED).any():
        about = f"{largest:g} points streamed in chunks"
        columns.append(_accuracy_column("accuracy.streamed", f"@{largest:g} streamed", about, largest, STREAMED))
    return columns


def _accuracy_column(key: str, label: str, where: str, size: float, mode: str) -> ScoreColumn:
    about = f"test accuracy, {where}"
    return ScoreColumn(key, label, about, ACCURACY, "accuracy", {"detail.test_size": size, "detail.mode": mode})


def completion_columns(rows: pd.DataFrame) -> list[ScoreColumn]:
    """Return columns of the NLL of images."""
    about = "image completion, mean NLL per value in nats (lower is better)"
    base = ScoreColumn("nll", "NLL", about, COMPLETION, "nll", {"detail.order": "random", "detail.aggregation": "own"})
    return _task_columns(rows, base)


def centroid_columns(rows: pd.DataFrame) -> list[ScoreColumn]:
    """Return columns of the accuracy of the nearest centroid among the most classes."""
    ways = suite_rows(rows, CENTROIDS)[0]["detail.ways"].dropna()
    if ways.empty:
        return _task_columns(rows, _centroids("accuracy of the nearest centroid", {}))
    about = f"accuracy of the nearest of {ways.max():g} centroids"
    return _task_columns(rows, _centroids(about, {"detail.ways": ways.max()}))


def _centroids(about: str, where: Filter) -> ScoreColumn:
    return ScoreColumn("centroids", "cent.", about, CENTROIDS, "accuracy", where)


def _task_columns(rows: pd.DataFrame, base: ScoreColumn) -> list[ScoreColumn]:
    """Return two columns: for sets as large as in training, and for the largest that were streamed."""
    rows, _ = suite_rows(rows, base.suite)
    if rows.empty:
        return []
    largest = rows.loc[rows["detail.mode"].eq(STREAMED), "detail.test_size"].max()
    sizes = [(base.key, rows["detail.train_size"].max(), ONE_PIECE), (f"{base.key}.streamed", largest, STREAMED)]
    columns = []
    for key, size, mode in sizes:
        if pd.notna(size):
            suffix = " streamed" if mode == STREAMED else ""
            about = f"{base.about}, {size:g} elements{suffix}"
            where = {**base.where, "detail.test_size": size, "detail.mode": mode}
            columns.append(ScoreColumn(key, f"{base.label} @{size:g}{suffix}", about, base.suite, base.metric, where))
    return columns


def resource_columns(rows: pd.DataFrame) -> list[ScoreColumn]:
    """Return columns of throughput, memory, state and parameters, each at the largest set of its mode."""
    rows, _ = suite_rows(rows, RESOURCES)
    if rows.empty:
        return []
    whole, at_whole = _largest(rows, ONE_PIECE)
    streamed, at_streamed = _largest(rows, STREAMED)
    parameters = {"detail.mode": ONE_PIECE}
    columns = [
        _resource("throughput", "elem/s", f"elements encoded per second, in one piece{at_whole}", "throughput", whole),
        _resource("memory", "memory", f"peak memory in one piece{at_whole}", "peak_memory", whole),
        _resource(
            "memory.streamed", "mem. streamed", f"peak memory when streamed{at_streamed}", "peak_memory", streamed
        ),
        _resource("state", "state", f"size of the streaming state{at_streamed}", "state_size", streamed),
        _resource("parameters", "params", "trainable parameters", "parameters", parameters),
    ]
    modes = {ONE_PIECE, *rows["detail.mode"].dropna()}
    return [column for column in columns if column.where["detail.mode"] in modes]


def _resource(key: str, label: str, about: str, metric: str, where: Filter) -> ScoreColumn:
    return ScoreColumn(key, label, about, RESOURCES, metric, where)


def _largest(rows: pd.DataFrame, mode: str) -> tuple[Filter, str]:
    """Return the setting of the largest set of a mode, and its description."""
    sizes = rows.loc[rows["detail.mode"].eq(mode), "detail.n"].dropna()
    if sizes.empty:
        return {"detail.mode": mode}, ""
    return {"detail.n": sizes.max(), "detail.mode": mode}, f" at n = {sizes.max():g}"
