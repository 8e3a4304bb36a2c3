"""Statistics, against plain arithmetic and SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from mbcbench.records import intervals
from mbcbench.reports import stats

VALUES = [0.1, 0.3, 0.2, 0.6]


def test_reports_and_the_comparison_of_runs_share_one_interval() -> None:
    assert stats.Estimate is intervals.Estimate
    assert stats.half_width is intervals.half_width


def test_a_paired_difference_has_the_interval_of_a_paired_t_test() -> None:
    other = [0.2, 0.5, 0.1, 0.9]
    by_seed = [pd.Series(values, index=range(4)) for values in (VALUES, other)]
    estimate = stats.Estimate.of(stats.paired_sum(by_seed, [1, -1]))
    expected = scipy_stats.ttest_rel(VALUES, other).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_seeds_that_one_side_lacks_are_left_out() -> None:
    difference = stats.paired_sum([pd.Series([1.0, 2.0], [0, 1]), pd.Series([0.5, 9.0], [1, 2])], [1, -1])
    assert difference.to_dict() == {1: 1.5}


def test_several_comparisons_widen_their_intervals() -> None:
    estimate = stats.Estimate.of(VALUES)
    assert stats.bonferroni(0.95, 1) == pytest.approx(0.95)
    assert (
        stats.half_at(estimate, stats.bonferroni(0.95, 5))
        > estimate.half
        == pytest.approx(stats.half_at(estimate, 0.95))
    )


def test_a_growth_exponent_is_fitted_to_the_four_largest_sizes_and_to_medians() -> None:
    n = np.array([10.0, 100, 1000, 10_000, 100_000])
    cost = 3.0 * n**1.5
    cost[0] = 1e9  # too small a set to count
    sizes, costs = np.repeat(n, 3), np.repeat(cost, 3)
    costs[2::3] *= 50  # one of three measurements of each size is an outlier
    fit = stats.fit_growth(sizes, costs)
    assert fit.exponent == pytest.approx(1.5)
    assert (fit.points, fit.smallest, fit.largest) == (4, 100, 100_000)


def test_one_size_has_no_exponent_and_two_have_no_interval() -> None:
    assert np.isnan(stats.fit_growth([10], [1.0]).exponent)
    fit = stats.fit_growth([10, 100], [1.0, 10.0])
    assert fit.exponent == pytest.approx(1.0)
    assert np.isnan(fit.low)


def test_a_summary_has_the_mean_and_the_interval_of_each_group() -> None:
    rows = pd.DataFrame({"model": ["a"] * 4 + ["b"], "value": [*VALUES, 1.0]})
    table = stats.summarise_by(rows, ["model"]).set_index("model")
    assert table.at["a", "mean"] == pytest.approx(0.3)
    assert table.at["a", "half"] == pytest.approx(stats.Estimate.of(VALUES).half)
    assert table.at["b", "seeds"] == 1
    assert np.isnan(table.at["b", "half"])


def test_resampled_means_have_the_width_of_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    means = stats.resample_means(values, 20_000, np.random.default_rng(1))
    half = stats.half_width(values.std(axis=0, ddof=1), 5)
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=0.02)
    assert 1.96 * means.std(axis=0) == pytest.approx(half, rel=0.03)


def test_seeds_of_all_encoders_are_resampled_together() -> None:
    shared = np.random.default_rng(0).normal(size=(5, 1))
    means = stats.resample_means(np.hstack([shared, shared + 1.0]), 100, np.random.default_rng(1))
    assert means[:, 1] - means[:, 0] == pytest.approx(np.ones(100))


def test_the_error_of_test_items_adds_to_that_of_seeds() -> None:
    covariances = np.tile([[0.04, 0.02], [0.02, 0.04]], (4, 1, 1))
    means = stats.resample_means(np.zeros((4, 2)), 20_000, np.random.default_rng(0), covariances)
    assert np.cov(means.T) == pytest.approx(covariances[0] / 4, abs=0.0005)


def test_holm_rejects_the_smallest_p_values_up_to_the_first_that_is_too_large() -> None:
    p_values = np.array([0.04, 0.001, 0.02, 0.012])  # limits from the smallest: .0125, .0167, .025, .05
    assert list(stats.reject_holm(p_values)) == [True, True, True, True]
    assert list(stats.reject_holm(np.array([0.04, 0.001, 0.03, 0.012]))) == [False, True, False, True]
    assert not len(stats.reject_holm(np.zeros(0)))


def test_a_bootstrap_p_value_counts_the_resamples_on_the_other_side_of_zero() -> None:
    differences = np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 2.0]])
    assert stats.bootstrap_p(differences) == pytest.approx([1 / 4, 3 / 4])
