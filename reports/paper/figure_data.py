"""Data of the paper's figures: tidy tables of models, settings, seeds and values, from frames of records."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mbcbench.paper import (
    ADDED_TO_FIG3,
    ADDED_TO_FIG8,
    COMPARED_IN_FIG3,
    COMPLETION_OWN_STATE,
    DEEPSETS_MAX,
    DEEPSETS_MAX_NETWORK,
    DEEPSETS_MEAN,
    DEEPSETS_ORIGINAL,
    DEFAULT_HYPER,
    DIGIT_HIERARCHY,
    DIGITS,
    ENCODERS,
    EXEMPLARS,
    HYPER_SYMBOLS,
    LARGE_IMAGES,
    LARGE_TRAIN_SIZE,
    ONE_PIECE,
    PMA,
    SET_TRANSFORMER,
    SSE_1,
    SSE_16,
    SSE_32,
    SSE_DETERMINISTIC_16,
    SSE_DETERMINISTIC_MEAN_16,
    Filter,
    model_label,
    sse,
)

from ..selection import NO_NORM, PARTITIONED, RESCALED, has_not_learnt, label_models, most_steps
from ..selection import select as select_rows
from ..stats import one_per_seed
from .contrasts import ABLATED, CHUNKED, STREAMED_CLOUDS, train_size_setting

COMPARED = tuple(model.label for model in (*COMPARED_IN_FIG3, *ADDED_TO_FIG3))
TRAINED_ON_PARTITIONS = tuple(f"{SSE_32.label} {estimator}" for estimator in PARTITIONED)
STREAMED_ON_CLOUDS = (
    *(model.label for model in (DEEPSETS_MAX, SSE_DETERMINISTIC_16, SSE_16)),
    *(sse(slots, 16, g="max").label for slots in ("deterministic", "random")),
    *(model.label for model in (DEEPSETS_MAX_NETWORK, DEEPSETS_ORIGINAL)),
)
SLOTS_ON_DIGITS = (SSE_DETERMINISTIC_MEAN_16.label, DIGIT_HIERARCHY.label)
COMPARED_ON_DIGITS = (
    *(DEEPSETS_MEAN.label, *SLOTS_ON_DIGITS, *(model.label for model in ADDED_TO_FIG8)),
    *(f"{label} {NO_NORM}" for label in (DEEPSETS_MEAN.label, *SLOTS_ON_DIGITS)),
    *(f"{label} {RESCALED}" for label in SLOTS_ON_DIGITS),
)
MAX_ADDED = 6  # encoders of a user that a figure shows
CASES_OF_EXPERIMENTS = ("patches-64", "cad-points", "exemplar-centroids")  # no other suite has these
SERIES = ["model", "x", "seed", "value", "parameters", "data", "steps", "has learnt"]
# Columns of a figure's data, by column of a frame.
NAMES = {"detail.data": "data", "detail.parameters": "parameters", "detail.steps": "steps"}
AGGREGATIONS = ("mean", "sum", "max", "min")


def select(rows: pd.DataFrame, where: Filter) -> pd.DataFrame:
    """Return the records of a setting (see `selection.select`), and whether each training got below its baseline."""
    selected = select_rows(rows, where)
    return selected.assign(**{"has learnt": ~has_not_learnt(selected)})


def added_encoders(rows: pd.DataFrame) -> set[str]:
    """Return the encoders that a user added to the paper's.

    If there are many, they were run for the leaderboard, and only those with records of an experiment count.
    """
    others = rows[~rows["encoder"].isin(ENCODERS)]
    if others["encoder"].nunique() > MAX_ADDED:
        others = others[others["case"].isin(CASES_OF_EXPERIMENTS)]
    return set(others["encoder"])


def series(frame: pd.DataFrame, where: Filter, models: Sequence[str] | None, x: str) -> pd.DataFrame:
    """Return the values of models along a column `x`: those named (None: all), and those that a user added."""
    records = label_models(frame)
    rows = select(records, where)
    if models is not None:
        rows = rows[rows["model"].isin(models) | rows["encoder"].isin(added_encoders(records))]
    table = one_per_seed(_name_shorter_trainings(rows).rename(columns={x: "x", **NAMES})[SERIES], ["model", "x"])
    order = {name: place for place, name in enumerate(models or ())}
    place = table["model"].map(lambda name: order.get(name, len(order)))
    table = table.assign(place=place).sort_values(["place", "model", "x", "seed"], kind="stable")
    return table.drop(columns="place").reset_index(drop=True)


def _name_shorter_trainings(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the number of steps to the names of models with fewer steps than others of their case."""
    steps = pd.to_numeric(rows["detail.steps"])
    is_shorter = steps < most_steps(rows, ("case",))
    return rows.assign(model=rows["model"].mask(is_shorter, rows["model"] + steps.map(" ({:g} steps)".format)))


def series_at_train_size(frame: pd.DataFrame, where: Filter, models: Sequence[str] | None) -> pd.DataFrame:
    """Return the values of models on full sets as large as those in training, by their size."""
    rows = label_models(frame)
    same_size = rows[rows["detail.test_size"].eq(rows["detail.train_size"])]
    return series(same_size, {**where, **ONE_PIECE}, models, "detail.test_size")


def images_at_train_size(frame: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Return the data of Figure 3a: one panel per image size, since their losses belong to different tasks."""
    table = series_at_train_size(frame, COMPLETION_OWN_STATE, models)
    pixels = table["x"].map(lambda size: 64 if size >= LARGE_TRAIN_SIZE else 32)
    return table.assign(panel=pixels.map("images of {0} x {0} pixels".format), series=table["model"])


def streamed_series(frame: pd.DataFrame, chunk: int) -> pd.DataFrame:
    """Return the data of Figures 3b and 3c: models trained on 1,000 pixels, by the number of streamed pixels."""
    where = {**LARGE_IMAGES, "detail.train_size": 1000, "detail.chunk_size": chunk}
    return series(frame, where, COMPARED, "detail.test_size")


def chunked_set_transformer(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 2: the loss by averaging separate chunk encodings (columns series, chunk, seed, value).

    The value is the difference to the NLL of the same model and seed in one piece.
    """
    rows = label_models(frame)
    base = {**COMPLETION_OWN_STATE, "case": "patches-32", "detail.train_size": 200, "detail.test_size": 200}
    whole = select(rows, {**base, **ONE_PIECE}).groupby(["model", "seed"])["value"].mean().rename("whole")
    chunked = select(rows, {**base, "detail.aggregation": "mean", "detail.chunk_size": (50, 10, 1)})
    chunked = chunked[chunked["model"].isin([SET_TRANSFORMER.label, PMA.label])]
    table = chunked.merge(whole.reset_index(), on=["model", "seed"])
    table = table.assign(
        value=table["value"] - table["whole"],
        chunk=table["detail.chunk_size"].map("{:g}".format),
        series=table["model"] + ", " + table["detail.order"].map({"random": "random chunks", "rows": "sorted by rows"}),
    )
    keys = ["series", "detail.chunk_size", "seed"]
    table = table.sort_values(keys, ascending=[True, False, True], kind="stable").rename(columns=NAMES)
    return one_per_seed(table[["series", "chunk", *SERIES[2:]]], ["series", "chunk"]).reset_index(drop=True)


def training_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 3d: the training loss on 64 x 64 images by steps and by seconds.

    Columns are panel and series, among others. The duration of a step is the mean over seeds.
    """
    records = label_models(frame)
    rows = select(records, train_size_setting(LARGE_IMAGES, 1000))
    models = (*COMPARED, *TRAINED_ON_PARTITIONS)
    rows = rows[rows["model"].isin(models) | rows["encoder"].isin(added_encoders(records))]
    is_curve = rows["detail.curve"].map(lambda curve: isinstance(curve, list | tuple)).astype(bool)
    rows = rows[is_curve].sort_values(["model", "seed"])
    per_step = pd.to_numeric(rows["detail.train_seconds"]) / pd.to_numeric(rows["detail.steps"])
    per_step = per_step.groupby(rows["model"]).transform("mean")
    table = []
    for seconds, row in zip(per_step, rows.to_dict("records"), strict=True):
        for panel, unit in (("by steps", 1.0), ("by seconds", seconds)):
            for step, loss in row["detail.curve"]:
                values = {"model": row["model"], "x": step * unit, "seed": row["seed"], "value": loss, "panel": panel}
                facts = {name: row[column] for column, name in NAMES.items()}
                table.append({**values, **facts, "has learnt": row["has learnt"], "series": row["model"]})
    return pd.DataFrame(table, columns=[*SERIES, "panel", "series"])


def _ablation_rows(rows: pd.DataFrame, encoders: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Return the models of the encoders in the setting that has most of them, and that setting's place in `ABLATED`.

    Models that were trained on partitions are left out.
    """
    settings = [select(rows, {**setting, "encoder": tuple(encoders)}) for setting in ABLATED]
    counts = [setting["model"].nunique() for setting in settings]
    place = counts.index(max(counts))
    models = settings[place]
    return models[~models["params.estimator"].isin(PARTITIONED)], place


def aggregations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 4a for both readings of g: over chunk encodings of a sum model, and in training."""
    rows = label_models(frame)
    g_of_encoder = {"sse-random": "sum", "sse-random-max": "max", "sse-random-min": "min"}
    trained, place = _ablation_rows(rows, tuple(g_of_encoder))
    slots = trained["params.hyper"].map(_num_slots)
    trained = trained.assign(g=trained["encoder"].map(g_of_encoder), series="trained with g, K=" + slots.astype(str))
    trained = trained[slots.isin([1, 8])]
    setting = {**CHUNKED[place], "model": (SSE_1.label, SSE_32.label), "detail.aggregation": AGGREGATIONS}
    chunked = select(rows, setting)
    chunked = chunked.assign(g=chunked["detail.aggregation"], series="g over chunks, " + chunked["model"])
    both = pd.concat([chunked, trained]).rename(columns=NAMES)
    both = both.assign(place=both["g"].map(AGGREGATIONS.index))
    both = both.sort_values(["series", "place", "seed"], kind="stable")
    return one_per_seed(both[["series", "g", *SERIES[2:]]], ["series", "g"]).reset_index(drop=True)


def _num_slots(hyper: Any) -> Any:
    return hyper.get("num_slots") if isinstance(hyper, Mapping) else None


def ablation(frame: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Return the data of Figure 7: one hyper-parameter of the Slot Set Encoder varies, the other is fixed."""
    rows, _ = _ablation_rows(label_models(frame), ("sse-random", "sse-deterministic"))
    hypers = [{**DEFAULT_HYPER, **(hyper if isinstance(hyper, Mapping) else {})} for hyper in rows["params.hyper"]]
    labels = [ablated_label(*model, parameter) for model in zip(rows["encoder"], hypers, strict=True)]
    table = rows.assign(x=[hyper[parameter] for hyper in hypers], model=labels).rename(columns=NAMES)
    varied = table.groupby("model")["x"].transform("nunique") > 1
    table = table[varied].sort_values(["model", "x", "seed"])[SERIES]
    return one_per_seed(table, ["model", "x"]).reset_index(drop=True)


def ablated_label(encoder: str, hyper: Mapping[str, Any], parameter: str) -> str:
    """Return the name of a Slot Set Encoder of which one hyper-parameter varies: it has the value of the other one."""
    (fixed,) = set(DEFAULT_HYPER) - {parameter}
    return f"{model_label(encoder)} {HYPER_SYMBOLS[fixed]}={hyper[fixed]}"


def random_and_deterministic(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 4b: one slot, and 32 slots."""
    table = ablation(frame, "num_slots")
    return table[table["x"].isin([1, 32])].reset_index(drop=True)


def hierarchy_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 4c: levels of a hierarchy, with one slot on each (as in the paper) and with 32."""
    rows, _ = _ablation_rows(label_models(frame), ("sse-random", "sse-hierarchical"))
    slots = [slots if isinstance(slots, list | tuple) else [slots] for slots in rows["params.hyper"].map(_num_slots)]
    rows = rows.assign(x=[len(levels) for levels in slots], k=[levels[0] for levels in slots])
    is_wide = rows["params.hyper"].map(lambda hyper: isinstance(hyper, Mapping) and "slot_dim" in hyper).astype(bool)
    rows = rows[rows["k"].isin([1, 32]) & (rows["encoder"].eq("sse-hierarchical") | ~is_wide)]
    rows = rows.assign(model=[f"{k} slot{'s' if k > 1 else ''} per level" for k in rows["k"]]).rename(columns=NAMES)
    return one_per_seed(rows.sort_values(["model", "x", "seed"])[SERIES], ["model", "x"]).reset_index(drop=True)


def streamed_clouds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 4d: clouds in chunks of 100 points; 100 points are one chunk, and so one piece."""
    return series(frame, STREAMED_CLOUDS, STREAMED_ON_CLOUDS, "detail.test_size")


def exemplars_by_ways(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 5: accuracy with two examples of each class, by the number of classes."""
    return _in_panels(series(frame, {**EXEMPLARS, **ONE_PIECE, "detail.test_size": 2}, None, "detail.ways"))


def exemplars_by_support(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 6: accuracy by the size of the support, for each number of classes (`ways`)."""
    records = label_models(frame)
    where = {**EXEMPLARS, **ONE_PIECE}
    parts = [
        series(records, {**where, "detail.ways": ways}, None, "detail.test_size").assign(ways=ways)
        for ways in sorted(select(records, where)["detail.ways"].unique())
    ]
    return _in_panels(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def digits_by_support(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data of Figure 8: accuracy on ten digits, by the size of the support."""
    return _in_panels(series(frame, {**DIGITS, **ONE_PIECE, "detail.ways": 10}, COMPARED_ON_DIGITS, "detail.test_size"))


def _in_panels(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `panel` and `series`, the name of a model in its panel.

    Claims compare models with a LayerNorm with each other, and likewise models without one, rescaled or not.
    """
    is_bare = table["model"].str.endswith((NO_NORM, RESCALED))
    panel = is_bare.map({True: "without LayerNorm", False: "with LayerNorm"})
    return table.assign(panel=panel, series=table["model"].str.removesuffix(f" {NO_NORM}"))
