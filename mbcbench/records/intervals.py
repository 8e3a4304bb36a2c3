"""Means over seeds and their intervals: the one definition for comparing runs and for reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, with half the width of its interval (NaN for fewer than two seeds).

    Paired differences of two settings are estimated by giving `of` the difference of each seed.

    The interval is Student's: a bootstrap of three seeds has ten distinct resamples, and its bias-corrected form needs
    a spread of jackknife values that so few do not give; both come out too narrow.
    """

    mean: float
    half: float
    seeds: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Iterable[float], level: float = LEVEL) -> "Estimate":
        """Return the estimate from one value per seed."""
        sample = np.asarray(list(values), dtype=float)
        if not len(sample):
            return cls(float("nan"), float("nan"), 0)
        deviation = sample.std(ddof=1) if len(sample) > 1 else float("nan")
        return cls(float(sample.mean()), float(half_width(deviation, len(sample), level)), len(sample), tuple(sample))

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half


def half_width(deviation: Any, count: Any, level: float = LEVEL) -> Any:
    """Return half the width of the t interval of a mean, from standard deviations (ddof = 1) and sample sizes.

    Arrays give arrays. NaN for fewer than two values.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return deviation / np.sqrt(count) * stats.t.ppf(0.5 + level / 2, np.asarray(count) - 1)
