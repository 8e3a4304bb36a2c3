"""Figures 2 to 8 of the paper, from the records of its experiments."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mbcbench.reporting import Artefact

from ..statistics import HYPER, labelled, pick
from ..style import DOTS, WIDTH, finish, interval, lines, palette, points, rows_of, style, ticks
from .contrasts import ABLATED, CAD, CHUNKED, DS, DS_MAX, LARGE, NLL, ONE, PMA, R1, R32, STACK, full

# The encoders of the paper's experiments: another is one that a user added, and is shown wherever it was trained.
OF_THE_PAPER = (
    *("sse-random", "sse-random-mean", "sse-random-max", "sse-random-min", "sse-deterministic"),
    *("sse-deterministic-max", "sse-deterministic-mean", "sse-hierarchical", "deepsets-mean", "deepsets-max"),
    *("deepsets-original", "pma", "set-transformer"),
)
COMPARED = (DS, PMA, R1, R32)
MANY = 6
EXPERIMENTS_ALONE = ("patches-64", "cad-points", "exemplar-centroids")  # cases
SLOTS = ("sse-random", "sse-deterministic")
USUAL = {"slot_dim": 64, "num_slots": 1}  # where hyper-parameters say nothing
OF_FIG8 = (DS, *(f"{model}{how}" for how in ("", " rescaled") for model in ("sse-deterministic-mean K=16", STACK)))
ON_PARTS = (f"{R32} partition", f"{R32} unbiased")  # trained on partitions
CENTROIDS = {"suite": "centroids", "metric": "accuracy"}
NATS, SHARE, PIXELS = "NLL per value (nats)", "accuracy", "pixels of the context"
Data = Callable[[pd.DataFrame], pd.DataFrame]


def added(rows: pd.DataFrame) -> set[str]:
    """Encoders beside the paper's that figures show too: those that a user added to its experiments.

    Where there are many they were run for the leaderboard, and only what experiments alone have tells.
    """
    others = rows[~rows["encoder"].isin(OF_THE_PAPER)]
    if others["encoder"].nunique() > MANY:
        others = others[others["case"].isin(EXPERIMENTS_ALONE)]
    return set(others["encoder"])


def shown(frame: pd.DataFrame, where: Mapping[str, Any], models: Sequence[str] | None, x: str) -> pd.DataFrame:
    """Columns model, x, seed, value and data: the models named (None: all), and those that a user added."""
    every = labelled(frame)
    rows = pick(every, where)
    if models is not None:
        rows = rows[rows["model"].isin(models) | rows["encoder"].isin(added(every))]
    table = rows.rename(columns={x: "x", "detail.data": "data"})[["model", "x", "seed", "value", "data"]]
    order = {name: at for at, name in enumerate(models or ())}
    table = table.assign(place=table["model"].map(lambda name: order.get(name, len(order))))
    return (
        table.sort_values(["place", "model", "x", "seed"], kind="stable").drop(columns="place").reset_index(drop=True)
    )


def as_trained(frame: pd.DataFrame, where: Mapping[str, Any], models: Sequence[str] | None) -> pd.DataFrame:
    """Full sets as large as those that were trained on, by their size."""
    rows = frame.reindex(
        columns=[*frame.columns, *(c for c in ("detail.test_size", "detail.train_size") if c not in frame)]
    )
    same = rows[rows["detail.test_size"].eq(rows["detail.train_size"])]
    return shown(same, {**where, **ONE}, models, "detail.test_size")


def fig2(frame: pd.DataFrame) -> pd.DataFrame:
    """Chunks encoded on their own and averaged, against one piece: columns model, order, chunk, seed, value."""
    rows = labelled(frame)
    base = {**NLL, "case": "patches-32", "detail.train_size": 200, "detail.test_size": 200}
    whole = pick(rows, {**base, **ONE, "detail.aggregation": "own"})
    apart = pick(rows, {**base, "detail.aggregation": "mean", "detail.chunk_size": (50, 10, 1)})
    whole = pd.concat([whole.assign(**{"detail.order": order}) for order in ("random", "rows")])
    found = pd.concat([whole, apart])
    found = found[found["encoder"].isin(["set-transformer", "pma"])]
    chunk = found["detail.chunk_size"].map(lambda size: "one piece" if size == 200 else f"{size:g}")
    sorted_ = found["detail.order"].map({"random": "random chunks", "rows": "sorted by rows"})
    table = found.assign(chunk=chunk, series=found["model"] + ", " + sorted_, data=found["detail.data"])
    table = table.sort_values(["series", "detail.chunk_size", "seed"], ascending=[True, False, True], kind="stable")
    return table[["series", "chunk", "seed", "value", "data"]].reset_index(drop=True)


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """The loss while training, of the models of 64 x 64 images."""
    every = labelled(frame)
    rows = pick(every, full(LARGE, 1000))
    rows = rows[rows["model"].isin(COMPARED + ON_PARTS) | rows["encoder"].isin(added(every))]
    table = [
        {"model": row["model"], "x": step, "seed": row["seed"], "value": loss, "data": row["detail.data"]}
        for row in rows.sort_values(["model", "seed"]).to_dict("records")
        if isinstance(row["detail.curve"], list | tuple)
        for step, loss in row["detail.curve"]
    ]
    return pd.DataFrame(table, columns=["model", "x", "seed", "value", "data"])


def of_ablation(rows: pd.DataFrame, encoders: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Models of the encoders in the setting that has most of them, and its place among the settings."""
    found = [pick(rows, {**at, "encoder": tuple(encoders)}) for at in ABLATED]
    place = max(range(len(found)), key=lambda at: found[at]["model"].nunique())
    return found[place], place


def fig4a(frame: pd.DataFrame) -> pd.DataFrame:
    """Both readings of g: over chunk encodings of a model trained with the sum; and of models trained with it."""
    rows = labelled(frame)
    g_of = {"sse-random": "sum", "sse-random-max": "max", "sse-random-min": "min"}
    trained, place = of_ablation(rows, tuple(g_of))
    slots = trained["params.hyper"].map(_slots)
    trained = trained.assign(g=trained["encoder"].map(g_of), series="trained with g, K=" + slots.astype(str))
    trained = trained[slots.isin([1, 8]) & ~trained["params.estimator"].isin(["partition", "unbiased"])]
    chunks = {**CHUNKED[place], "model": (R1, R32), "detail.aggregation": ("mean", "sum", "max", "min")}
    apart = pick(rows, chunks)
    apart = apart.assign(g=apart["detail.aggregation"], series="g over chunks, " + apart["model"])
    both = pd.concat([apart, trained]).rename(columns={"detail.data": "data"})
    both["at"] = both["g"].map({"mean": 0, "sum": 1, "max": 2, "min": 3})
    both = both.sort_values(["series", "at", "seed"], kind="stable")
    return both[["series", "g", "seed", "value", "data"]].reset_index(drop=True)


def _slots(hyper: Any) -> Any:
    return hyper.get("num_slots") if isinstance(hyper, Mapping) else None


def ablation(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """A hyper-parameter of the Slot Set Encoder varied, the other one fixed: columns model, x, seed, value and data."""
    rows, _ = of_ablation(labelled(frame), SLOTS)
    rows = rows[~rows["params.estimator"].isin(["partition", "unbiased"])]
    hyper = [{**USUAL, **(held if isinstance(held, Mapping) else {})} for held in rows["params.hyper"]]
    (other,) = set(USUAL) - {key}
    fixed = [f"{encoder} {HYPER[other]}={h[other]}" for encoder, h in zip(rows["encoder"], hyper, strict=True)]
    table = rows.assign(x=[h[key] for h in hyper], model=fixed, data=rows["detail.data"])
    varied = table.groupby("model")["x"].transform("nunique") > 1
    return (
        table[varied]
        .sort_values(["model", "x", "seed"])[["model", "x", "seed", "value", "data"]]
        .reset_index(drop=True)
    )


def fig4b(frame: pd.DataFrame) -> pd.DataFrame:
    found = ablation(frame, "num_slots")
    return found[found["x"].isin([1, 32])].reset_index(drop=True)


def fig4c(frame: pd.DataFrame) -> pd.DataFrame:
    """Levels of a stack: of one slot each (the paper's), and of 32."""
    rows, _ = of_ablation(labelled(frame), ("sse-random", "sse-hierarchical"))
    rows = rows[~rows["params.estimator"].isin(["partition", "unbiased"])]
    slots = [k if isinstance(k, list | tuple) else [k] for k in rows["params.hyper"].map(_slots)]
    rows = rows.assign(x=[len(k) for k in slots], k=[k[0] for k in slots], data=rows["detail.data"])
    hyper = rows["params.hyper"].map(lambda h: isinstance(h, Mapping) and "slot_dim" in h).astype(bool)
    rows = rows[rows["k"].isin([1, 32]) & (rows["encoder"].eq("sse-hierarchical") | ~hyper)]
    rows = rows.assign(model=[f"{k} slot{'s' * (k > 1)} a level" for k in rows["k"]])
    return rows.sort_values(["model", "x", "seed"])[["model", "x", "seed", "value", "data"]].reset_index(drop=True)


def fig6(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by size of the support, a panel for each number of ways."""
    rows = pick(labelled(frame), {**CENTROIDS, "case": "exemplar-centroids", **ONE})
    names = {"detail.ways": "ways", "detail.test_size": "x", "detail.data": "data"}
    table = rows[~rows["model"].str.endswith("no norm")].rename(columns=names)
    return table.sort_values(["model", "ways", "x", "seed"])[["model", "ways", "x", "seed", "value", "data"]]


def draw_fig6(data: pd.DataFrame) -> Figure:
    import seaborn as sns

    with style():
        names, ways = list(dict.fromkeys(data["model"])), sorted(data["ways"].unique())
        figure = Figure(figsize=(WIDTH, 2.3 * -(-len(ways) // 2) + 0.19 * rows_of(names)), layout="constrained")
        panels = figure.subplots(-(-len(ways) // 2), 2, squeeze=False).flatten()
        look = {"dashes": False, "markers": list(DOTS[: len(names)]), "palette": palette(len(names))}
        order = {"hue": "model", "style": "model", "hue_order": names, "style_order": names}
        for axes, count in zip(panels, ways, strict=False):
            own = data[data["ways"].eq(count)]
            sns.lineplot(own, x="x", y="value", errorbar=interval, err_style="bars", ax=axes, **order, **look)
            axes.set_title(f"{count:g} ways")
            finish(axes, names, ("examples of the support", SHARE), legend=count == ways[0])
            ticks(axes, sorted(own["x"].unique()))
        for axes in panels[len(ways) :]:
            axes.set_axis_off()
        return figure


def fig8(frame: pd.DataFrame) -> pd.DataFrame:
    at = {**CENTROIDS, **ONE, "case": "mnist-centroids", "detail.ways": 10}
    found = shown(frame, at, OF_FIG8, "detail.test_size")
    return found[~found["model"].str.endswith("no norm")].reset_index(drop=True)


def fig5(frame: pd.DataFrame) -> pd.DataFrame:
    at = {**CENTROIDS, **ONE, "case": "exemplar-centroids", "detail.test_size": 2}
    found = shown(frame, at, None, "detail.ways")
    return found[~found["model"].str.endswith("no norm")].reset_index(drop=True)


def figure(name: str, title: str, caption: str, data: Data, draw: Any, *claims: str, only: str = "") -> Artefact:
    make = f"mbcbench run --suite paper --only {only or name}"
    return Artefact(id=name, title=title, caption=caption, data=data, draw=draw, claims=claims, make=make)


def along(x: str, y: str = NATS, *, log: bool = False) -> Any:
    return partial(lines, x="x", labels=(x, y), log=log)


def stream(chunk: int) -> Data:
    at = {**LARGE, "detail.train_size": 1000, "detail.chunk_size": chunk}
    return lambda frame: shown(frame, at, COMPARED, "detail.test_size")


FIG2 = figure(
    "fig2",
    "Figure 2: a Set Transformer on mini-batches",
    "A Set Transformer loses likelihood when chunks of a set are encoded on their own and averaged.",
    fig2,
    partial(points, x="chunk", hue="series", labels=("pixels in a chunk", NATS)),
    "C9",
)
FIG3A = figure(
    "fig3a",
    "Figure 3a: full sets, by their size",
    "The Slot Set Encoder has the lower NLL at every size.",
    lambda frame: as_trained(frame, NLL, COMPARED),
    along(PIXELS + ", trained and tested on"),
    "C10",
)
FIG3B = figure(
    "fig3b",
    "Figure 3b: more pixels stream in",
    "Trained on 1,000 pixels, DeepSets and SSE improve as up to 4,000 stream in; SSE stays ahead.",
    stream(1000),
    along(PIXELS),
    "C11",
)
FIG3C = figure(
    "fig3c",
    "Figure 3c: fewer pixels stream in",
    "The same models on 100 to 500 pixels.",
    stream(100),
    along(PIXELS),
    "C12",
)
FIG3D = figure(
    "fig3d",
    "Figure 3d: convergence",
    "Models trained on mini-batches converge faster.",
    curves,
    partial(lines, x="x", labels=("training step", "NLL while training (nats)"), dots=False),
    "C13",
)
FIG4A = figure(
    "fig4a",
    "Figure 4a: the aggregation g",
    "mean and sum beat min and max.",
    fig4a,
    partial(points, x="g", hue="series", labels=("aggregation g", NATS)),
    "C14",
)
FIG4B = figure(
    "fig4b",
    "Figure 4b: random and deterministic slots",
    "Random slots beat deterministic slots.",
    fig4b,
    partial(points, x="x", hue="model", labels=("number of slots K", NATS)),
    "C15",
)
FIG4C = figure(
    "fig4c",
    "Figure 4c: levels of a hierarchy",
    "Stacking helps a little, and hurts beyond four levels.",
    fig4c,
    along("levels"),
    "C16",
)
FIG4D = figure(
    "fig4d",
    "Figure 4d: trained on 100 points, tested on more",
    "DeepSets degrades on larger sets and SSE improves.",
    lambda frame: shown(
        frame,
        {**CAD, "params.train_size": 100, "detail.test_size": (100, 200, 300, 400, 500)},
        (DS_MAX, "deepsets-original", "sse-deterministic K=16", "sse-random K=16"),
        "detail.test_size",
    ),
    along("points of the test", SHARE),
    "C20",
)
FIG5 = figure(
    "fig5",
    "Figure 5: accuracy by ways",
    "The harder the problem, the larger SSE's lead over DeepSets.",
    fig5,
    along("ways", SHARE, log=True),
    "C21",
)
FIG6 = figure(
    "fig6",
    "Figure 6: accuracy by the size of the support",
    "Level at 1 and 20 ways; SSE is ahead at 10 and 1,000 ways.",
    fig6,
    draw_fig6,
    "C22",
    only="fig5",
)
FIG7_SLOTS = figure(
    "fig7-slots",
    "Figure 7: the number of slots",
    "Between 32 and 128 slots are best; very few and very many hurt.",
    partial(ablation, key="num_slots"),
    along("number of slots K"),
    "C17",
)
FIG7_DIM = figure(
    "fig7-dim",
    "Figure 7: the width of slots",
    "The width matters; for deterministic slots, larger is better.",
    partial(ablation, key="slot_dim"),
    along("width of slots h"),
    "C18",
)
FIG7_DETERMINISTIC = figure(
    "fig7-deterministic",
    "Figure 7: deterministic slots in Figure 3a",
    "Deterministic slots beside random ones, on full sets.",
    lambda frame: as_trained(frame, NLL, ("sse-deterministic K=1", "sse-deterministic K=32", R1, R32)),
    along(PIXELS + ", trained and tested on"),
    "C15",
)
FIG8 = figure(
    "fig8",
    "Figure 8: digits, by the size of the support",
    "SSE is ahead of DeepSets at every size.",
    fig8,
    along("examples of the support", SHARE, log=True),
    "C23",
    "C24",
)
