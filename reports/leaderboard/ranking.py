"""The one ranking of encoders. Every table, page and figure that shows a rank takes it from `rank_encoders`.

Score: for a task, an encoder and a seed, the worst over one piece and all orders of the stream (see `standard`). Rank:
by the mean over tasks of the rank by mean score. Interval: of the ranks under resampled seeds. Group: starts with an
encoder, and ends before the first encoder that differs significantly from it in mean rank, by the same resamples and
Holm's correction.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from ..captions import list_all
from ..stats import LEVEL, Numbers, bootstrap_p, reject_holm, resample_means
from .standard import TaskScores, standard_tasks

RESAMPLES = 2000
SEED = 0  # of the resamples, so that the same records give the same intervals
NOT_STANDARD = "not trained under the profile standard"
APART = "deliberately wrong"
RANKS = ("rank", "low", "high", "mean_rank")


@dataclass(frozen=True)
class Ranking:
    """Ranks of encoders, and the scores behind them.

    table: a row for each encoder: rank, low, high, group, mean_rank; `<task>.rank`, `.low` and `.high`; is_apart
    (deliberately wrong), and reason (why it is not ranked, in words). Ranks are NaN for encoders that are not ranked;
    low and high are also NaN if there is nothing to resample.
    """

    table: pd.DataFrame
    tasks: tuple[TaskScores, ...]

    @property
    def order(self) -> list[str]:
        """Return the encoders: ranked ones from the best on, then the others, then deliberately wrong ones."""
        names = self.table.index.where(self.table["rank"].notna(), "")  # equal ranks are sorted by name
        return list(self.table.assign(tie=names).sort_values(["is_apart", "rank", "tie"], na_position="last").index)

    @property
    def rule(self) -> str:
        """Return the rule of the ranking in words."""
        titles = list_all([scores.task.title for scores in self.tasks])
        seeds = max((len(scores.losses.columns) for scores in self.tasks), default=0)
        over = f"the mean over {titles} of the rank" if len(self.tasks) > 1 else f"the rank on {titles}"
        return (
            f"Ranked by {over} by the mean over {seeds} seeds of the worst score: the worst over one piece and all "
            "orders of the stream, on sets as large as in training. Laws and costs do not count."
        )


INTERVALS_RULE = (
    "Intervals of ranks hold 95 % of the ranks under a bootstrap over seeds (those of all encoders together, then test "
    "items where they are recorded; widened to Student's t, for a bootstrap of few seeds is too narrow). A group (A, "
    "B, ...) runs from its first encoder down to the last before one that can be told apart from it: by the difference "
    "in mean rank under the same resamples, at 5 % with Holm's correction. Inside a group, the order means little."
)


def rank_encoders(rows: pd.DataFrame, encoders: Sequence[str]) -> Ranking:
    """Rank the encoders that were trained under `standard` on every task and seed. rows: tidy records."""
    tasks = standard_tasks(rows, encoders)
    apart = deliberately_wrong(rows)
    reasons = {name: _reason(name, tasks, apart) for name in encoders}
    ranked = sorted(name for name, reason in reasons.items() if not reason)
    table = pd.DataFrame({"reason": reasons, "is_apart": {name: name in apart for name in encoders}})
    table = table.join(_ranks(tasks, ranked)).reindex(list(encoders))
    return Ranking(table.assign(group=table["group"].astype(object).fillna("")).rename_axis("encoder"), tuple(tasks))


def deliberately_wrong(rows: pd.DataFrame) -> set[str]:
    """Return the encoders whose spec says that they are deliberately wrong."""
    return set(rows.loc[rows["detail.deliberately_wrong"].eq(True), "encoder"])


def _reason(encoder: str, tasks: Sequence[TaskScores], apart: set[str]) -> str:
    """Return the reason why an encoder is not ranked; empty if it is ranked."""
    lacks = [text for text in (str(scores.table.at[encoder, "lacks"]) for scores in tasks) if text]
    if encoder in apart:
        return APART
    if not tasks or (len(lacks) == len(tasks) and all(text.startswith("not trained") for text in lacks)):
        return NOT_STANDARD
    return "; ".join(lacks)


def _ranks(tasks: Sequence[TaskScores], ranked: list[str]) -> pd.DataFrame:
    """Return the columns of ranks for the ranked encoders, which have all scores."""
    if not ranked or not tasks:
        return pd.DataFrame(columns=[*RANKS, "group"], dtype=float)
    rng = np.random.default_rng(SEED)
    columns: dict[str, Numbers] = {}
    by_task, resampled_by_task = [], []
    for scores in tasks:
        losses = scores.losses.loc[ranked].T.to_numpy(dtype=float)
        resamples = resample_means(losses, RESAMPLES, rng, _covariances(scores, ranked))
        means = losses.mean(axis=0)
        columns |= _with_interval(f"{scores.task.key}.", means, resamples)
        by_task.append(rankdata(means))
        resampled_by_task.append(_rank_rows(resamples))
    mean_rank, resampled = np.mean(by_task, axis=0), np.mean(resampled_by_task, axis=0)
    columns |= {**_with_interval("", mean_rank, resampled), "mean_rank": mean_rank}
    return pd.DataFrame(columns, index=ranked).assign(group=group_letters(mean_rank, resampled))


def _covariances(scores: TaskScores, ranked: Sequence[str]) -> Numbers | None:
    if scores.item_covariances is None:
        return None
    places = scores.losses.index.get_indexer(pd.Index(ranked))
    return scores.item_covariances[:, places[:, None], places]


def _rank_rows(values: Numbers, method: Literal["average", "min"] = "average") -> Numbers:
    """Return the ranks within each row; NaN where the values are."""
    return rankdata(values, method, axis=1)


def _with_interval(prefix: str, losses: Numbers, resamples: Numbers) -> dict[str, Numbers]:
    """Return the rank by loss, and the interval of the ranks under resamples, widened to contain the rank."""
    rank = rankdata(losses, method="min").astype(float)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(_rank_rows(resamples, "min"), ends, axis=0, method="nearest")
    return {f"{prefix}rank": rank, f"{prefix}low": np.minimum(low, rank), f"{prefix}high": np.maximum(high, rank)}


def group_letters(mean_rank: Numbers, resampled: Numbers) -> npt.NDArray[np.object_]:
    """Return the group of each encoder (A, B, ...); empty without resamples. resampled: mean ranks by resample."""
    letters = np.full(len(mean_rank), "", dtype=object)
    if np.isnan(resampled).any():
        return letters
    order = np.argsort(mean_rank, kind="stable")
    group = 0
    while len(order):
        first, others = order[0], order[1:]
        apart = reject_holm(bootstrap_p(resampled[:, others] - resampled[:, [first]]))
        size = 1 + (int(np.argmax(apart)) if apart.any() else len(others))
        letters[order[:size]] = _letter(group)
        order, group = order[size:], group + 1
    return letters


def _letter(number: int) -> str:
    """Return A to Z, then AA, AB, ..."""
    rest, last = divmod(number, len(string.ascii_uppercase))
    return (_letter(rest - 1) if rest else "") + string.ascii_uppercase[last]


def format_interval(low: float, high: float) -> str:
    """Return `2–5`, or `2` if both ends are equal; empty if they are not known."""
    if np.isnan(low) or np.isnan(high):
        return ""
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
