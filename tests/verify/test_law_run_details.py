"""The bound of a law: what is tried again in other arithmetic, and what rounding and the condition excuse."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.verify import law_run
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.law_run import LOSES_DIGITS
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import COARSE_PERTURBATION, EPS_RATIO, MAX_RELATIVE_BOUND, PERTURBATION, Comparison
from tests.controls.base import Mean
from tests.verify.helpers import numbers
from tests.verify.law_helpers import Level, Zero, run_of, saying

EXAMPLE = Example(sizes=(2,), seed=0)
TWO_SETS = Example(sizes=(2,), kinds=(0, 0), seed=0)
FACTOR = 30 * EPS_RATIO  # of a gap in float32, in the bound in float64


def of_one_set(gap: float) -> Comparison:
    return Comparison(numbers(gap), numbers(0), scale=numbers(1))


def is_noisy() -> bool:
    """Return True if products are rounded at random."""
    third = torch.full((64,), 1 / 3, dtype=torch.float64)
    return len(set((third * third).tolist())) > 1


class Arithmetics:
    """A law with a given gap in float64, in each trial in float32 and in each trial in noisy arithmetic."""

    def __init__(self, gap: float, float32: Sequence[float] = (), noisy: Sequence[float] = ()) -> None:
        self.gap = gap
        self.in_float32, self.in_noise = iter(float32), iter(noisy)
        self.tried: list[str] = []
        self.data: list[Tensor] = []
        self.subjects: list[Subject] = []

    def __call__(self, subject: Subject, data: ExampleData) -> Comparison:
        arithmetic = "float32" if data.x.dtype is torch.float32 else "noisy" if is_noisy() else "float64"
        self.tried.append(arithmetic)
        self.data.append(data.x.clone())
        self.subjects.append(subject)
        gap = self.gap
        if arithmetic != "float64":
            gap = next(self.in_float32 if arithmetic == "float32" else self.in_noise)
        one = torch.ones(len(data.x), dtype=data.x.dtype)
        return Comparison(gap * one, 0 * one, scale=one)


def tried(law: Arithmetics, encoder: type[nn.Module] = Level, **more: Any) -> list[str]:
    """Return the arithmetics in which a law is tried on one example."""
    run = run_of(law, encoder, **more)
    with torch.no_grad():
        run.try_example(run.domain.fit(TWO_SETS))
    return law.tried


def bound_of(law: Arithmetics, **more: Any) -> float:
    """Return the bound that a law without a bound of its own gets."""
    return run_of(law, **more).try_example(EXAMPLE).bound


# ---- other arithmetic


def test_a_law_that_holds_is_not_tried_again() -> None:
    assert tried(Arithmetics(0.0)) == ["float64"]
    assert tried(Arithmetics(1e-3), measures=True) == ["float64"]


def test_a_gap_that_rounding_in_float32_explains_is_covered_by_it() -> None:
    law = Arithmetics(0.4 * FACTOR, [1.0])
    assert bound_of(law) == pytest.approx(FACTOR)
    assert law.tried == ["float64", "float32"]


def test_a_gap_that_rounding_might_explain_is_tried_eight_times_in_each_arithmetic() -> None:
    law = Arithmetics(0.9 * FACTOR, [0.1, 0.2, 1.0, *[0.1] * 5], [0.9 * FACTOR] * 8)
    assert bound_of(law) == pytest.approx(FACTOR)
    assert law.tried == ["float64", *["float32"] * 8, *["noisy"] * 8]


@pytest.mark.parametrize(("times", "number"), [(900, 8), (1500, 1)])
def test_a_gap_a_thousand_times_the_rounding_in_float32_is_not_tried_again_there(times: float, number: int) -> None:
    law = Arithmetics(times * FACTOR * 1e-3, [1e-3] * 8, [times * FACTOR * 1e-3] * 8)
    assert bound_of(law) == pytest.approx(FACTOR * 1e-3)
    assert law.tried == ["float64", *["float32"] * number, *["noisy"] * 8]


def test_thirty_times_the_change_of_the_gap_in_noisy_arithmetic_is_added() -> None:
    law = Arithmetics(1e-6, [0.0] * 8, [1e-6, 1.0001e-6, 0.99e-6, 1.2e-6])
    assert bound_of(law) == pytest.approx(30 * 0.2e-6)
    assert law.tried == ["float64", *["float32"] * 8, *["noisy"] * 4]


@pytest.mark.parametrize(
    ("gap", "number"), [(MAX_RELATIVE_BOUND, 17), (1.5 * MAX_RELATIVE_BOUND, 1)], ids=["at it", "above"]
)
def test_a_gap_above_the_largest_bound_is_not_tried_again(gap: float, number: int) -> None:
    assert len(tried(Arithmetics(gap, [0.0] * 8, [gap] * 8))) == number


@pytest.mark.parametrize(("gap", "number"), [(0.9e-12, 17), (1.5e-12, 1)])
def test_a_gap_of_a_law_about_the_condition_is_tried_again_up_to_a_trillionth(gap: float, number: int) -> None:
    assert len(tried(Arithmetics(gap, [0.0] * 8, [gap] * 8), conditioned=True)) == number


@pytest.mark.parametrize(("relative", "number"), [(0.9, 17), (1.1, 1)])
def test_the_largest_bound_grows_with_the_scale(relative: float, number: int) -> None:
    gap, scale = 100 * relative * MAX_RELATIVE_BOUND, numbers(100)
    calls = []

    def check(subject: Subject, data: ExampleData) -> Comparison:
        calls.append(data.x.dtype)
        return Comparison(numbers(0 if data.x.dtype is torch.float32 else gap), numbers(0), scale=scale)

    assert run_of(check).try_example(EXAMPLE).bound == 0
    assert len(calls) == number


@pytest.mark.parametrize(("relative", "is_negligible"), [(0.9, True), (1.1, False)])
def test_what_is_negligible_grows_with_the_scale(relative: float, is_negligible: bool) -> None:
    gap = relative * 100 * 1e-6 * torch.finfo(torch.float64).eps
    run = saying(Comparison(numbers(gap), numbers(0), scale=numbers(100)), encoder=Level)
    assert (run.try_example(EXAMPLE).bound == 2 * gap) == is_negligible


def test_a_trial_that_an_encoder_does_not_support_shows_nothing() -> None:
    law = Arithmetics(1e-6, [0.0], [1e-6 + 1e-9])  # and then an exception
    assert bound_of(law) == pytest.approx(30 * 1e-9, rel=1e-3)
    assert law.tried == ["float64", "float32", "float32", "noisy", "noisy"]
    assert run_of(Arithmetics(1e-6)).try_example(EXAMPLE).bound == 0


def test_trials_have_other_numbers_and_other_parameters_of_about_the_same_size() -> None:
    law = Arithmetics(1e-6, [0.0] * 8, [1e-6] * 8)
    tried(law, Mean)
    original, parameter = law.data[0], law.subjects[0].module.phi.weight
    for data, subject in list(zip(law.data, law.subjects, strict=True))[1:9]:
        for changed, before in ((data, original), (subject.module.phi.weight.detach(), parameter.detach())):
            factors = changed.double() / before
            assert 0.89 < float(factors.amin()) < 0.99
            assert 1.01 < float(factors.amax()) < 1.11
    assert len({float(data[0, 0, 0]) for data in law.data[1:9]}) == 8
    assert len({float(subject.module.phi.weight[0, 0].detach()) for subject in law.subjects[1:9]}) == 8
    for data, subject in list(zip(law.data, law.subjects, strict=True))[9:]:
        assert torch.equal(data, original)
        assert subject.perturbation is None
    assert law.subjects[0].perturbation == PERTURBATION


def test_tokens_are_the_same_in_all_trials() -> None:
    law = Arithmetics(1e-6, [0.0] * 8, [1e-6] * 8)
    tried(law, Mean, domain=Domain(vocabulary=5))
    assert all(torch.equal(data.double(), law.data[0]) for data in law.data)
    assert torch.equal(law.data[0], law.data[0].round())


def test_noise_differs_between_trials() -> None:
    products = []

    def check(subject: Subject, data: ExampleData) -> Comparison:
        third = torch.full((len(data.x),), 1 / 3, dtype=data.x.dtype)
        products.append(float(third * third))
        return of_one_set(1e-6 if third.dtype == torch.float64 else 0.0)

    run_of(check).try_example(EXAMPLE)
    assert len(products) == 17
    assert len(set(products[9:])) > 3


def test_a_law_about_the_condition_is_tried_beside_ties_with_a_coarse_perturbation() -> None:
    law = Arithmetics(0.9e-12, [0.0] * 8, [0.9e-12] * 8)
    example = Example(sizes=(4,), kinds=(2,), seed=3)  # equal elements
    run_of(law, Mean, conditioned=True).try_example(example)
    tied = ExampleData(example, 3).x
    for number, data in enumerate(law.data):
        in_float32 = 1 <= number <= 8
        assert len(set(data[0, :, 0].tolist())) == 4
        assert in_float32 or 0 < float((data - tied).abs().amax()) < 3e-6
    assert law.subjects[0].perturbation == COARSE_PERTURBATION
    assert law.subjects[9].perturbation is None


def test_elements_are_moved_apart_by_the_seed_of_an_example_but_tokens_are_not() -> None:
    examples = [Example(sizes=(4,), kinds=(2,), seed=seed, vocabulary=0) for seed in (3, 3, 4)]
    changes = [law_run._moved_apart(ExampleData(e, 3)).x - ExampleData(e, 3).x for e in examples]
    assert torch.equal(changes[0], changes[1])
    assert not torch.allclose(changes[1], changes[2], rtol=0.01, atol=0)
    tokens = Example(sizes=(4,), kinds=(2,), seed=3, vocabulary=5)
    assert torch.equal(law_run._moved_apart(ExampleData(tokens, 3)).x, ExampleData(tokens, 3).x)


# ---- rounding


def add_rounding(
    gap: Tensor, bound: Tensor, excusable: Tensor, trials: list[Tensor | Exception]
) -> tuple[list[float], int]:
    """Return the bounds with the rounding of trials, and the number of trials."""
    measured = iter(trials)
    numbers_of_trials = []

    def measure(trial: int) -> Tensor:
        numbers_of_trials.append(trial)
        result = next(measured)
        if isinstance(result, Exception):
            raise result
        return result

    comparison = law_run._add_rounding(Comparison(gap, bound, "note"), excusable, measure)
    assert numbers_of_trials == list(range(len(numbers_of_trials)))
    assert comparison.note == "note"
    return comparison.bound.tolist(), len(numbers_of_trials)


def test_the_largest_rounding_of_all_trials_is_added_for_each_set() -> None:
    bounds, number = add_rounding(
        numbers(100, 50), numbers(1, 1), numbers(200, 200), [numbers(3, 0), numbers(2, 4), numbers(7, 0)]
    )
    assert bounds == [211, 121]
    assert number == 3


def test_a_gap_of_half_the_bound_is_covered() -> None:
    assert add_rounding(numbers(2.0), numbers(4.0), numbers(9.0), []) == ([4.0], 0)
    assert add_rounding(numbers(2.1), numbers(4.0), numbers(9.0), [numbers(1)]) == ([34.0], 1)


def test_rounding_that_is_not_finite_is_none() -> None:
    trials: list[Tensor | Exception] = [numbers(math.nan, math.inf), ValueError()]
    assert add_rounding(numbers(5, 5), numbers(1, 1), numbers(9, 9), trials) == ([1, 1], 2)


def test_a_gap_of_which_rounding_is_less_than_a_thousandth_is_decided() -> None:
    assert add_rounding(numbers(30_001), numbers(1), numbers(1e9), [numbers(1)]) == ([31], 1)
    assert add_rounding(numbers(30_000), numbers(1), numbers(1e9), [numbers(1)] * 8) == ([31], 8)
    assert add_rounding(numbers(30_001), numbers(1), numbers(1e9), [numbers(0)] * 8) == ([1], 8)


def test_only_gaps_that_rounding_may_excuse_are_tried_again() -> None:
    assert add_rounding(numbers(5, 9), numbers(1, 1), numbers(4, 8), []) == ([1, 1], 0)
    assert add_rounding(numbers(5), numbers(1), numbers(5), [numbers(1)])[1] == 1


def test_negligible_gaps_between_two_encodings_are_covered() -> None:
    comparison = Comparison(numbers(3, 4, 1), numbers(1, 1, 7), "note", numbers(1, 1, 1))
    excused = law_run._excuse_negligible(comparison, numbers(3, 3, 3))
    assert excused.bound.tolist() == [6, 1, 7]
    assert excused.note == "note"
    without_encodings = comparison._replace(scale=None)
    assert law_run._excuse_negligible(without_encodings, numbers(3, 3, 3)) is without_encodings


# ---- the largest bound


class Alternates(Level):
    """Adds one to every other encoding."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) + self.calls % 2


def expose(
    comparison: Comparison,
    limit: Tensor,
    nearby: Comparison | Exception = Comparison(numbers(0, 0), numbers(0, 0)),  # noqa: B008 # it is not changed
    encoder: type[nn.Module] = Level,
) -> tuple[list[float], str]:
    """Return bounds and note after a look at what the law says near the sets."""

    def check(subject: Subject, data: ExampleData) -> Comparison:
        if isinstance(nearby, Exception):
            raise nearby
        assert subject.perturbation == COARSE_PERTURBATION
        assert 0 < float((data.x - ExampleData(TWO_SETS, 3).x).abs().amax()) < 1e-5
        return nearby

    run = run_of(check, encoder)
    exposed = run._expose_losses(run.subjects[0], ExampleData(TWO_SETS, 3), comparison, limit)
    return exposed.bound.tolist(), exposed.note


def test_a_bound_above_the_limit_stays_where_a_gap_is_in_doubt() -> None:
    assert expose(Comparison(numbers(2, 2), numbers(3, 2)), numbers(1, 1)) == ([3, 2], "")
    assert expose(Comparison(numbers(1, 4), numbers(3, 3)), numbers(1, 1)) == ([1, 1], "")
    assert expose(Comparison(numbers(2, 1), numbers(3, 3)), numbers(1, 1)) == ([3, 1], "")


def test_a_gap_that_two_calls_explain_is_exposed() -> None:
    doubtful = Comparison(numbers(2, 2), numbers(3, 3))
    assert expose(doubtful, numbers(0.5, 1), encoder=Alternates) == ([0.5, 3], LOSES_DIGITS)
    assert expose(doubtful._replace(note="note"), numbers(0.5, 1), encoder=Alternates) == ([0.5, 3], "note")
    certain = Comparison(numbers(0, 2), numbers(3, 3))
    assert expose(certain, numbers(0.5, 1), encoder=Alternates) == ([0.5, 3], "")


def test_a_gap_is_exposed_where_the_law_is_broken_nearby_by_more_than_the_condition_explains() -> None:
    doubtful, limit = Comparison(numbers(2, 2), numbers(3, 3)), numbers(1, 1)
    scale = numbers(1e4, 1e4)  # of which the limit is one
    broken = Comparison(numbers(1.5, 1), numbers(0.5, 0.5), scale=scale)
    assert expose(doubtful, limit, broken) == ([1, 3], LOSES_DIGITS)
    explained = Comparison(numbers(1.5, 1.5), numbers(1.5, 1), scale=scale)
    assert expose(doubtful, limit, explained) == ([3, 1], LOSES_DIGITS)
    assert expose(doubtful, limit, NotApplicable()) == ([3, 3], "")


def test_the_scale_of_a_set_is_at_least_that_of_ordinary_data() -> None:
    run = run_of(lambda *_: None)
    of_sets = Comparison(numbers(0, 0, 0), numbers(0, 0, 0), scale=torch.tensor([0.0, 0.1, 7.0]))
    assert run._scale(run.subjects[0], of_sets).tolist() == [0.25, 0.25, 7]
    assert run._scale(run.subjects[0], of_sets).dtype == torch.float64
    assert run._scale(run.subjects[0], of_sets._replace(scale=None)).tolist() == [0.25] * 3


def test_the_first_undecided_example_and_the_largest_bound_are_remembered() -> None:
    said = iter([3e-3, 1e-3, 5e-3])

    def check(subject: Subject, data: ExampleData) -> Comparison:
        if subject.perturbation == COARSE_PERTURBATION:
            return Comparison(numbers(0, 0), numbers(0, 0))
        return Comparison(numbers(2e-4, 0), numbers(next(said), 1), "note", numbers(1, 1))

    run = run_of(check)
    for seed in range(3):
        run.try_example(Example(sizes=(2,), kinds=(0, 0), seed=seed))
    assert run.undecided is not None
    assert (run.undecided.example.seed, run.undecided.bound, run.undecided.note) == (0, 3e-3, "note")
    assert run.relative_bound == 5e-3


def test_a_law_that_measures_leaves_nothing_undecided() -> None:
    run = saying(Comparison(numbers(1.0), numbers(2.0), scale=numbers(1.0)), measures=True)
    assert run.try_example(EXAMPLE).bound == 2
    assert (run.undecided, run.relative_bound) == (None, 0)


def test_an_encoding_of_zeros_has_no_relative_bound() -> None:
    run = saying(Comparison(numbers(0, 0, 0), numbers(1e-5, 1e-5, 1e-5), scale=numbers(0, 1, 2)), encoder=Zero)
    run.try_example(Example(sizes=(2,), kinds=(0, 0, 0)))
    assert run.relative_bound == 1e-5
