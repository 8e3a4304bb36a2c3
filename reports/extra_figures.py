"""Figures beyond the paper: laws, costs, consistency and gradients of every encoder, from the same records."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.paper import ONE_PIECE
from mbcbench.reporting import Artefact

from .aggregation import law_group, law_matrix, main_setting
from .captions import Measure, join_sentences, list_names
from .growth import cost_table
from .selection import label_models, select
from .stats import FITTED_SIZES, fit_growth, summarise_by
from .style import (
    FAINT,
    INK,
    MARKERS,
    MAX_SERIES,
    WIDTH,
    canvas,
    draw_points,
    finish,
    interval,
    legend_below,
    legend_height,
    markers,
    palette,
    set_log_ticks,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Shown first where there are more encoders than a figure tells apart.
PREFERRED_ENCODERS = (
    *("sse-random", "deepsets-mean", "set-transformer", "pma"),
    *("slot-attention", "fspool", "janossy", "umbc"),
)
LAW_WORDS = {
    "pass": "holds",
    "ok": "classified",
    "xfail": "broken, as claimed",
    "fail": "broken",
    "xpass": "broken",
    "skip": "does not apply",
    "missing": "no record",
}
LAW_COLOURS = {
    "holds": "#56b4e9",
    "classified": "#b9a7d6",
    "broken, as claimed": "#e69f00",
    "broken": "#a50f15",
    "does not apply": "#f4f4f4",
    "no record": "#ffffff",
    "other": "#000000",
}
EXACT = 1e-12  # relative error of an encoding that differs by rounding alone


# Encoders and laws


def law_statuses(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the worst status of each law (columns) for each encoder (rows)."""
    laws = frame[frame["suite"].eq("laws")]
    return law_matrix(laws, sorted(laws["encoder"].unique())).reset_index() if len(laws) else pd.DataFrame()


def count_law_abiding(data: pd.DataFrame) -> str:
    """Return how many encoders keep all laws, and which break one that they claim to keep."""
    statuses = data.set_index("encoder")
    keeps = statuses.isin(["pass", "ok", "skip"]).all(axis=1)
    unexpected = statuses.index[statuses.isin(["fail", "xpass"]).any(axis=1)]
    as_claimed = statuses.isin(["xfail"]).any(axis=1).sum()
    words = [
        f"{keeps.sum()} of {len(statuses)} encoders keep every law that applies to them",
        f"{as_claimed} break a law, as their authors say",
        f"unexpected: {list_names(list(unexpected))}" if len(unexpected) else "",
    ]
    return "; ".join(word for word in words if word)


def draw_law_statuses(data: pd.DataFrame) -> "Figure":
    """Draw one tile for each law and encoder: laws run down, so that a phone shows all of them."""
    import seaborn as sns
    from matplotlib.patches import Patch

    words = data.set_index("encoder").T.map(lambda status: LAW_WORDS.get(status, "other"))
    names = list(LAW_COLOURS)
    present = [name for name in names if (words == name).to_numpy().any()]
    with style():
        figure, axes = canvas(1.9 + 0.19 * len(words), max(WIDTH, 2.0 + 0.24 * len(words.columns)))
        sns.heatmap(
            words.map(names.index), cmap=list(LAW_COLOURS.values()), vmin=-0.5, vmax=len(names) - 0.5, cbar=False,
            linewidths=0.8, linecolor="white", ax=axes, xticklabels=True, yticklabels=True,
        )  # fmt: skip
        axes.tick_params(axis="x", labelrotation=90, labelsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.set(xlabel="", ylabel="")
        patches = [Patch(facecolor=LAW_COLOURS[name], edgecolor=FAINT, label=name) for name in present]
        figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
        return figure


# Costs against the size of the set


def cost_by_size(frame: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return a cost of encoders that were measured at several n, in one piece and streamed, with its fitted exponent.

    cost: of `growth.COSTS`. value: seconds, or MiB. exponent, low, high: of the curve, with its interval.
    """
    costs, _ = main_setting(cost_table(frame), ["device"])
    table = costs[costs["cost"].eq(cost)][["encoder", "mode", "n", "seed", "value"]]
    fits = {key: fit_growth(part["n"], part["value"]) for key, part in table.groupby(["encoder", "mode"])}
    keys = list(zip(table["encoder"], table["mode"], strict=True))
    for name in ("exponent", "low", "high"):
        table[name] = np.array([getattr(fits[key], name) for key in keys], dtype=float)
    if cost.endswith("memory"):
        table["value"] /= 2**20
    table = table[table.groupby("encoder")["n"].transform("nunique") > 1]
    return table.sort_values(["encoder", "mode", "n", "seed"]).reset_index(drop=True)


def compare_exponents(data: pd.DataFrame, measure: Measure) -> str:
    """Return the exponents of the preferred encoders."""
    sentences = []
    for mode in ("one piece", "streamed"):
        fits = data[data["mode"].eq(mode)].drop_duplicates("encoder").dropna(subset=["low"]).set_index("encoder")
        words = [
            "{} n^{:.2f} [{:.2f}, {:.2f}]".format(name, *fits.loc[name, ["exponent", "low", "high"]])
            for name in preferred([str(name) for name in fits.index])[:4]
        ]
        if words:
            sentences.append(f"{measure.name.capitalize()} {MODE_WORDS[mode]} grows as {', '.join(words)}")
    return join_sentences(sentences)


MODE_WORDS = {"one piece": "in one piece", "streamed": "when streamed"}


def preferred(encoders: list[str]) -> list[str]:
    """Return the encoders with the preferred ones first, as many as one figure tells apart."""
    first = [name for name in PREFERRED_ENCODERS if name in encoders]
    return [*first, *sorted(set(encoders) - set(first))][:MAX_SERIES]


def draw_cost_by_size(data: pd.DataFrame, measure: Measure) -> "Figure":
    """Draw a curve for each encoder, with its exponent in one piece; curves of streams are dashed."""
    import seaborn as sns

    in_one_piece = data[data["mode"].eq("one piece")].drop_duplicates("encoder").set_index("encoder")["exponent"]
    labels = {}
    for name in preferred(list(data["encoder"].unique())):
        exponent = in_one_piece.get(name, np.nan)
        labels[name] = f"{name}: n^{exponent:.2f}" if np.isfinite(exponent) else name
    shown = data[data["encoder"].isin(labels)]
    shown = shown.assign(encoder=shown["encoder"].map(labels))
    names = list(labels.values())
    with style():
        figure, axes = canvas(3.4 + legend_height(names))
        sns.lineplot(
            shown, x="n", y="value", hue="encoder", style="mode", markers={"one piece": "o", "streamed": "s"},
            hue_order=names, palette=palette(len(names)), errorbar=interval, err_style="bars", ax=axes,
        )  # fmt: skip
        finish(axes, ("elements n", measure.axis))
        set_log_ticks(axes)
        if (shown["value"] > 0).all():
            axes.set_yscale("log")
        legend_below(figure, axes, names)
        return figure


# Accuracy against cost


def accuracy_by_cost(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the accuracy on point clouds in one piece, and a cost at the largest n, of each registered encoder.

    metric: of the cost. pareto: no other encoder is at least as accurate for less, or more accurate for no more.
    consistent: it keeps all laws of mbc that apply.
    """
    rows = label_models(frame)
    scores = select(rows, POINT_CLOUDS)
    cases = scores["case"].value_counts()
    scores = scores[scores["case"].eq(cases.index[0])] if len(cases) else scores
    costs = select(rows, {"suite": "resources", "metric": metric})
    costs = costs[costs["detail.n"].eq(costs["detail.n"].max())]
    cost = costs.groupby("encoder")["value"].mean().rename("cost")
    if metric == "throughput":
        cost = 1e6 / cost  # seconds for a million elements
    table = summarise_by(scores, ["encoder", "model"]).merge(cost, left_on="encoder", right_index=True)
    consistent = table["encoder"].isin(consistent_encoders(rows))
    return table.assign(consistent=consistent, pareto=pareto_front(table)).reset_index(drop=True)


# Tests on as many points as in training.
POINT_CLOUDS = {
    "suite": "point-clouds",
    "metric": "accuracy",
    "detail.train_size": 100,
    "detail.test_size": 100,
    **ONE_PIECE,
}


def consistent_encoders(rows: pd.DataFrame) -> set[str]:
    """Return the encoders that keep all laws of mbc that apply to them."""
    laws = rows[rows["suite"].eq("laws") & rows["case"].map(law_group).eq("mbc")]
    keeps = laws["status"].isin(["pass", "skip"]).groupby(laws["encoder"]).all()
    return set(keeps.index[keeps])


def pareto_front(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return True for rows that no other beats: by a `mean` as high at less `cost`, or a higher one at no more."""
    mean, cost = table["mean"].to_numpy(), table["cost"].to_numpy()
    cheaper = (mean[:, None] >= mean) & (cost[:, None] < cost)
    better = (mean[:, None] > mean) & (cost[:, None] <= cost)
    return np.asarray(~(cheaper | better).any(axis=0))


def name_pareto_front(data: pd.DataFrame) -> str:
    """Return the encoders on the Pareto front, from the cheapest."""
    front = data[data["pareto"]].sort_values("cost")
    return f"On the Pareto front, from the cheapest: {list_names(list(front['model']), 8)}"


def draw_accuracy_by_cost(data: pd.DataFrame, label: str) -> "Figure":
    """Draw all models: with names if there are few; if there are many, only those on the Pareto front have names."""
    named = data if len(data) <= MAX_SERIES else data[data["pareto"]]
    named = named.sort_values("mean", ascending=False, kind="stable")
    names = list(named["model"])
    with style():
        figure, axes = canvas(3.1 + legend_height(names))
        _draw_unnamed(axes, data.drop(named.index))
        rows = named.fillna({"half": 0.0}).to_dict("records")
        for row, colour, marker in zip(rows, palette(len(names)), markers(len(names)), strict=True):
            face = colour if row["consistent"] else "white"
            axes.errorbar(
                row["cost"], row["mean"], yerr=row["half"], fmt=marker, color=colour, markerfacecolor=face,
                markersize=8, label=row["model"], zorder=3,
            )  # fmt: skip
        front = data[data["pareto"]].sort_values("cost")
        axes.plot(front["cost"], front["mean"], drawstyle="steps-post", color=INK, linewidth=1, linestyle=":")
        set_log_ticks(axes)
        finish(axes, (f"{label} (lower is better)", "accuracy (higher is better)"))
        legend_below(figure, axes, names)
        return figure


def _draw_unnamed(axes: "Axes", models: pd.DataFrame) -> None:
    for consistent, face in ((True, FAINT), (False, "white")):
        part = models[models["consistent"].eq(consistent)]
        axes.plot(part["cost"], part["mean"], "o", color=FAINT, markerfacecolor=face, markersize=4, alpha=0.7, zorder=2)


# Gradients and consistency


def gradient_bias(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bias of the gradients of training on partitions."""
    rows = select(label_models(frame), {"suite": "gradients", "metric": "gradient_bias"})
    table = rows.assign(x=rows["detail.gradient_size"], model=rows["encoder"] + ", " + rows["detail.estimator"])
    return table[["model", "x", "seed", "value"]].sort_values(["model", "x", "seed"]).reset_index(drop=True)


def compare_biases(data: pd.DataFrame) -> str:
    """Return the bias of each model at the fewest elements."""
    smallest = data[data["x"].eq(data["x"].min())].groupby("model", sort=False)["value"].mean()
    words = [f"{name} {value:.2g}" for name, value in smallest.items()]
    return f"With a gradient through {data['x'].min():g} elements, the bias is: {list_names(words, 8)}"


def draw_gradient_bias(data: pd.DataFrame) -> "Figure":
    """Draw the bias of each model by the elements that a gradient is taken through."""
    models = list(dict.fromkeys(data["model"]))[: len(MARKERS)]
    shown = data[data["model"].isin(models) & data["value"].gt(0)].sort_values("x", kind="stable").astype({"x": int})
    labels = ("elements that a gradient is taken through", "bias / full gradient (lower is better)")
    return draw_points(shown, "x", "model", labels=labels, log=True)


def consistency_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the largest difference between chunks and the whole set, relative to the whole in max-norm."""
    rows = select(label_models(frame), {"suite": "consistency", "metric": "relative_gap"})
    names = {"detail.order": "kind", "detail.chunk_size": "size", "detail.aggregation": "encoded"}
    keys = ["encoder", "encoded", "kind", "size"]
    return rows.rename(columns=names).groupby(keys)["value"].max().reset_index()


def compare_consistency(data: pd.DataFrame) -> str:
    """Return how many encoders differ by rounding alone, and the largest difference."""
    worst = data.groupby("encoder")["value"].max().sort_values(ascending=False)
    exact = int((worst < EXACT).sum())
    return (
        f"Chunks change the encoding of {exact} of {len(worst)} encoders by rounding alone (less than {EXACT:g}), "
        f"and that of {worst.index[0]} most, by {worst.iloc[0]:.2g} times its size"
    )


def draw_consistency(data: pd.DataFrame) -> "Figure":
    """Draw a row for each encoder, the worst on top, and a column for each size of chunks, in panels by their kind."""
    import seaborn as sns
    from matplotlib.figure import Figure

    table = data.assign(value=np.log10(data["value"].clip(lower=np.finfo(float).eps)))
    order = table.groupby("encoder")["value"].max().sort_values(ascending=False, kind="stable").index
    kinds = list(dict.fromkeys(data["kind"]))
    with style():
        figure = Figure(figsize=(WIDTH, 1.5 + 0.16 * len(order)), layout="constrained")
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            grid = table[table["kind"].eq(kind)].pivot(index="encoder", columns="size", values="value").reindex(order)
            grid = grid[grid.columns[::-1]]
            sns.heatmap(
                grid, vmin=-16, vmax=0, cmap="cividis", cbar=axes is panels[-1], ax=axes, linewidths=0.5,
                xticklabels=[f"{size:g}" for size in grid.columns], yticklabels=True,
                cbar_kws={"label": "log10 of the relative difference (lower is better)", "fraction": 0.1},
            )  # fmt: skip
            axes.set(title=kind, xlabel="", ylabel="")
            axes.tick_params(labelsize=8)
            axes.tick_params(axis="x", labelrotation=90)
        figure.supxlabel("elements in a chunk", fontsize=9)
        return figure


TIME_MEASURE = Measure("time", "seconds", lower_is_better=True)
MEMORY_MEASURE = Measure("peak memory", "MiB", lower_is_better=True)
RESOURCES = "mbcbench run --suite resources --profile thorough"
TASK_AND_RESOURCES = "mbcbench run --suite point-clouds --suite resources"
FIT_NOTE = f"Exponents are fitted to the {FITTED_SIZES} largest n, with 95 % intervals."
PARETO_NOTE = (
    "Dotted: the Pareto front. Grey: the other encoders, if there are many. Hollow: it breaks a law of mbc, or was not "
    "checked."
)

LAW_MATRIX = Artefact(
    id="law-matrix",
    title="Encoders and laws",
    caption="Each tile is the outcome of one law (rows) for one encoder (columns).",
    data=law_statuses,
    draw=draw_law_statuses,
    result=count_law_abiding,
    make="mbcbench run --suite laws",
)
CONSISTENCY = Artefact(
    id="consistency",
    title="Consistency error by chunk size",
    caption="The largest relative difference between a stream of chunks and the whole set, in float64. Encoders "
    "without a state are the mean of the encodings of their chunks. Uneven: one element, then chunks of this size.",
    data=consistency_errors,
    draw=draw_consistency,
    result=compare_consistency,
    make="mbcbench run --suite consistency",
)
MEMORY = Artefact(
    id="memory",
    title="Memory against n",
    caption=f"Peak memory of one encoding. {FIT_NOTE}",
    data=partial(cost_by_size, cost="measured memory"),
    draw=partial(draw_cost_by_size, measure=MEMORY_MEASURE),
    result=partial(compare_exponents, measure=MEMORY_MEASURE),
    make=RESOURCES,
)
TIME = Artefact(
    id="time",
    title="Time against n",
    caption=f"Time of one encoding. {FIT_NOTE}",
    data=partial(cost_by_size, cost="time"),
    draw=partial(draw_cost_by_size, measure=TIME_MEASURE),
    result=partial(compare_exponents, measure=TIME_MEASURE),
    make=RESOURCES,
)
QUALITY_COST = Artefact(
    id="quality-cost",
    title="Quality against cost",
    caption=f"Accuracy on point clouds against the time per element. {PARETO_NOTE}",
    data=partial(accuracy_by_cost, metric="throughput"),
    draw=partial(draw_accuracy_by_cost, label="seconds for a million elements"),
    result=name_pareto_front,
    make=TASK_AND_RESOURCES,
)
STATE_QUALITY = Artefact(
    id="state-quality",
    title="State against quality",
    caption=f"Accuracy on point clouds against the size of a stream's state. {PARETO_NOTE}",
    data=partial(accuracy_by_cost, metric="state_size"),
    draw=partial(draw_accuracy_by_cost, label="bytes of the state"),
    result=name_pareto_front,
    make=TASK_AND_RESOURCES,
)
GRADIENT_BIAS = Artefact(
    id="gradient-bias",
    title="Gradients of training on partitions",
    caption="Training takes the gradient through a part of each set (partition), or through a part while the rest is "
    "encoded without a gradient (unbiased).",
    data=gradient_bias,
    draw=draw_gradient_bias,
    result=compare_biases,
    make="mbcbench run --suite gradients",
)
