"""Verdicts by numbers: tests of paired differences, the four outcomes, and how the parts of a claim combine."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from mbcbench.reports.paired import PairedTest, adjust
from mbcbench.reports.paper.contrast_verdicts import _outcome
from mbcbench.reports.paper.verdicts import Outcome, Part, combine
from mbcbench.reports.stats import Estimate, bonferroni

MARGIN = 0.02
SMALL_NOISE = np.array([-0.003, 0.002, 0.001, -0.001, 0.003, -0.002])


def paired(values: Iterable[float]) -> PairedTest:
    return PairedTest.of(Estimate.of(values), MARGIN)


def outcome(values: Iterable[float], *, parts: int = 1, expects_equality: bool = False) -> Outcome:
    return _outcome(paired(values), bonferroni(0.95, parts), expects_equality=expects_equality)[0]


def test_the_p_values_are_those_of_scipy() -> None:
    values = 0.01 + 5 * SMALL_NOISE
    test = paired(values)
    assert test.p == pytest.approx(stats.ttest_rel(values, np.zeros(6)).pvalue)
    flips = [abs(float(np.mean(values * signs))) for signs in np.array(np.meshgrid(*[[1, -1]] * 6)).reshape(6, -1).T]
    assert test.p_sign_flip == pytest.approx(np.mean(np.array(flips) >= abs(values.mean()) - 1e-15))


def test_equivalence_at_5_percent_is_a_90_percent_interval_within_the_margin() -> None:
    for shift in (0.0, 0.012, 0.016, 0.019):
        values = shift + SMALL_NOISE
        low, high = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert (paired(values).p_equivalence < 0.05) == (low > -MARGIN and high < MARGIN)


@pytest.mark.parametrize(
    ("mean", "expected"), [(0.1, "confirmed"), (-0.1, "refuted"), (0.0, "no difference"), (0.02, "undecided")]
)
def test_a_difference_is_confirmed_refuted_too_small_or_undecided(mean: float, expected: str) -> None:
    noise = SMALL_NOISE if expected != "undecided" else 10 * SMALL_NOISE
    assert outcome(mean + noise) == expected


@pytest.mark.parametrize(("mean", "expected"), [(0.1, "refuted"), (-0.1, "refuted"), (0.0, "confirmed")])
def test_equality_is_confirmed_within_the_margin_and_refuted_outside(mean: float, expected: str) -> None:
    assert outcome(mean + SMALL_NOISE, expects_equality=True) == expected


def test_a_difference_that_is_real_and_within_the_margin_does_not_matter() -> None:
    values = 0.008 + SMALL_NOISE
    assert paired(values).p < 0.05
    assert outcome(values) == "no difference"


def test_one_of_many_parts_refutes_at_a_stricter_level_than_one_alone() -> None:
    values = -0.05 + 15 * SMALL_NOISE
    assert outcome(values) == "refuted"
    assert outcome(values, parts=20) == "undecided"


def test_an_identity_is_no_difference_whatever_the_number_of_seeds() -> None:
    assert outcome([0.0] * 3) == "no difference"
    assert outcome([0.1] * 3) == "confirmed"


def test_the_seeds_for_80_percent_power_reach_that_power() -> None:
    values = 0.06 + 20 * SMALL_NOISE
    test = paired(values)
    count = test.seeds_for_power
    assert count is not None
    effect = values.mean() / values.std(ddof=1)
    for seeds, is_enough in ((count, True), (count - 1, False)):
        quantile = stats.t.ppf(0.975, seeds - 1)
        power = stats.nct.sf(quantile, seeds - 1, effect * math.sqrt(seeds))
        assert (power >= 0.8) == is_enough


def test_no_number_of_seeds_shows_a_difference_at_the_margin() -> None:
    assert paired(MARGIN + 100 * (SMALL_NOISE - SMALL_NOISE.mean())).seeds_for_power is None


def test_holm_and_benjamini_hochberg_leave_out_what_has_no_p_value() -> None:
    p_values = [0.01, math.nan, 0.04, 0.03]
    assert adjust(p_values, "holm").tolist() == pytest.approx([0.03, math.nan, 0.06, 0.06], nan_ok=True)
    expected = stats.false_discovery_control([0.01, 0.04, 0.03])
    assert adjust(p_values, "fdr_bh")[[0, 2, 3]] == pytest.approx(expected)


def part(result: Outcome, p: float) -> Part:
    return Part(result, f"{result} at {p}", p=p)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["confirmed", "confirmed"], "confirmed"),
        (["confirmed", "refuted", "no difference"], "refuted"),
        (["confirmed", "no difference"], "no difference"),
        (["undecided", "no difference"], "no difference"),
        (["confirmed", "undecided"], "undecided"),
    ],
)
def test_a_claim_needs_all_of_its_parts(outcomes: list[Outcome], expected: str) -> None:
    assert combine([part(result, 0.01) for result in outcomes]).verdict == expected


def test_the_weakest_part_confirms_and_the_strongest_refutes_for_all_that_could() -> None:
    assert combine([part("confirmed", 0.001), part("confirmed", 0.04)]).p == 0.04
    verdict = combine([part("refuted", 0.004), part("refuted", 0.001), part("confirmed", 0.001)])
    assert verdict.p == pytest.approx(0.003)
    assert verdict.why == "refuted at 0.001 (and 1 more comparison with this outcome)"
