"""Figures of costs: time and memory against the size of the set, and accuracy against cost."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.reporting import Artefact

from .aggregation import judged_rows, law_group, main_setting
from .captions import Measure, join_sentences, list_names
from .growth import cost_table
from .leaderboard.standing import ranking_of
from .selection import label_models, select
from .stats import FITTED_SIZES, fit_growth
from .style import (
    FAINT,
    INK,
    MAX_SERIES,
    canvas,
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

# Shown first if there are more encoders than a figure can distinguish.
PREFERRED_ENCODERS = (
    *("sse-random", "deepsets-mean", "set-transformer", "pma"),
    *("slot-attention", "fspool", "janossy", "umbc"),
)
MODE_WORDS = {"one piece": "in one piece", "streamed": "when streamed"}
WORST_ACCURACY = Measure("worst accuracy")
TIME_MEASURE = Measure("time", "seconds", lower_is_better=True)
MEMORY_MEASURE = Measure("peak memory", "MiB", lower_is_better=True)
RESOURCES = "mbcbench run --suite resources --profile thorough"
TASK_AND_RESOURCES = "mbcbench run --profile standard"
FIT_NOTE = f"Exponents are fitted to the {FITTED_SIZES} largest n, with 95 % intervals."
PARETO_NOTE = (
    "Dotted: the Pareto front. Grey: the other encoders, if there are many. Hollow: it breaks a law of mbc, or was not "
    "checked."
)


def cost_by_size(frame: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return a cost of encoders with measurements at several n, in one piece and streamed, with its fitted exponent.

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
            "{} n^{:.2f} [{:.2f}, {:.2f}]".format(name, *fits.loc[name, ["exponent", "low", "high"]].round(2) + 0.0)
            for name in preferred([str(name) for name in fits.index])[:4]
        ]
        if words:
            sentences.append(f"{measure.name.capitalize()} {MODE_WORDS[mode]} grows as {', '.join(words)}")
    return join_sentences(sentences)


def preferred(encoders: list[str]) -> list[str]:
    """Return the encoders, preferred ones first, up to the number that one figure can distinguish."""
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
    curves = data[data["encoder"].isin(labels)]
    curves = curves.assign(encoder=curves["encoder"].map(labels))
    names = list(labels.values())
    with style():
        figure, axes = canvas(3.4 + legend_height(names))
        sns.lineplot(
            curves, x="n", y="value", hue="encoder", style="mode", markers={"one piece": "o", "streamed": "s"},
            hue_order=names, palette=palette(len(names)), errorbar=interval, err_style="bars", ax=axes,
        )  # fmt: skip
        finish(axes, ("elements n", measure.label))
        set_log_ticks(axes)
        if (curves["value"] > 0).all():
            axes.set_yscale("log")
        legend_below(figure, axes, names)
        return figure


def accuracy_by_cost(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the worst accuracy on point clouds, and a cost at the largest n, of each encoder that is ranked.

    metric: of the cost. mean, half: of the score that ranks encoders (see `leaderboard.ranking`). pareto: True if no
    other encoder is at least as accurate at less cost, or more accurate at no more cost.
    consistent: True if it keeps all laws of mbc that apply.
    """
    rows = label_models(frame)
    ranking = ranking_of(frame)
    points = next((scores.table for scores in ranking.tasks if scores.task.key == "points"), None)
    if points is None:
        return pd.DataFrame()
    scores = points[ranking.table["rank"].notna()].rename(columns={"score": "mean"})[["mean", "half"]]
    costs = select(rows, {"suite": "resources", "metric": metric})
    costs = costs[costs["detail.n"].eq(costs["detail.n"].max())]
    cost = costs.groupby("encoder")["value"].mean().rename("cost")
    if metric == "throughput":
        cost = 1e6 / cost  # seconds for a million elements
    table = scores.rename_axis("encoder").join(cost, how="inner").reset_index()
    consistent = table["encoder"].isin(consistent_encoders(rows))
    return table.assign(consistent=consistent, pareto=pareto_front(table)).reset_index(drop=True)


def consistent_encoders(rows: pd.DataFrame) -> set[str]:
    """Return the encoders that keep all laws of mbc that apply to them."""
    laws = judged_rows(rows[rows["suite"].eq("laws") & rows["case"].map(law_group).eq("mbc")])
    keeps = laws["status"].isin(["pass", "skip"]).groupby(laws["encoder"]).all()
    return set(keeps.index[keeps])


def pareto_front(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return True for rows for which no other has as high a `mean` at less `cost`, or a higher `mean` at no more."""
    mean, cost = table["mean"].to_numpy(), table["cost"].to_numpy()
    cheaper = (mean[:, None] >= mean) & (cost[:, None] < cost)
    better = (mean[:, None] > mean) & (cost[:, None] <= cost)
    return np.asarray(~(cheaper | better).any(axis=0))


def name_pareto_front(data: pd.DataFrame) -> str:
    """Return the encoders on the Pareto front, the cheapest first."""
    front = data[data["pareto"]].sort_values("cost")
    return f"On the Pareto front, from the cheapest: {list_names(list(front['encoder']), 8)}"


def draw_accuracy_by_cost(data: pd.DataFrame, label: str) -> "Figure":
    """Draw all models. If there are many, only those on the Pareto front have names."""
    named = data if len(data) <= MAX_SERIES else data[data["pareto"]]
    named = named.sort_values("mean", ascending=False, kind="stable")
    names = list(named["encoder"])
    with style():
        figure, axes = canvas(3.1 + legend_height(names))
        _draw_unnamed(axes, data.drop(named.index))
        rows = named.fillna({"half": 0.0}).to_dict("records")
        for row, colour, marker in zip(rows, palette(len(names)), markers(len(names)), strict=True):
            face = colour if row["consistent"] else "white"
            axes.errorbar(
                row["cost"], row["mean"], yerr=row["half"], fmt=marker, color=colour, markerfacecolor=face,
                markersize=8, label=row["encoder"], zorder=3,
            )  # fmt: skip
        front = data[data["pareto"]].sort_values("cost")
        axes.plot(front["cost"], front["mean"], drawstyle="steps-post", color=INK, linewidth=1, linestyle=":")
        set_log_ticks(axes)
        finish(axes, (f"{label} (lower is better)", WORST_ACCURACY.label))
        legend_below(figure, axes, names)
        return figure


def _draw_unnamed(axes: "Axes", models: pd.DataFrame) -> None:
    for consistent, face in ((True, FAINT), (False, "white")):
        part = models[models["consistent"].eq(consistent)]
        axes.plot(part["cost"], part["mean"], "o", color=FAINT, markerfacecolor=face, markersize=4, alpha=0.7, zorder=2)


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
    caption=f"The accuracy on point clouds that ranks encoders, the worst over one piece and all orders of the stream, "
    f"against the time per element. {PARETO_NOTE}",
    data=partial(accuracy_by_cost, metric="throughput"),
    draw=partial(draw_accuracy_by_cost, label="seconds for a million elements"),
    result=name_pareto_front,
    make=TASK_AND_RESOURCES,
)
STATE_QUALITY = Artefact(
    id="state-quality",
    title="State against quality",
    caption=f"The accuracy on point clouds that ranks encoders, the worst over one piece and all orders of the stream, "
    f"against the size of a stream's state. {PARETO_NOTE}",
    data=partial(accuracy_by_cost, metric="state_size"),
    draw=partial(draw_accuracy_by_cost, label="bytes of the state"),
    result=name_pareto_front,
    make=TASK_AND_RESOURCES,
)
