"""A run of one law: which examples are tried and counted, and which one is the worst."""

import math
import time

import pytest
import torch

from mbcbench.errors import BrokenLawError, LawOutOfMemoryError
from mbcbench.verify import law_run
from mbcbench.verify.cost import Cost, CostGrowth
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.law_run import LawRun, LawTimeout, Observation
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import MAX_RELATIVE_BOUND, Comparison
from tests.controls.base import Mean
from tests.verify.helpers import numbers, subject_of
from tests.verify.law_helpers import Level, Zero, law_of, run_of, saying

EXAMPLE = Example(sizes=(2,), seed=0)
TWO_SETS = Example(sizes=(2,), kinds=(0, 0), seed=0)


def of_one_set(gap: float, bound: float = 0.0, scale: float | None = 1.0) -> Comparison:
    return Comparison(numbers(gap), numbers(bound), "note", None if scale is None else numbers(scale))


# ---- observations


@pytest.mark.parametrize(("bound", "scale", "relative"), [(2.0, 4.0, 0.5), (2.0, 0.5, 4.0), (2.0, 0.0, 0.0)])
def test_a_relative_bound_is_that_of_the_scale(bound: float, scale: float, relative: float) -> None:
    assert Observation(EXAMPLE, bound=bound, scale=scale).relative_bound == relative


@pytest.mark.parametrize(
    ("gap", "bound", "is_broken"), [(1.0, 1.0, False), (1.1, 1.0, True), (0.0, 0.0, False), (1.0, 2.0, False)]
)
def test_a_gap_above_its_bound_is_a_counterexample(gap: float, bound: float, is_broken: bool) -> None:
    assert Observation(EXAMPLE, gap=gap, bound=bound).is_counterexample == is_broken
    assert Observation(EXAMPLE, gap=gap, bound=bound, error="ValueError").is_counterexample


@pytest.mark.parametrize(
    ("relative", "is_undecided"), [(0.5, False), (1.0, False), (1 + 1e-9, False), (1 + 1.5e-9, True), (1.5, True)]
)
def test_a_bound_above_the_largest_one_leaves_an_example_undecided(relative: float, is_undecided: bool) -> None:
    bound = MAX_RELATIVE_BOUND * relative
    assert Observation(EXAMPLE, gap=bound, bound=bound, scale=1.0).is_undecided == is_undecided
    assert not Observation(EXAMPLE, gap=2 * bound, bound=bound, scale=1.0).is_undecided


def test_observations_rank_by_a_ratio_of_up_to_a_thousand_and_then_by_gap() -> None:
    assert Observation(EXAMPLE, gap=2.0, bound=1.0).rank == (2.0, 2.0)
    assert Observation(EXAMPLE, gap=3.0, bound=2e-3).rank == (1000.0, 3.0)
    assert Observation(EXAMPLE, gap=3.0, bound=4e-3).rank == (750.0, 3.0)


# ---- examples


@pytest.mark.parametrize(("seconds", "is_late"), [(3.0, False), (2.9, True)])
def test_an_example_is_tried_up_to_the_time_limit(
    seconds: float, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LawRun(law_of(lambda *_: of_one_set(0.0)), [subject_of(Level)], seconds=seconds, began=7.0)
    monkeypatch.setattr(time, "perf_counter", lambda: 10.0)
    if is_late:
        with pytest.raises(LawTimeout):
            run.try_example(EXAMPLE)
    else:
        assert run.try_example(EXAMPLE).is_applicable


def test_a_run_has_no_time_limit_unless_there_is_one() -> None:
    run = saying(of_one_set(0.0))
    run.began -= 1e12
    assert run.try_example(EXAMPLE).is_applicable


def test_a_fresh_run_has_tried_nothing() -> None:
    run = saying(of_one_set(0.0))
    assert (run.examples, run.sets_tried, run.num_applicable, run.relative_bound) == (0, 0, 0, 0.0)
    assert (run.worst.gap, run.worst.bound, run.worst.scale, run.worst.example.n) == (0.0, 0.0, 0.0, 0)
    assert run.worst.choices == {}
    assert run.worst.is_applicable
    assert (run.undecided, run.reason_not_applicable) == (None, "")


def test_a_run_is_limited_to_sizes_that_the_law_and_the_encoder_admit() -> None:
    domain = Domain(min_size=4)
    run = run_of(lambda *_: of_one_set(0.0), domain=domain, min_size=2)
    assert run.domain is domain
    assert run.min_size == 5


@pytest.mark.parametrize(("batched", "number"), [(True, 2), (False, 1)])
def test_a_batch_counts_as_its_sets_or_as_one(batched: bool, number: int) -> None:
    run = saying(Comparison(numbers(0, 0), numbers(1e-9, 1e-9)), batched=batched)
    run.try_example(TWO_SETS)
    assert (run.sets_tried, run.examples, run.num_applicable) == (number, number, 1)


def test_the_first_reason_of_a_law_that_does_not_apply_is_kept() -> None:
    reasons = iter(["too small", "too large"])

    def check(subject: Subject, data: ExampleData) -> Comparison:
        raise NotApplicable(next(reasons))

    run = run_of(check)
    observations = [run.try_example(TWO_SETS), run.try_example(EXAMPLE)]
    assert [(o.note, o.is_applicable, o.is_counterexample) for o in observations] == [
        ("too small", False, False),
        ("too large", False, False),
    ]
    assert (run.reason_not_applicable, run.num_applicable, run.sets_tried) == ("too small", 0, 3)


def test_an_error_of_the_encoder_is_observed_with_its_place_and_the_choices_of_the_law() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        data.choices["number"] = 7
        raise ValueError("first line\nsecond line")

    run = run_of(check)
    observation = run.try_example(TWO_SETS)
    assert observation.error.startswith("ValueError: first line (tests/verify/test_law_run.py:")
    assert observation.traceback.endswith("ValueError: first line\nsecond line\n")
    assert observation.choices == {"number": 7}
    assert (observation.example, observation.is_applicable) == (TWO_SETS, True)
    assert (run.num_applicable, run.sets_until_broken) == (1, 2)
    assert run.worst.example.n == 0  # an error is no gap


def test_memory_that_runs_out_and_a_law_that_is_wrong_are_no_observations() -> None:
    def run_out(subject: Subject, data: ExampleData) -> Comparison:
        raise MemoryError("no more")

    with pytest.raises(LawOutOfMemoryError, match="no more") as caught:
        run_of(run_out).try_example(EXAMPLE)
    assert isinstance(caught.value.__cause__, MemoryError)
    with pytest.raises(BrokenLawError, match=r"of\.test returned list, not a Comparison; use subject\.compare"):
        run_of(lambda subject, data: [0.0]).try_example(EXAMPLE)


@pytest.mark.parametrize(("gap", "bound"), [(math.nan, 1.0), (0.0, math.nan)])
def test_a_law_that_returns_nan_is_wrong(gap: float, bound: float) -> None:
    comparison = Comparison(numbers(0, gap), numbers(0, bound))
    with pytest.raises(BrokenLawError, match=r"of\.test returned a gap or a bound that is NaN; use subject\.compare"):
        saying(comparison).try_example(TWO_SETS)
    assert saying(comparison, measures=True).try_example(TWO_SETS).is_applicable


def test_the_choices_of_a_law_are_observed() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        data.choices["number"] = 7
        return of_one_set(0.0)

    assert run_of(check).try_example(EXAMPLE).choices == {"number": 7}


def test_the_last_of_equally_bad_examples_is_the_worst() -> None:
    run = saying(of_one_set(1e-9, 4e-9))
    for seed in (1, 2):
        run.try_example(Example(sizes=(2,), seed=seed))
    assert (run.worst.example.seed, run.worst.gap, run.worst.bound, run.worst.scale) == (2, 1e-9, 4e-9, 1.0)
    assert run.worst.note == "note"
    assert run.examples == 2


def test_settings_that_an_encoder_changes_are_restored_after_each_example() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        torch.set_default_dtype(torch.float64)
        return of_one_set(0.0)

    before = torch.get_default_dtype()
    try:
        run_of(check).try_example(EXAMPLE)
        assert torch.get_default_dtype() is before
    finally:
        torch.set_default_dtype(before)


def test_an_example_is_tried_on_the_encoder_of_its_variant() -> None:
    subjects = [subject_of(Level), subject_of(Zero)]
    tried: list[Subject] = []

    def check(subject: Subject, data: ExampleData) -> Comparison:
        tried.append(subject)
        return of_one_set(0.0, scale=None)

    run = LawRun(law_of(check), subjects)
    scales = [run.try_example(Example(sizes=(2,), variant=variant)).scale for variant in range(4)]
    assert tried == subjects * 2
    assert scales == [0.25, 0.0, 0.25, 0.0]


# ---- costs


@pytest.mark.parametrize(
    ("cost", "n", "is_tried"),
    [
        (Cost(2**21, 1, 1), 129, True),
        (Cost(2**21 + 1, 1, 1), 129, False),
        (Cost(2**21 + 1, 1, 1), 128, True),
        (Cost(1, 2**26, 2**40), 129, True),
        (Cost(1, 2**26 + 1, 1), 129, False),
        (None, 129, True),
    ],
)
def test_sets_that_cost_too_much_are_not_tried(cost: Cost | None, n: int, is_tried: bool) -> None:
    run = saying(Comparison(numbers(0, 0), numbers(0, 0)))
    vars(run)["_costs"] = None if cost is None else CostGrowth(64, cost, cost)
    observation = run.try_example(Example(sizes=(n,), kinds=(0, 0)))
    assert observation.is_applicable == is_tried
    if not is_tried:
        assert observation.note == "sets of 129 elements would take too much memory or too many operations"


def test_the_cost_of_an_encoder_is_measured_once() -> None:
    run = saying(of_one_set(0.0), encoder=Mean)
    costs = run._costs
    assert costs is not None
    assert costs.size == 64
    assert costs.small.entries < costs.large.entries < 1e5
    assert run._costs is costs


# ---- the order of sets


def test_sets_come_in_the_order_of_their_ratio_and_where_that_is_clear_of_their_gap() -> None:
    comparison = Comparison(numbers(1.2, 0.95, 1.5, 1, math.inf, 0), numbers(1e-3, 1e-3, 1.5e-3, 0.5, math.inf, 0))
    # The ratios are 1200, 950, 1000, 2, infinite and zero.
    assert law_run._worst_first(comparison) == [4, 2, 0, 1, 3, 5]
    assert law_run._worst_first(Comparison(numbers(1, 3, 2), numbers(1 / 1900, 3 / 1100, 0))) == [1, 2, 0]


def test_equally_bad_sets_come_in_their_own_order() -> None:
    one = torch.ones(100, dtype=torch.float64)
    assert law_run._worst_first(Comparison(one, one)) == list(range(100))
    gaps = torch.arange(100, 0, -1, dtype=torch.float64)
    assert law_run._worst_first(Comparison(gaps, 0 * gaps)) == list(range(100))


def test_the_sets_of_an_example_on_which_an_encoder_raises_come_in_their_own_order() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        raise ValueError

    assert run_of(check).rank_sets(TWO_SETS) == [0, 1]
    assert saying(Comparison(numbers(0, 1), numbers(1, 1))).rank_sets(TWO_SETS) == [1, 0]
