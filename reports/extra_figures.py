"""What the paper does not show: laws, cost, consistency and gradients of every encoder, from the same records."""

from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from .aggregation import law_matrix
from .statistics import labelled, means, pick
from .style import DOTS, FAINT, INK, WIDTH, canvas, finish, interval, palette, points, rows_of, style, thousands

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 8  # encoders that one figure tells apart, and which of them rather
RATHER = ("sse-random", "deepsets-mean", "set-transformer", "pma", "slot-attention", "fspool", "janossy", "umbc")
MARKS = {"pass": "holds", "ok": "classified", "xfail": "broken, as claimed", "fail": "broken", "skip": "does not apply"}


def matrix(frame: pd.DataFrame) -> pd.DataFrame:
    """The worst status of each law (columns) for each encoder (rows)."""
    rows = labelled(frame)
    laws = rows[rows["suite"].eq("laws")]
    return law_matrix(laws, sorted(laws["encoder"].unique())).reset_index() if len(laws) else pd.DataFrame()


def draw_matrix(data: pd.DataFrame) -> "Figure":
    """A tile a law and encoder: laws run down, so that a phone shows all of them."""
    import seaborn as sns
    from matplotlib.patches import Patch

    table = data.set_index("encoder").T
    colours = {"holds": "#56b4e9", "classified": "#e6e6e6", "broken, as claimed": "#e69f00", "broken": "#a50f15",
               "does not apply": "#f7f7f7", "no record": "#ffffff", "other": "#000000"}  # fmt: skip
    words = table.map(lambda s: MARKS.get(s, "no record" if s == "missing" else "broken" if s == "xpass" else "other"))
    names = list(colours)
    with style():
        figure, axes = canvas(1.9 + 0.19 * len(table), max(5.4, 2.0 + 0.24 * len(table.columns)))
        sns.heatmap(words.map(names.index), cmap=list(colours.values()), vmin=-0.5, vmax=len(names) - 0.5, cbar=False,
                    linewidths=0.8, linecolor="white", ax=axes, xticklabels=True, yticklabels=True)  # fmt: skip
        axes.tick_params(axis="x", labelrotation=90, labelsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.set(xlabel="", ylabel="")
        found = [name for name in names if (words == name).to_numpy().any()]
        figure.legend(handles=[Patch(facecolor=colours[n], edgecolor=FAINT, label=n) for n in found],
                      loc="outside lower center", ncols=3, frameon=False)  # fmt: skip
        return figure


def against_n(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A cost against n, in one piece and streamed, of encoders that were measured at more than one n, with the fitted
    exponent of each curve of at least three.

    value: peak memory in MiB, or seconds for an encoding.
    """
    rows = pick(labelled(frame), {"suite": "resources", "metric": metric})
    n = pd.to_numeric(rows["detail.n"]).astype(float)
    value = rows["value"] / 2**20 if metric == "peak_memory" else n / rows["value"]
    table = rows.assign(value=value.astype(float), n=n, mode=rows["detail.mode"])
    table = table[["encoder", "mode", "n", "seed", "value"]]
    table = table.drop_duplicates(["encoder", "mode", "n", "seed"], keep="last")  # several runs: the last one's
    table = table.sort_values(["encoder", "mode", "n", "seed"])
    table = table[table.groupby("encoder")["n"].transform("nunique") > 1]
    return table.reset_index(drop=True).assign(exponent=_exponents(table))


def _exponents(table: pd.DataFrame) -> np.ndarray:
    """The slope of log value against log n over the largest three sizes: what is fixed weighs little there."""
    slopes = {}
    for key, own in table[table["value"] > 0].groupby(["encoder", "mode"]):
        line = np.log(own.groupby("n")["value"].mean()).tail(3)
        slopes[key] = np.polyfit(np.log(line.index.to_numpy()), line.to_numpy(), 1)[0] if len(line) > 2 else np.nan
    return np.array([slopes.get(key, np.nan) for key in zip(table["encoder"], table["mode"], strict=True)], float)


def draw_against_n(data: pd.DataFrame, label: str) -> "Figure":
    """A colour an encoder, with the exponent of its curve in one piece; streams are dashed, or a point alone."""
    import seaborn as sns

    whole = data[data["mode"].eq("one piece")].groupby("encoder")["exponent"].first()
    there = set(data["encoder"])
    kept = [*(name for name in RATHER if name in there), *sorted(there - set(RATHER))][:SHOWN]
    names = {name: f"{name}: n^{whole[name]:.2f}" if np.isfinite(whole.get(name, np.nan)) else name for name in kept}
    shown = data[data["encoder"].isin(kept)]
    shown = shown.assign(encoder=shown["encoder"].map(names))
    with style():
        told = list(names.values())
        figure, axes = canvas(3.4 + 0.19 * rows_of(told))
        sns.lineplot(shown, x="n", y="value", hue="encoder", style="mode", markers={"one piece": "o", "streamed": "s"},
                     hue_order=told, palette=palette(len(told)), errorbar=interval, err_style="bars",
                     ax=axes)  # fmt: skip
        finish(axes, told, ("elements n", label))
        axes.set_xscale("log")
        if (shown["value"] > 0).all():
            axes.set_yscale("log")
        return figure


def quality(frame: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Accuracy on point clouds in one piece as trained, beside a cost of the same registered encoder, by resources.

    pareto: no other is at least as accurate for less, or more accurate for no more.
    """
    rows = labelled(frame)
    at = {"suite": "point-clouds", "metric": "accuracy", "detail.mode": "one piece", "detail.train_size": 100}
    scored = pick(rows, {**at, "detail.test_size": 100})
    cases = scored["case"].value_counts()
    scored = scored[scored["case"].eq(cases.index[0])] if len(cases) else scored
    measured = pick(rows, {"suite": "resources", "metric": cost})
    measured = measured[measured["detail.n"].eq(measured["detail.n"].max())]
    costs = measured.groupby("encoder")["value"].mean().rename("cost")
    if cost == "throughput":
        costs = 1e6 / costs  # seconds for a million elements
    table = means(scored, ["encoder", "model"]).merge(costs, left_on="encoder", right_index=True)
    return table.assign(pareto=front(table)).reset_index(drop=True)


def front(table: pd.DataFrame) -> np.ndarray:
    """Which rows no other beats: with a `mean` as high at less `cost`, or a higher one at no more."""
    mean, cost = (table[name].to_numpy() for name in ("mean", "cost"))
    cheaper = (mean[:, None] >= mean) & (cost[:, None] < cost)
    better = (mean[:, None] > mean) & (cost[:, None] <= cost)
    return np.asarray(~(cheaper | better).any(axis=0))


def draw_quality(data: pd.DataFrame, label: str) -> "Figure":
    """All models, by name where few are; where many are, those that none beats at less cost."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    named = data if len(data) <= SHOWN else data[data["pareto"]]
    named = named.sort_values("mean", ascending=False, kind="stable")
    others, best = data.drop(named.index), data[data["pareto"]].sort_values("cost")
    with style():
        names = list(named["model"])
        figure, axes = canvas(3.1 + 0.19 * rows_of(names))
        axes.plot(others["cost"], others["mean"], "o", color=FAINT, markersize=4, alpha=0.7, zorder=2)
        for row, colour, dot in zip(named.fillna({"half": 0.0}).to_dict("records"), palette(len(names)), cycle(DOTS)):
            look = {"fmt": dot, "color": colour, "markersize": 8, "label": row["model"], "zorder": 3}
            axes.errorbar(row["cost"], row["mean"], yerr=row["half"], **look)
        axes.plot(best["cost"], best["mean"], drawstyle="steps-post", color=INK, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))
        axes.xaxis.set_minor_locator(NullLocator())
        finish(axes, names, (label, "accuracy"))
        return figure


def gradient_bias(frame: pd.DataFrame) -> pd.DataFrame:
    rows = pick(labelled(frame), {"suite": "gradients", "metric": "gradient_bias"})
    table = rows.assign(x=rows["detail.gradient_size"], model=rows["encoder"] + ", " + rows["detail.estimator"])
    return table[["model", "x", "seed", "value"]].sort_values(["model", "x", "seed"]).reset_index(drop=True)


def draw_gradients(data: pd.DataFrame) -> "Figure":
    kept = list(dict.fromkeys(data["model"]))[: len(DOTS)]
    shown = data[data["model"].isin(kept) & data["value"].gt(0)].sort_values("x", kind="stable")
    labels = ("elements that a gradient is taken through", "bias, as a share of the full gradient")
    return points(shown.astype({"x": int}), "x", "model", labels=labels, log=True)


def consistency(frame: pd.DataFrame) -> pd.DataFrame:
    """How far chunks are from the whole set, in max-norm over that of the whole: a row an encoder, kind and size."""
    rows = pick(labelled(frame), {"suite": "consistency", "metric": "relative_gap"})
    names = {"detail.order": "kind", "detail.chunk_size": "size", "detail.aggregation": "encoded"}
    return rows.rename(columns=names).groupby(["encoder", "encoded", "kind", "size"])["value"].max().reset_index()


def draw_consistency(data: pd.DataFrame) -> "Figure":
    """A row an encoder, the worst on top; a column a size of chunks, in panels by their kind; coloured by exponent."""
    import seaborn as sns
    from matplotlib.figure import Figure

    exact = np.finfo(float).eps
    table = data.assign(value=np.log10(data["value"].clip(lower=exact)))
    order = table.groupby("encoder")["value"].max().sort_values(ascending=False, kind="stable").index
    kinds = list(dict.fromkeys(data["kind"]))
    with style():
        figure = Figure(figsize=(WIDTH, 1.5 + 0.16 * len(order)), layout="constrained")
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            grid = table[table["kind"].eq(kind)].pivot(index="encoder", columns="size", values="value").reindex(order)
            last = axes is panels[-1]
            sns.heatmap(grid[grid.columns[::-1]], vmin=-16, vmax=0, cmap="cividis", cbar=last, ax=axes, linewidths=0.5,
                        xticklabels=[f"{size:g}" for size in grid.columns[::-1]], yticklabels=True,
                        cbar_kws={"label": "power of ten", "fraction": 0.1})  # fmt: skip
            axes.set(title=kind, xlabel="", ylabel="")
            axes.tick_params(labelsize=8)
            axes.tick_params(axis="x", labelrotation=90)
        figure.supxlabel("elements in a chunk", fontsize=9)
        return figure


def beyond(name: str, title: str, caption: str, data: Any, draw: Any, suite: str) -> Artefact:
    return Artefact(id=name, title=title, caption=caption, data=data, draw=draw, make=f"mbcbench run --suite {suite}")


LAW_MATRIX = beyond("law-matrix", "Encoders and laws", "Which encoder keeps which law.", matrix, draw_matrix, "laws")
CONSISTENCY = beyond(
    "consistency",
    "Consistency error by chunk size",
    "The largest relative difference between a stream of chunks and the whole set, in float64; encoders without a "
    "state are the mean of the encodings of their chunks. Uneven: one element alone, then chunks of this size.",
    consistency,
    draw_consistency,
    "consistency",
)
MEMORY = beyond(
    "memory",
    "Memory against n",
    "Peak memory of one encoding; exponents are fitted to the three largest n.",
    partial(against_n, metric="peak_memory"),
    partial(draw_against_n, label="peak memory (MiB)"),
    "resources --profile thorough",
)
TIME = beyond(
    "time",
    "Time against n",
    "Seconds for one encoding; exponents are fitted to the three largest n.",
    partial(against_n, metric="throughput"),
    partial(draw_against_n, label="seconds"),
    "resources --profile thorough",
)
QUALITY_COST = beyond(
    "quality-cost",
    "Quality against cost",
    "Accuracy on point clouds against the time of an element. Dotted: what none beats at less cost. "
    "Grey: the others, where there are many.",
    partial(quality, cost="throughput"),
    partial(draw_quality, label="seconds for a million elements"),
    "point-clouds --suite resources",
)
STATE_QUALITY = beyond(
    "state-quality",
    "State against quality",
    "Accuracy on point clouds against the bytes of a stream's state. Dotted: what none beats with fewer.",
    partial(quality, cost="state_size"),
    partial(draw_quality, label="bytes of the state"),
    "point-clouds --suite resources",
)
GRADIENT_BIAS = beyond(
    "gradient-bias",
    "Gradients of training on partitions",
    "The bias of training on a part of each set, and of the estimator that encodes the rest without a gradient.",
    gradient_bias,
    draw_gradients,
    "gradients",
)
