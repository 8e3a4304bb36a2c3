"""Statistics of all reports: means with intervals, paired differences, tests and growth exponents.

Every interval is Student's. A bootstrap is no alternative for three seeds: they have ten distinct resamples, and its
interval comes out too narrow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

LEVEL = 0.95
Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]

FITTED_SIZES = 4  # a growth exponent is fitted to that many of the largest sizes: constant costs weigh little there
MAX_SEEDS = 100  # a difference that more seeds than these would have to show is too small to matter


@dataclass(frozen=True)
class Estimate:
    """Mean of some values with a t interval of 95 %: `mean` plus and minus `half`, which is NaN for one value."""

    mean: float
    half: float
    count: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Iterable[float]) -> "Estimate":
        """Return the estimate from the values of all seeds, or from their paired differences."""
        sample = np.asarray(list(values), dtype=float)
        if not len(sample):
            return cls(np.nan, np.nan, 0)
        deviation = sample.std(ddof=1) if len(sample) > 1 else np.nan
        half = float(half_width(deviation, len(sample)))
        return cls(float(sample.mean()), half, len(sample), tuple(sample))

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half

    @property
    def deviation(self) -> float:
        """Standard deviation of the values."""
        return float(np.std(self.values, ddof=1)) if self.count > 1 else np.nan

    def half_at(self, level: float) -> float:
        """Return half the width of the interval at another level."""
        return float(half_width(self.deviation, self.count, level))


def half_width(deviation: Numbers, count: Numbers, level: float = LEVEL) -> Floats:
    """Return half the width of the t interval of a mean; NaN for fewer than two values."""
    count = np.asarray(count, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.asarray(deviation, dtype=float) / np.sqrt(count)
        half: Floats = error * stats.t.ppf(0.5 + level / 2, count - 1)
    return half


def summarise_by(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the mean of `value` in each group, its standard deviation `std`, `half` its interval, and `seeds`."""
    groups = rows.groupby(list(by), sort=True)["value"]
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


def seeds_needed(estimate: Estimate, margin: float = 0.0) -> int | None:
    """Return how many seeds would tell the mean from zero (or from the margin), if mean and deviation stay as they are.

    None if more than `MAX_SEEDS` are needed.
    """
    distance = abs(abs(estimate.mean) - margin)
    counts = np.arange(estimate.count + 1, MAX_SEEDS + 1)
    enough = counts[half_width(estimate.deviation, counts) < distance]
    return int(enough[0]) if len(enough) else None


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


def fit_growth(n: Numbers, cost: Numbers) -> Growth:
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
    half = stats.t.ppf(0.5 + LEVEL / 2, len(line) - 2) * fit.stderr if len(line) > 2 else np.nan
    return Growth(fit.slope, fit.slope - half, fit.slope + half, len(line), float(sizes[0]), float(sizes[-1]))
