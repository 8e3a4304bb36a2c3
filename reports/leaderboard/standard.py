"""Scores of trained models, from the records of the profile `standard`: one table per task.

The score of an encoder under a seed is its worst over one piece and all orders of the stream, on sets as large as in
training.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.records.outcomes import unpack

from ..captions import list_all
from ..selection import has_not_learnt, is_standard
from ..stats import half_width
from .columns import ACCURACY, CENTROIDS, COMPLETION, ONE_PIECE

RANDOM = "random"  # the stream order with a column of its own
# Orders of a stream, in words.
ORDERS = {
    RANDOM: "random chunks",
    "single": "single elements",
    "sorted": "sorted chunks",
    "uneven": "uneven chunks",
    "one-and-rest": "one, then the rest",
}
ANY_ORDER = "any order"
UNCHANGED = 0.0005  # a smaller loss by streaming counts as none: it would vanish in three digits
AT_CHANCE = 0.02  # nats of training loss below the baseline; with less, an encoder has learnt nothing
COMMON = 0.5  # a seed, test or task counts if this share of the encoders has it


@dataclass(frozen=True)
class Task:
    """A task that ranks encoders. suite: that of its records. noun: name of the elements of a set."""

    key: str
    suite: str
    title: str
    metric: str
    noun: str

    @property
    def lower_is_better(self) -> bool:
        """True for the NLL."""
        return self.metric == "nll"

    @property
    def sign(self) -> float:
        """Factor that turns a value of the metric into a loss, and back."""
        return 1.0 if self.lower_is_better else -1.0

    @property
    def measure(self) -> str:
        """Return the metric and its direction in words."""
        return "NLL in nats, lower is better" if self.lower_is_better else "accuracy, higher is better"


TASKS = (
    Task("points", ACCURACY, "point clouds", "accuracy", "points"),
    Task("images", COMPLETION, "image completion", "nll", "pixels"),
    Task("centroids", CENTROIDS, "centroids", "accuracy", "examples"),
)


@dataclass(frozen=True)
class TaskScores:
    """Scores of all encoders on one task.

    table: a row for each encoder: score, half (mean over seeds of the worst, and its 95 % t interval), worst_order (in
    words), one_piece, random, other (means; `other` is the second size), lost (of accuracy or nats, from one piece to
    the worst), seeds (those with all tests), unlearnt (trainings that ended at the loss of the baseline), gain (by
    twice the steps; NaN if that was not tried), unconverged, parameters, lr, steps, seconds, and lacks (what is
    missing, in words).
    losses: worst loss (encoder x seed), of the encoders that lack nothing. sizes: train size and second test size.
    item_covariances: see `stats.resample_means`; None where not every encoder has outcomes of single items.
    tests: the mean of every order and size, for details.
    """

    task: Task
    table: pd.DataFrame
    losses: pd.DataFrame
    sizes: tuple[float, float | None]
    item_covariances: npt.NDArray[np.float64] | None
    tests: pd.DataFrame


def standard_tasks(rows: pd.DataFrame, encoders: Sequence[str]) -> list[TaskScores]:
    """Return the scores of each task that enough encoders were trained on under `standard`. rows: tidy records."""
    rows = rows[is_standard(rows)]
    rows = rows[rows["status"].eq("ok") & np.isfinite(pd.to_numeric(rows["value"], errors="coerce"))]
    rows = rows.assign(value=pd.to_numeric(rows["value"]))
    tasks = [_task_scores(rows[rows["suite"].eq(task.suite)], task, encoders) for task in TASKS]
    counts = [0 if scores is None else int(scores.table["seeds"].gt(0).sum()) for scores in tasks]
    enough = COMMON * max(counts)
    return [scores for scores, count in zip(tasks, counts, strict=True) if scores is not None and count >= enough]


def _task_scores(rows: pd.DataFrame, task: Task, encoders: Sequence[str]) -> TaskScores | None:
    tests = _final_tests(rows, task)
    if tests.empty:
        return None
    as_trained = tests[tests["detail.test_size"].eq(tests["detail.train_size"])]
    losses = (
        as_trained.pivot(index="encoder", columns=["seed", "order"], values="value").sort_index(axis=1).mul(task.sign)
    )
    losses = losses.loc[:, losses.notna().mean() >= COMMON].reindex(list(encoders))
    lacks = _missing_tests(losses, task)
    complete = losses[lacks.eq("")]
    sizes = _sizes(tests)
    table = _summarise(losses, task)
    table = table.join(_other_size(tests, sizes[1])).join(_trainings(tests)).join(_convergence(rows, tests, task))
    return TaskScores(
        task=task,
        table=table.assign(lacks=lacks, unconverged=table["unconverged"].eq(True)),
        losses=complete.T.groupby(level="seed").max().T,
        sizes=sizes,
        item_covariances=_item_covariances(as_trained, complete),
        tests=tests.groupby(["encoder", "order", "detail.test_size"])["value"].mean().reset_index(),
    )


def _final_tests(rows: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return one row for each test of a final training; `order` is `one piece` or that of the stream."""
    final = rows[rows["params.role"].eq("final") & rows["metric"].eq(task.metric)]
    order = final["detail.order"].where(final["detail.mode"].ne(ONE_PIECE), ONE_PIECE)
    keys = ["encoder", "seed", "order", "detail.test_size"]
    return final.assign(order=order).drop_duplicates(keys, keep="last")


def _missing_tests(losses: pd.DataFrame, task: Task) -> "pd.Series[str]":
    """Return the columns (seed, order) that each encoder lacks, in words."""
    is_missing = losses.isna().to_numpy()
    gaps = [_describe_gap(losses.columns[missing], losses.columns, task) for missing in is_missing]
    return pd.Series(gaps, index=losses.index, dtype=object)


def _describe_gap(missing: "pd.Index[Any]", expected: "pd.Index[Any]", task: Task) -> str:
    if missing.empty:
        return ""
    if len(missing) == len(expected):
        return f"not trained on {task.title}"
    by_seed = missing.to_frame(index=False).groupby("seed")["order"].agg(list)
    per_seed = expected.get_level_values("order").nunique()
    whole = [f"{seed}" for seed, orders in by_seed.items() if len(orders) == per_seed]
    parts = [f"seed{'s' * (len(whole) > 1)} {list_all(whole)}"] if whole else []
    partial = [(seed, orders) for seed, orders in by_seed.items() if len(orders) < per_seed]
    parts += [f"{list_all(list(map(order_words, orders)))} of seed {seed}" for seed, orders in partial]
    return f"lacks {list_all(parts)} on {task.title}"


def order_words(order: str) -> str:
    """Return the name of an order in words."""
    return ORDERS.get(order, order)


def _sizes(tests: pd.DataFrame) -> tuple[float, float | None]:
    """Return the size of a set in training, and the largest other size that is tested in one piece."""
    trained = float(tests["detail.train_size"].mode().iloc[0])
    others = tests.loc[tests["detail.test_size"].ne(trained) & tests["order"].eq(ONE_PIECE), "detail.test_size"]
    return trained, None if others.empty else float(others.max())


def _summarise(losses: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return the scores of all encoders over the seeds of which they have all tests (columns: seed, order)."""
    complete = losses.mask(losses.isna().T.groupby(level="seed").transform("any").T)
    worst = complete.T.groupby(level="seed").max().T
    means = complete.T.groupby(level="order").mean().T
    count = worst.notna().sum(axis=1)
    table = pd.DataFrame(
        {
            "score": worst.mean(axis=1) * task.sign,
            "half": half_width(worst.std(axis=1), count),
            "seeds": count,
            "one_piece": means.get(ONE_PIECE, np.nan) * task.sign,
            "random": means.get(RANDOM, np.nan) * task.sign,
            "lost": means.max(axis=1) - means.get(ONE_PIECE, np.nan),
        }
    )
    spread = means.max(axis=1) - means.min(axis=1)
    worst_order = means.fillna(-np.inf).idxmax(axis=1).map(order_words)
    return table.assign(worst_order=worst_order.mask(spread < UNCHANGED, ANY_ORDER).mask(count.eq(0), ""))


def _other_size(tests: pd.DataFrame, size: float | None) -> "pd.Series[float]":
    if size is None:
        return pd.Series(dtype=float, name="other")
    here = tests[tests["detail.test_size"].eq(size) & tests["order"].eq(ONE_PIECE)]
    return here.groupby("encoder")["value"].mean().rename("other")


def _trainings(tests: pd.DataFrame) -> pd.DataFrame:
    """Return facts about the trainings of each encoder."""
    trainings = tests.drop_duplicates(["encoder", "seed"])
    facts = {"lr": "lr", "parameters": "parameters", "steps": "steps", "seconds": "train_seconds"}
    names = trainings["encoder"]
    table = pd.DataFrame()
    for key, column in facts.items():
        table[key] = pd.to_numeric(trainings[f"detail.{column}"], errors="coerce").groupby(names).mean()
    table["unlearnt"] = has_not_learnt(trainings, AT_CHANCE).groupby(names).sum()
    return table


def _convergence(rows: pd.DataFrame, tests: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return the gain of the validation score by twice the steps (`gain`), and whether it is too large."""
    doubled = rows[rows["params.role"].eq("doubled") & rows["metric"].eq("validation_score")]
    doubled = doubled.drop_duplicates("encoder", keep="last").set_index("encoder")
    is_same_seed = tests["seed"].eq(tests["encoder"].map(doubled["seed"]))
    final = tests[is_same_seed].drop_duplicates("encoder").set_index("encoder")
    before = pd.to_numeric(final["detail.validation_score"]).reindex(doubled.index)
    gain = task.sign * (before - doubled["value"])
    return pd.DataFrame({"gain": gain, "unconverged": gain > pd.to_numeric(doubled["detail.converged_within"])})


def _item_covariances(tests: pd.DataFrame, complete: pd.DataFrame) -> npt.NDArray[np.float64] | None:
    """Return, for each seed, the covariance of the scores of encoders that the choice of test items causes.

    tests: of sets as large as in training. complete: losses (encoder x seed, order), of which the worst order counts.
    """
    packed = tests.set_index(["encoder", "seed", "order"])["detail.outcomes"]
    covariances = []
    for seed in complete.columns.unique("seed"):
        losses = complete.loc[:, [seed]]
        worst = losses.columns.get_level_values("order")[losses.to_numpy().argmax(axis=1)]
        items = _unpack_all(packed.get((name, seed, order)) for name, order in zip(losses.index, worst, strict=True))
        if items is None:
            return None
        covariances.append(np.cov(items, ddof=0).reshape(len(items), len(items)) / items.shape[1])
    return np.stack(covariances) if covariances else None


def _unpack_all(texts: Iterable[object]) -> npt.NDArray[np.float64] | None:
    """Return the outcomes of all encoders (encoder x item), or None unless all have the same number of items."""
    arrays = []
    for text in texts:
        if not isinstance(text, str):
            return None
        arrays.append(unpack(text).astype(np.float64))
    if not arrays or not arrays[0].size or len({array.size for array in arrays}) > 1:
        return None
    return np.stack(arrays)
