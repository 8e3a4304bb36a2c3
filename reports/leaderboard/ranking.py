"""How encoders stand over several tasks: mean rank, Borda count, and performance profiles.

Only encoders that gave a score under every seed of every task are compared: a rank among others would change with
what is missing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from ..aggregation import outcomes, tidy
from ..style import DOTS, canvas, finish, palette, rows_of, style
from .columns import TASK_KEYS, encoders_of, slots, suite_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 8  # encoders that one figure tells apart


def losses(frame: pd.DataFrame, encoders: Sequence[str]) -> pd.DataFrame:
    """What each encoder lost under each seed (columns: task, seed), lower being better; NaN where there is no score.

    frame: see `evidence.tidy`. A task is judged by sets as large as those that were trained on.
    """
    tasks = {}
    for slot in slots(frame):
        if slot.key in TASK_KEYS:
            found = outcomes(suite_rows(frame, slot.suite)[0], slot.metric, slot.at, encoders)
            value = pd.to_numeric(found["value"]).where(found["status"].eq("ok"))
            tasks[slot.key] = (value if slot.metric == "nll" else -value).unstack("seed")
    names = pd.Index(encoders, name="encoder")
    if not tasks:
        return pd.DataFrame(index=names)
    return pd.concat(tasks, axis=1, names=["task", "seed"]).reindex(names)


def standing(lost: pd.DataFrame) -> pd.DataFrame:
    """Columns mean_rank, borda and rank of every encoder, NaN for those that lack a score.

    mean_rank: the mean over tasks of the rank by mean score. borda: the encoders that one beats, averaged over the
    seeds of a task and summed over tasks, a draw counting half. rank: by mean_rank.
    """
    whole = lost.dropna()
    if not len(whole.columns) or whole.empty:
        return pd.DataFrame(np.nan, index=lost.index, columns=["mean_rank", "borda", "rank"])
    ranks = whole.T.groupby(level="task").mean().T.rank().mean(axis=1)
    beaten = (len(whole) - whole.rank()).T.groupby(level="task").mean().sum()
    table = pd.DataFrame({"mean_rank": ranks, "borda": beaten, "rank": ranks.rank(method="min")})
    return table.reindex(lost.index)


def profiles(lost: pd.DataFrame) -> pd.DataFrame:
    """How far each encoder is behind the best under every seed of every task, a row each: encoder, task, seed, behind.

    behind: in units of the best one's lead over the encoder in the middle, so that tasks of any unit can be put
    together: 0 is the best, 1 the median.
    """
    whole = lost.dropna()
    lead = whole.median() - whole.min()
    behind = (whole - whole.min()) / lead.where(lead > 0)
    long = behind.fillna(0.0).T.reset_index().melt(id_vars=["task", "seed"], var_name="encoder", value_name="behind")
    return long[["encoder", "task", "seed", "behind"]]


def of_records(frame: pd.DataFrame) -> pd.DataFrame:
    """The losses of all encoders that have records."""
    rows = tidy(frame)
    return losses(rows, encoders_of(rows, {}))


def standing_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row an encoder, best first: rank, mean rank, Borda count, and the mean score of each task."""
    lost = of_records(frame)
    if lost.columns.empty:
        return pd.DataFrame()
    whole = lost.notna().T.groupby(level="task").all()
    scores = lost.T.groupby(level="task").mean().where(whole).T
    scores = scores.mul([1 if task == "nll" else -1 for task in scores.columns])
    table = pd.concat([standing(lost)[["rank", "mean_rank", "borda"]], scores], axis=1)
    return table.sort_values("rank", kind="stable", na_position="last").reset_index()


def profile_rows(frame: pd.DataFrame) -> pd.DataFrame:
    lost = of_records(frame)
    return pd.DataFrame() if lost.columns.empty or lost.dropna().empty else profiles(lost)


def draw_profiles(data: pd.DataFrame) -> "Figure":
    """The share of problems on which an encoder is at most so far behind; the encoders that are least behind."""
    import seaborn as sns

    clipped = data.assign(behind=data["behind"].clip(upper=2.0))
    kept = list(clipped.groupby("encoder")["behind"].mean().sort_values(kind="stable").index[:SHOWN])
    with style():
        figure, axes = canvas(3.2 + 0.19 * rows_of(kept))
        for name, colour, dot in zip(kept, palette(len(kept)), DOTS, strict=False):
            own = data.loc[data["encoder"].eq(name), "behind"]
            sns.ecdfplot(x=own, color=colour, marker=dot, markersize=5, label=name, ax=axes)
        finish(axes, kept, ("behind the best (1: as far as the median)", "share of tasks and seeds"))
        axes.set(xlim=(0, 2), ylim=(0, 1.02))
        return figure


STANDING = Artefact(
    id="standing",
    title="Standing over all tasks",
    caption="Ranked by the mean rank over tasks, by sets as large as those that were trained on. Borda: the encoders "
    "that one beats, averaged over seeds and summed over tasks. Encoders that lack a score have no rank.",
    data=standing_table,
    make="mbcbench run",
)
PROFILES = Artefact(
    id="profiles",
    title="Performance profiles",
    caption="On what share of the tasks and seeds an encoder is at most so far behind the best. One step is the best "
    "one's lead over the encoder in the middle.",
    data=profile_rows,
    draw=draw_profiles,
    make="mbcbench run",
)
