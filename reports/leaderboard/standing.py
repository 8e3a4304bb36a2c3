"""Artefacts of the ranking: the standing of all encoders, and performance profiles."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from ..captions import join_sentences, list_names
from ..selection import tidy
from ..style import FAINT, INK, MARKERS, MAX_SERIES, WIDTH, canvas, finish, legend_below, legend_height, palette, style
from .columns import encoders_of
from .families import family_of
from .ranking import INTERVALS_RULE, Ranking, rank_encoders

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RULE = (
    "Models trained under the profile standard, ranked by the mean over tasks of the rank by their worst score over "
    "one piece and all orders of the stream."
)
MAKE = "mbcbench run --profile standard"
NLL_TICKS = (-1, 0, 1, 10, 100)
OF_TASK = ("rank", "low", "high")
OF_SCORES = ("score", "half", "worst_order", "one_piece", "random", "other", "unconverged", "unlearnt", "lr", "seconds")


def ranking_of(frame: pd.DataFrame) -> Ranking:
    """Return the ranking of all encoders that have records."""
    rows = tidy(frame)
    return rank_encoders(rows, encoders_of(rows, {}))


def standing_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each encoder, in the order of the leaderboard: its rank and its score on each task."""
    data = ranking_table(frame)
    if data.empty:
        return data
    columns = ["encoder", "family", "group", "rank", "low", "high", "mean_rank"]
    scores = {f"{key}.score": key for key in _task_keys(data)}
    return data[[*columns, *scores, "reason"]].rename(columns={**scores, "reason": "not ranked"})


def ranking_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each encoder, in the order of the leaderboard: its ranks, and all its scores on each task."""
    ranking = ranking_of(frame)
    if not ranking.tasks:
        return pd.DataFrame()
    table = ranking.table[["rank", "low", "high", "group", "mean_rank", "reason"]]
    table.insert(0, "family", [family_of(str(name)) for name in table.index])
    for scores in ranking.tasks:
        key = scores.task.key
        ranks = ranking.table.reindex(columns=[f"{key}.{name}" for name in OF_TASK])
        table = table.join(ranks).join(scores.table[list(OF_SCORES)].add_prefix(f"{key}."))
    return table.loc[ranking.order].reset_index()


def _task_keys(data: pd.DataFrame) -> list[str]:
    return [name.removesuffix(".score") for name in data.columns if name.endswith(".score")]


def name_leaders(data: pd.DataFrame) -> str:
    """Return the encoders of the first group."""
    ranked = data.dropna(subset=["rank"])
    if ranked.empty:
        return "No encoder has a score under every seed of every task"
    first = ranked[ranked["group"].eq(ranked["group"].iloc[0])] if ranked["group"].iloc[0] else ranked.head(1)
    names = [f"{row['encoder']} (mean rank {row['mean_rank']:.3g})" for row in first.to_dict("records")]
    head = f"{len(ranked)} encoders are ranked"
    if len(names) == 1:
        return join_sentences([head, f"the first is {names[0]}"])
    return join_sentences([head, f"the first {len(names)} cannot be told apart: {list_names(names)}"])


def draw_ranking(data: pd.DataFrame) -> "Figure":
    """Draw the rank of each encoder with its interval, and next to it its loss by streaming on each task."""
    from matplotlib.figure import Figure

    ranked, tasks = data.dropna(subset=["rank"]), _task_keys(data)
    with style():
        figure = Figure(figsize=(1.6 * WIDTH, 1.1 + 0.21 * len(ranked)), layout="constrained")
        axes, *panels = figure.subplots(1, 1 + len(tasks), sharey=True, width_ratios=[2.2, *[1] * len(tasks)])
        _draw_ranks(axes, ranked)
        for panel, task in zip(panels, tasks, strict=True):
            _draw_scores(panel, ranked, task)
        axes.set_yticks(range(len(ranked)), ranked["encoder"], fontsize=8)
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        return figure


def _draw_ranks(axes: "Axes", ranked: pd.DataFrame) -> None:
    places = np.arange(len(ranked))
    known = ranked["low"].notna().to_numpy()
    axes.hlines(places[known], ranked["low"][known], ranked["high"][known], color=FAINT, linewidth=3)
    axes.plot(ranked["rank"], places, "o", color=INK, markersize=5)
    axes.set(xlabel="rank with 95 % interval\nlower is better", xlim=(0.5, 1.06 * len(ranked) + 1))
    starts = ranked["group"].ne("") & ~ranked["group"].duplicated()
    for place, letter in zip(places[starts], ranked["group"][starts], strict=True):
        axes.axhline(place - 0.5, color=FAINT, linewidth=0.7, linestyle=":")
        axes.annotate(
            letter, (1, place), (-4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            va="center", fontsize=8, weight="bold",
        )  # fmt: skip


def _draw_scores(axes: "Axes", ranked: pd.DataFrame, task: str) -> None:
    """Draw the score in one piece (hollow) and the worst (filled), joined by a line."""
    places = np.arange(len(ranked))
    whole, worst = ranked[f"{task}.one_piece"], ranked[f"{task}.score"]
    colour = palette(1)[0]
    axes.hlines(places, worst, whole, color=FAINT, linewidth=1)
    axes.plot(whole, places, "o", color=colour, markerfacecolor="white", markersize=4.5)
    axes.plot(worst, places, "o", color=colour, markersize=4.5)
    if task == "images":
        axes.set_xlabel(f"{task}\nNLL,\nlower is better")
        axes.set_xscale("asinh", linear_width=0.3)  # a stream in another order may cost a hundred times as much
        low, high = min(whole.min(), worst.min()), max(whole.max(), worst.max())
        ticks = [tick for tick in NLL_TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    else:
        axes.set(xlabel=f"{task}\naccuracy,\nhigher is better", xlim=(-0.05, 1.05))


def profile_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the distance of each ranked encoder to the best one, for every seed of every task.

    Columns: encoder, task, seed, behind; 0 is the best encoder and 1 the median, so that tasks with different units can
    be combined. Encoders are in the order of the ranking.
    """
    ranking = ranking_of(frame)
    ranked = list(ranking.table.loc[ranking.order, "rank"].dropna().index)
    parts = []
    for scores in ranking.tasks if ranked else ():
        losses = scores.losses.loc[ranked]
        lead = losses.median() - losses.min()
        behind = ((losses - losses.min()) / lead.where(lead > 0)).fillna(0.0)
        part = behind.rename_axis(columns="seed").reset_index().melt("encoder", value_name="behind")
        parts.append(part.assign(task=scores.task.key))
    if not parts:
        return pd.DataFrame()
    return pd.concat(parts, ignore_index=True)[["encoder", "task", "seed", "behind"]]


def name_nearest(data: pd.DataFrame) -> str:
    """Return the encoders that are nearest to the best."""
    means = data.groupby("encoder")["behind"].mean().sort_values(kind="stable").head(3)
    words = [f"{name} ({behind:.2f})" for name, behind in means.items()]
    return f"Least behind the best on average (0: the best, 1: the median): {list_names(words)}"


def draw_profiles(data: pd.DataFrame) -> "Figure":
    """Draw performance profiles of the first encoders: the fraction of tasks and seeds within each distance."""
    import seaborn as sns

    names = list(dict.fromkeys(data["encoder"]))[:MAX_SERIES]
    with style():
        figure, axes = canvas(3.2 + legend_height(names))
        for name, colour, marker in zip(names, palette(len(names)), MARKERS, strict=False):
            behind = data.loc[data["encoder"].eq(name), "behind"].clip(upper=2.0)
            sns.ecdfplot(x=behind, color=colour, marker=marker, markersize=5, label=name, ax=axes)
        finish(axes, ("behind the best (0: the best, 1: the median)", "share of tasks and seeds\nhigher is better"))
        axes.set(xlim=(0, 2), ylim=(0, 1.02))
        legend_below(figure, axes, names)
        return figure


STANDING = Artefact(
    id="standing",
    title="Standing over all tasks",
    caption=f"{RULE} points, images, centroids: the worst score, mean over seeds. {INTERVALS_RULE}",
    data=standing_table,
    result=name_leaders,
    make=MAKE,
)
RANKING = Artefact(
    id="ranking",
    title="Ranking of trained encoders",
    caption=f"{RULE} Left: ranks with 95 % intervals; letters begin groups that cannot be told apart. Right: the score "
    "in one piece (hollow) and the worst score (filled).",
    data=ranking_table,
    draw=draw_ranking,
    result=name_leaders,
    make=MAKE,
)
PROFILES = Artefact(
    id="profiles",
    title="Performance profiles",
    caption="A curve shows on what share of the tasks and seeds an encoder is at most so far behind the best, by the "
    f"scores of the ranking; the first {MAX_SERIES} encoders are shown. The unit is the lead of the best encoder over "
    "the median encoder.",
    data=profile_rows,
    draw=draw_profiles,
    result=name_nearest,
    make=MAKE,
)
