"""Tests of paired differences: Student's, exact sign flips, equivalence (TOST), and the seeds for 80 % power."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from .stats import LEVEL, MAX_SEEDS, Estimate, Numbers, deviation

POWER = 0.8
MAX_FLIPS = 10_000
ROUNDING = 1e-9  # relative; no t test can distinguish nearer values


@dataclass(frozen=True)
class PairedTest:
    """Differences of pairs, one for each seed, and their tests.

    Attributes
    ----------
    estimate
        Mean difference with its 95 % interval.
    margin
        Largest difference that does not matter.
    p
        Two-sided p-value of Student's t test of a mean of zero.
    p_sign_flip
        P-value of the exact test that flips the signs of the differences. It assumes a symmetric, not a normal
        distribution. With six seeds, it is at least 0.03.
    p_equivalence
        P-value of two one-sided t tests: small if the mean is within the margin.
    """

    estimate: Estimate
    margin: float
    p: float
    p_sign_flip: float
    p_equivalence: float

    @classmethod
    def of(cls, estimate: Estimate, margin: float) -> "PairedTest":
        """Test the values of an estimate. All p-values are NaN for fewer than two seeds."""
        values = np.asarray(estimate.values)
        if len(values) < 2:
            return cls(estimate, margin, math.nan, math.nan, math.nan)
        if np.ptp(values) <= ROUNDING * np.abs(values).max():  # an identity, such as one function computed twice
            is_zero, is_within = estimate.mean == 0, abs(estimate.mean) < margin
            return cls(estimate, margin, float(is_zero), _sign_flip(values), float(not is_within))
        return cls(estimate, margin, _student(values), _sign_flip(values), _equivalence(values, margin))

    @property
    def seeds_for_power(self) -> int | None:
        """Number of seeds that give 80 % power for the observed difference, or for equivalence, at the observed spread.

        The smaller of the two numbers counts. None if it is larger than `MAX_SEEDS`, or if the spread is zero.
        """
        spread = deviation(self.estimate)
        if not spread > 0:
            return None
        difference = _seeds(abs(self.estimate.mean) / spread, "two-sided")
        equivalence = _seeds((self.margin - abs(self.estimate.mean)) / spread, "larger")
        fewest = min(difference, equivalence)
        return max(math.ceil(fewest), self.estimate.seeds + 1) if fewest <= MAX_SEEDS else None


def _student(values: Numbers) -> float:
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def _sign_flip(values: Numbers) -> float:
    # Exact up to 13 seeds, which have fewer sign flips than this.
    result = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=MAX_FLIPS, rng=0)
    return float(result.pvalue)


def _equivalence(values: Numbers, margin: float) -> float:
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    return float(max(above, below))


def _seeds(effect: float, alternative: str) -> float:
    """Return the number of pairs that show an effect (in standard deviations) with 80 % power."""
    if effect < 0.05:  # far more than MAX_SEEDS
        return math.inf
    solved = TTestPower().solve_power(effect_size=effect, power=POWER, alpha=1 - LEVEL, alternative=alternative)
    return float(np.ravel(solved)[0])


def adjust(p_values: Sequence[float], method: str) -> Numbers:
    """Return p-values adjusted for their number by `holm` or `fdr_bh`; NaN values stay NaN and do not count."""
    p = np.asarray(p_values, dtype=float)
    known = ~np.isnan(p)
    adjusted = np.full(len(p), np.nan)
    if known.any():
        adjusted[known] = multipletests(p[known], method=method)[1]
    return adjusted
