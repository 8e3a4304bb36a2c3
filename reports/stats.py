"""Statistics of all reports: means with intervals, paired differences, tests and growth exponents.

Means over seeds and their intervals are those of `mbcbench.records.intervals`, which also compares runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from mbcbench.records.intervals import LEVEL, Estimate, half_width

__all__ = [
    "LEVEL",
    "Estimate",
    "Growth",
    "bonferroni",
    "bootstrap_p",
    "deviation",
    "fit_growth",
    "half_at",
    "half_width",
    "one_per_seed",
    "paired_sum",
    "reject_holm",
    "resample_means",
    "summarise_by",
    "widening",
]

Numbers = npt.NDArray[np.float64]

FITTED_SIZES = 4  # number of largest sizes in the fit of a growth exponent: constant costs have little weight there
MAX_SEEDS = 100  # a difference that needs more seeds is too small to matter


def one_per_seed(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return one row for each group and seed, with the mean of `value`; of other columns, the first value.

    The records of a seed are not independent: an interval over seeds takes one value from each. Without a column
    `seed` the table is returned as it is.
    """
    keys = [*by, "seed"]
    if "seed" not in table or not table.duplicated(keys).any():
        return table
    others = {column: "first" for column in table.columns if column not in (*keys, "value")}
    means = table.groupby(keys, sort=False, dropna=False, as_index=False).agg({"value": "mean", **others})
    return means[list(table.columns)]


def summarise_by(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the mean of `value` in each group, its standard deviation `std`, `half` its interval, and `seeds`."""
    groups = one_per_seed(rows, by).groupby(list(by), sort=True)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index().rename(columns={"count": "seeds"})
    table["half"] = half_width(table["std"], table["seeds"])
    return table[[*by, "mean", "std", "half", "seeds"]]


def paired_sum(samples: Sequence[pd.Series], weights: Sequence[float]) -> pd.Series:
    """Return the weighted sum of samples by seed: +1 and -1 give the paired difference.

    samples: series of values, indexed by seed. Seeds that one of them lacks are left out.
    """
    parts = [weight * sample for weight, sample in zip(weights, samples, strict=True)]
    return pd.concat(parts, axis=1, join="inner").sum(axis=1)


def bonferroni(level: float, comparisons: int) -> float:
    """Return the level of each of several intervals that hold together at `level`."""
    return 1 - (1 - level) / comparisons


def deviation(estimate: Estimate) -> float:
    """Return the standard deviation of the values of an estimate."""
    return float(np.std(estimate.values, ddof=1)) if estimate.seeds > 1 else np.nan


def half_at(estimate: Estimate, level: float) -> float:
    """Return half the width of the interval of an estimate at another level."""
    return float(half_width(deviation(estimate), estimate.seeds, level))


@dataclass(frozen=True)
class Growth:
    """Exponent p of a cost that grows as n^p, with the 95 % interval of the fit.

    exponent: NaN for fewer than two sizes. low, high: NaN for fewer than three; they say how straight the line is, not
    how much the cost varies from run to run. smallest, largest: of the `points` sizes in the fit.
    """

    exponent: float
    low: float
    high: float
    points: int
    smallest: float
    largest: float


def fit_growth(n: npt.ArrayLike, cost: npt.ArrayLike) -> Growth:
    """Fit log cost over log n by least squares, at the `FITTED_SIZES` largest sizes at which the cost is positive.

    n, cost: one entry for each measurement. Several measurements of one size count as their median.
    """
    costs = pd.Series(np.asarray(cost, dtype=float), index=np.asarray(n, dtype=float))
    medians = costs.groupby(level=0).median()
    line = medians[medians > 0].sort_index().tail(FITTED_SIZES)
    sizes = line.index.to_numpy(dtype=float)
    if len(line) < 2:
        end = float(sizes[0]) if len(sizes) else np.nan
        return Growth(np.nan, np.nan, np.nan, len(line), end, end)
    fit = stats.linregress(np.log(sizes), np.log(line.to_numpy()))
    has_error = len(line) > 2 and line.nunique() > 1  # of a constant cost, versions of SciPy say 0 or NaN
    half = stats.t.ppf(0.5 + LEVEL / 2, len(line) - 2) * fit.stderr if has_error else np.nan
    return Growth(fit.slope, fit.slope - half, fit.slope + half, len(line), float(sizes[0]), float(sizes[-1]))


def resample_means(
    values: Numbers, count: int, rng: np.random.Generator, item_covariances: Numbers | None = None
) -> Numbers:
    """Return the means over seeds of all encoders under `count` bootstrap resamples of the seeds: `count x E`.

    values: `S x E`, one value for each seed and encoder. The seeds of all encoders are resampled together, since
    they are paired: a seed has the same data and batches for every encoder.
    item_covariances: `S x E x E`, covariances of the errors that the finite test set of a seed causes. Such errors are
    added to each drawn seed: the second level of the bootstrap, in normal approximation.
    Deviations from the mean are widened (see `widening`). One seed without covariances gives NaN.
    """
    seeds, encoders = values.shape
    if seeds < 2 and item_covariances is None:
        return np.full((count, encoders), np.nan)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=count) / seeds
    mean = values.mean(axis=0)
    means = mean + (weights @ values - mean) * widening(seeds)
    if item_covariances is not None:
        for seed, covariance in enumerate(item_covariances):
            variances, axes = np.linalg.eigh(covariance)
            root = (
                axes * np.sqrt(variances.clip(min=0))
            ) @ axes.T  # the symmetric root, the only one that is stable under rounding
            error = rng.standard_normal((count, encoders)) @ root
            means += np.sqrt(weights[:, seed, None] / seeds) * error
    return np.asarray(means)


def widening(seeds: int) -> float:
    """Return the factor by which a bootstrap of few seeds is too narrow, compared with Student's t interval.

    A bootstrap uses the deviation with ddof = 0 and the quantiles of a normal distribution. Without the factor, three
    of four tables of 40 equal encoders with 5 seeds on 3 tasks are split into groups; with the factor, one of ten is.
    """
    if seeds < 2:
        return 1.0
    quantile = stats.t.ppf(0.5 + LEVEL / 2, seeds - 1) / stats.norm.ppf(0.5 + LEVEL / 2)
    return float(quantile * np.sqrt(seeds / (seeds - 1)))


def bootstrap_p(differences: Numbers) -> Numbers:
    """Return two-sided p-values of differences (`count x M`, by resample) from zero."""
    below, above = (differences <= 0).sum(axis=0), (differences >= 0).sum(axis=0)
    return np.asarray(np.minimum(1.0, (1 + 2 * np.minimum(below, above)) / (len(differences) + 1)))


def reject_holm(p_values: Numbers) -> npt.NDArray[np.bool_]:
    """Return True for the hypotheses that Holm's procedure rejects at a family-wise error rate of 5 %.

    `statsmodels` has this procedure too, but collects garbage at each call: 66 ms for every group of a ranking.
    """
    order = np.argsort(p_values, kind="stable")
    levels = (1 - LEVEL) / np.arange(len(p_values), 0, -1)
    rejected = np.zeros(len(p_values), dtype=bool)
    rejected[order] = np.logical_and.accumulate(np.asarray(p_values)[order] <= levels)
    return rejected
