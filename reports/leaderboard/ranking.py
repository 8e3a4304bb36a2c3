"""Rankings of encoders over several tasks: mean rank, Borda count, and performance profiles.

Only encoders that gave a score under every seed of every task are compared: a rank among others would change with
what is missing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from ..aggregation import outcomes
from ..captions import list_names
from ..selection import tidy
from ..style import MARKERS, MAX_SERIES, canvas, finish, legend_below, legend_height, palette, style
from .columns import TASK_KEYS, encoders_of, score_columns, suite_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def losses(rows: pd.DataFrame, encoders: Sequence[str]) -> pd.DataFrame:
    """Return the loss of each encoder under each seed (columns: task, seed), lower being better; NaN without a score.

    rows: tidy records. A task is judged by sets as large as in training.
    """
    tasks = {}
    for score in score_columns(rows):
        if score.key in TASK_KEYS:
            table = outcomes(suite_rows(rows, score.suite)[0], score.metric, score.where, encoders)
            value = pd.to_numeric(table["value"]).where(table["status"].eq("ok"))
            tasks[score.key] = (value if score.metric == "nll" else -value).unstack("seed")
    names = pd.Index(encoders, name="encoder")
    if not tasks:
        return pd.DataFrame(index=names)
    return pd.concat(tasks, axis=1, names=["task", "seed"]).reindex(names)


def standing(lost: pd.DataFrame) -> pd.DataFrame:
    """Return the columns mean_rank, borda and rank of every encoder, NaN for those that lack a score.

    mean_rank: the mean over tasks of the rank by mean score. borda: the encoders beaten, averaged over the seeds of a
    task and summed over tasks, a draw counting half. rank: by mean_rank.
    """
    complete = lost.dropna()
    if not len(complete.columns) or complete.empty:
        return pd.DataFrame(np.nan, index=lost.index, columns=["mean_rank", "borda", "rank"])
    ranks = complete.T.groupby(level="task").mean().T.rank().mean(axis=1)
    beaten = (len(complete) - complete.rank()).T.groupby(level="task").mean().sum()
    table = pd.DataFrame({"mean_rank": ranks, "borda": beaten, "rank": ranks.rank(method="min")})
    return table.reindex(lost.index)


def profiles(lost: pd.DataFrame) -> pd.DataFrame:
    """Return how far each encoder is behind the best under every seed of every task: encoder, task, seed, behind.

    behind: 0 is the best encoder and 1 the median, so that tasks with different units can be put together.
    """
    complete = lost.dropna()
    lead = complete.median() - complete.min()
    behind = (complete - complete.min()) / lead.where(lead > 0)
    table = behind.fillna(0.0).T.reset_index().melt(id_vars=["task", "seed"], var_name="encoder", value_name="behind")
    return table[["encoder", "task", "seed", "behind"]]


def _losses_of_all(frame: pd.DataFrame) -> pd.DataFrame:
    rows = tidy(frame)
    return losses(rows, encoders_of(rows, {}))


def standing_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each encoder, best first: rank, mean rank, Borda count, and the mean score of each task."""
    lost = _losses_of_all(frame)
    if lost.columns.empty:
        return pd.DataFrame()
    complete = lost.notna().T.groupby(level="task").all()
    scores = lost.T.groupby(level="task").mean().where(complete).T
    scores = scores.mul([1 if task == "nll" else -1 for task in scores.columns])
    table = pd.concat([standing(lost)[["rank", "mean_rank", "borda"]], scores], axis=1)
    return table.sort_values("rank", kind="stable", na_position="last").reset_index()


def profile_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the performance profiles of all encoders that have records."""
    lost = _losses_of_all(frame)
    return pd.DataFrame() if lost.columns.empty or lost.dropna().empty else profiles(lost)


def name_leaders(data: pd.DataFrame) -> str:
    """Return the first encoders of the ranking."""
    ranked = data.dropna(subset=["rank"])
    if ranked.empty:
        return "No encoder has a score under every seed of every task"
    first = [f"{row['encoder']} (mean rank {row['mean_rank']:.3g})" for row in ranked.head(3).to_dict("records")]
    return f"Of {len(ranked)} ranked encoders, the first are {', '.join(first)}"


def name_nearest(data: pd.DataFrame) -> str:
    """Return the encoders that are least behind the best."""
    means = data.groupby("encoder")["behind"].mean().sort_values(kind="stable").head(3)
    words = [f"{name} ({behind:.2f})" for name, behind in means.items()]
    return f"Least behind the best on average (0: the best, 1: the median): {list_names(words)}"


def draw_profiles(data: pd.DataFrame) -> "Figure":
    """Draw the share of tasks and seeds on which the encoders that are least behind are at most so far behind."""
    import seaborn as sns

    clipped = data.assign(behind=data["behind"].clip(upper=2.0))
    means = clipped.groupby("encoder")["behind"].mean().sort_values(kind="stable")
    names = list(means.index[:MAX_SERIES])
    with style():
        figure, axes = canvas(3.2 + legend_height(names))
        for name, colour, marker in zip(names, palette(len(names)), MARKERS, strict=False):
            behind = data.loc[data["encoder"].eq(name), "behind"]
            sns.ecdfplot(x=behind, color=colour, marker=marker, markersize=5, label=name, ax=axes)
        finish(axes, ("behind the best (0: the best, 1: the median)", "share of tasks and seeds\nhigher is better"))
        axes.set(xlim=(0, 2), ylim=(0, 1.02))
        legend_below(figure, axes, names)
        return figure


STANDING = Artefact(
    id="standing",
    title="Standing over all tasks",
    caption="Encoders are ranked by the mean rank over tasks, on sets as large as in training. Borda: the encoders "
    "beaten, averaged over seeds and summed over tasks. Encoders that lack a score have no rank. Laws do not count.",
    data=standing_table,
    result=name_leaders,
    make="mbcbench run",
)
PROFILES = Artefact(
    id="profiles",
    title="Performance profiles",
    caption="A curve shows on what share of the tasks and seeds an encoder is at most so far behind the best. The unit "
    "is the lead of the best encoder over the median encoder.",
    data=profile_rows,
    draw=draw_profiles,
    result=name_nearest,
    make="mbcbench run",
)
