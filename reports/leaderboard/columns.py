"""The measured columns of the leaderboard: which metric of which suite each shows, and under which setting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..aggregation import main_setting

ACCURACY = "point-clouds"
COMPLETION = "image-completion"
CENTROIDS = "centroids"
TASKS = (ACCURACY, COMPLETION, CENTROIDS)
RESOURCES = "resources"
TASK_KEYS = ("accuracy", "nll", "centroids")  # of the columns by which tasks rank encoders: sets as trained on
FORESEE = "foresee"  # predictions for a size at which nothing is measured
ONE_PIECE, STREAMED = "one piece", "streamed"


@dataclass(frozen=True)
class Slot:
    """One measured column: which metric of which suite, and where to look (see `evidence.outcomes`)."""

    key: str
    label: str
    about: str
    suite: str
    metric: str
    at: Mapping[str, Any] = field(default_factory=dict)


def encoders_of(frame: pd.DataFrame, info: Mapping[str, Any]) -> list[str]:
    """The encoders that were asked for, then any others that have records."""
    return list(dict.fromkeys([*map(str, info.get("encoders") or ()), *frame["encoder"].dropna()]))


def suite_rows(frame: pd.DataFrame, suite: str) -> tuple[pd.DataFrame, list[str]]:
    """A suite's records under one setting, and what that leaves out."""
    as_trained = frame["detail.num_slots"].isna()  # other numbers of slots are an experiment
    rows = _as_registered(frame[frame["suite"].eq(suite) & frame["case"].ne(FORESEE) & as_trained])
    by = ("case", "device", "dtype", *(("detail.train_size",) if suite in TASKS else ()))
    kept, notes = main_setting(rows, by)
    whole = kept["status"].eq("ok") & kept["detail.mode"].isna()  # nothing said: as it is done ordinarily
    return kept.assign(**{"detail.mode": kept["detail.mode"].astype(object).mask(whole, ONE_PIECE)}), notes


def _as_registered(rows: pd.DataFrame) -> pd.DataFrame:
    """The records of encoders with the hyper-parameters they are registered with, where there are any: others belong
    to the paper's experiments."""
    usual = rows["params.hyper"].map(lambda hyper: not isinstance(hyper, Mapping) or not hyper).astype(bool)
    return rows[usual] if (usual & rows["status"].eq("ok")).any() else rows


def slots(frame: pd.DataFrame) -> list[Slot]:
    """The measured columns that the records of a tidy frame can fill."""
    return [*accuracy_slots(frame), *completion_slots(frame), *centroid_slots(frame), *resource_slots(frame)]


def accuracy_slots(frame: pd.DataFrame) -> list[Slot]:
    """Accuracy where the encoder was trained, and at the largest test size: in one piece and streamed."""
    rows, _ = suite_rows(frame, ACCURACY)
    if rows.empty:
        return []
    sizes = sorted(rows["detail.test_size"].dropna().unique())
    if not sizes:
        return [Slot("accuracy", "accuracy", "test accuracy", ACCURACY, "accuracy")]
    trained = rows["detail.train_size"].dropna()
    first = trained.iloc[0] if len(trained) and trained.iloc[0] in sizes else sizes[0]
    about = "as trained" if len(trained) and first == trained.iloc[0] else "the fewest tested"
    found = [_accuracy("accuracy", f"acc @{first:g}", f"{first:g} points, {about}", first, ONE_PIECE)]
    large = sizes[-1]
    if large != first:
        found.append(_accuracy("accuracy.large", f"acc @{large:g}", f"{large:g} points in one piece", large, ONE_PIECE))
    if rows["detail.mode"].eq(STREAMED).any():
        label = f"@{large:g} streamed"
        found.append(_accuracy("accuracy.streamed", label, f"{large:g} points streamed in chunks", large, STREAMED))
    return found


def _accuracy(key: str, label: str, where: str, size: float, mode: str) -> Slot:
    about = f"test accuracy, {where}: mean and 95% t interval over seeds"
    return Slot(key, label, about, ACCURACY, "accuracy", {"detail.test_size": size, "detail.mode": mode})


def completion_slots(frame: pd.DataFrame) -> list[Slot]:
    """NLL of images, as trained and at the largest context streamed."""
    about = "image completion, mean NLL of a number (lower is better)"
    shared = {"detail.order": "random", "detail.aggregation": "own"}
    return _two(frame, COMPLETION, "nll", ("nll", "NLL"), about, shared)


def centroid_slots(frame: pd.DataFrame) -> list[Slot]:
    """Accuracy of the nearest centroid among the most classes, as trained and at the largest support streamed."""
    ways = suite_rows(frame, CENTROIDS)[0]["detail.ways"].dropna()
    if ways.empty:
        return _two(frame, CENTROIDS, "accuracy", ("centroids", "cent."), "accuracy of the nearest centroid", {})
    about = f"accuracy of the nearest of {ways.max():g} centroids"
    return _two(frame, CENTROIDS, "accuracy", ("centroids", "cent."), about, {"detail.ways": ways.max()})


def _two(
    frame: pd.DataFrame, suite: str, metric: str, names: tuple[str, str], about: str, shared: Mapping[str, Any]
) -> list[Slot]:
    """A task's two columns: sets as large as those trained on, and the largest that were streamed."""
    rows, _ = suite_rows(frame, suite)
    if rows.empty:
        return []
    (key, label), trained = names, rows["detail.train_size"].dropna()
    large = rows.loc[rows["detail.mode"].eq(STREAMED), "detail.test_size"].max()
    found = [(key, trained.max(), ONE_PIECE, ""), (f"{key}.streamed", large, STREAMED, " streamed")]
    return [
        Slot(
            key,
            f"{label} @{size:g}{how}",
            f"{about}, {size:g} elements{how}: mean and 95% t interval over seeds",
            suite,
            metric,
            {**shared, "detail.test_size": size, "detail.mode": mode},
        )
        for key, size, mode, how in found
        if pd.notna(size)
    ]


def resource_slots(frame: pd.DataFrame) -> list[Slot]:
    """Throughput, memory, state and parameters, each at the largest set of its mode."""
    rows, _ = suite_rows(frame, RESOURCES)
    if rows.empty:
        return []
    (one, here), (streamed, there) = (_largest(rows, mode) for mode in (ONE_PIECE, STREAMED))
    found = [
        Slot("throughput", "elem/s", f"elements encoded a second, in one piece{here}", *_of("throughput"), one),
        Slot("memory", "memory", f"peak memory in one piece{here}", *_of("peak_memory"), one),
        Slot("memory.streamed", "mem. streamed", f"peak memory when streamed{there}", *_of("peak_memory"), streamed),
        Slot("state", "state", f"size of the streaming state{there}", *_of("state_size"), streamed),
        Slot("parameters", "params", "trainable parameters", *_of("parameters"), {"detail.mode": ONE_PIECE}),
    ]
    modes = {ONE_PIECE, *rows["detail.mode"].dropna()}
    return [slot for slot in found if slot.at["detail.mode"] in modes]


def _largest(rows: pd.DataFrame, mode: str) -> tuple[dict[str, Any], str]:
    """Where to look for a mode's largest set, and how to say so."""
    sizes = rows.loc[rows["detail.mode"].eq(mode), "detail.n"].dropna()
    if sizes.empty:
        return {"detail.mode": mode}, ""
    return {"detail.n": sizes.max(), "detail.mode": mode}, f" at n = {sizes.max():g}"


def _of(metric: str) -> tuple[str, str]:
    return RESOURCES, metric
