"""Rounding: the bound of a gap, trials in other arithmetic, and what is compared with what."""

import contextlib
import math

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify import tolerance
from mbcbench.verify.checker import Checker
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, NotApplicable, get_law
from mbcbench.verify.law_run import LawRun, Observation, _add_rounding
from mbcbench.verify.noise import NOISE, NoisyArithmetic
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from suites.laws.comparison import worse
from tests.controls.base import CORRECT, Mean
from tests.controls.cancelling import MaxMinusMean
from tests.controls.masks import TightLayer
from tests.verify.helpers import WIDTH, numbers, subject_of

# ---- bounds


def test_a_relative_change_goes_both_ways_and_is_small() -> None:
    ones, generator = torch.ones(1000, dtype=torch.float64), torch.Generator().manual_seed(0)
    change = tolerance.jitter(ones, generator) - 1
    assert -tolerance.JITTER <= float(change.min()) < -0.9 * tolerance.JITTER
    assert 0.9 * tolerance.JITTER < float(change.max()) <= tolerance.JITTER
    scaled = tolerance.rescale(ones, generator)
    assert 0.9 <= float(scaled.min()) < 0.92
    assert 1.08 < float(scaled.max()) <= 1.1
    signs = (tolerance.perturb(ones, generator, 1e-3) - 1) / 1e-3
    assert sorted({round(float(sign), 6) for sign in signs}) == [-1.0, 1.0]


def test_elements_of_zeros_are_moved_apart_too() -> None:
    moved = tolerance.jitter(numbers(0, 0, 1e-3), torch.Generator().manual_seed(0))
    assert len(set(moved.tolist())) == 3
    assert float((moved - numbers(0, 0, 1e-3)).abs().max()) <= tolerance.JITTER


def test_whole_numbers_are_neither_perturbed_nor_rescaled() -> None:
    tokens, generator = torch.tensor([1, 5]), torch.Generator()
    assert tolerance.perturb(tokens, generator) is tokens
    assert tolerance.rescale(tokens, generator) is tokens


def test_the_largest_entry_is_that_of_each_set_and_finite() -> None:
    encoding = numbers(1, -3, torch.inf, 0, torch.nan, 2).reshape(2, 3)
    assert tolerance.max_norms(encoding).tolist() == [3.0, 2.0]


def test_a_ratio_is_that_of_gap_and_bound_and_zero_where_there_is_no_gap() -> None:
    assert Comparison(numbers(0, 3, 1, 0), numbers(0, 2, 0, 5)).ratio.tolist() == [0.0, 1.5, torch.inf, 0.0]


def test_rounding_that_trials_show_is_added_to_the_bound() -> None:
    doubtful, clear = numbers(1.0, 1.0), numbers(10.0, 0.5)
    widened = _add_rounding(Comparison(doubtful, numbers(0.1, 4.0)), clear, lambda _: numbers(0.2, 0.3))
    assert widened.bound.tolist() == pytest.approx(
        [0.1 + tolerance.SPREAD_FACTOR * 0.2, 4.0 + tolerance.SPREAD_FACTOR * 0.3]
    )


def test_a_trial_that_is_not_finite_or_raises_shows_nothing() -> None:
    comparison = Comparison(numbers(1.0, 1.0), numbers(0.1, 0.1))
    limit = numbers(10.0, 10.0)
    assert _add_rounding(comparison, limit, lambda _: numbers(torch.inf, torch.nan)).bound.tolist() == [0.1, 0.1]

    def fail(trial: int) -> Tensor:
        raise RuntimeError(str(trial))

    assert _add_rounding(comparison, limit, fail).bound.tolist() == [0.1, 0.1]


def test_a_gap_that_nothing_could_excuse_is_not_tried_again() -> None:
    def fail(trial: int) -> Tensor:
        raise AssertionError(trial)

    comparison = Comparison(numbers(1.0), numbers(0.1))
    assert _add_rounding(comparison, numbers(0.5), fail).bound.tolist() == [0.1]
    covered = Comparison(numbers(1.0), numbers(2.0))  # the gap is half of the bound
    assert _add_rounding(covered, numbers(10.0), fail).bound.tolist() == [2.0]


def test_trials_go_on_until_each_gap_is_decided() -> None:
    trials: list[int] = []

    def measure(trial: int) -> Tensor:
        trials.append(trial)
        return numbers(0.0 if trial < 2 else 1.0)

    _add_rounding(Comparison(numbers(1.0), numbers(0.1)), numbers(10.0), measure)
    assert trials == [0, 1, 2]


def test_noise_that_leaves_a_gap_by_chance_does_not_end_the_trials() -> None:
    """A gap of one epsilon may be one epsilon in noisy arithmetic too, but for digits that do not matter."""
    comparison, limit = Comparison(numbers(1.0), numbers(0.1)), numbers(10.0)
    noise = [numbers(1e-9), numbers(1e-9), numbers(1.0)]
    assert _add_rounding(comparison, limit, noise.__getitem__, clear=math.inf).bound.item() > 1.0
    assert _add_rounding(comparison, limit, noise.__getitem__).bound.item() < 0.2


def test_a_gap_of_one_epsilon_of_saturated_features_is_rounding() -> None:
    checker = Checker(EncoderSpec(name="MaxMinusMean", factory=MaxMinusMean), dim_in=3, seed=4)
    run = LawRun(get_law("symmetry.permutation"), checker.subjects())
    with torch.no_grad():
        observation = run.try_example(Example(sizes=(1, 256), kinds=tuple(range(16)), seed=183))
    assert not observation.is_counterexample


def observe(law: Law) -> tuple[LawRun, Observation]:
    run = LawRun(law, [subject_of()])
    with torch.no_grad():
        return run, run.try_example(Example(sizes=(2,), kinds=(0,), seed=1))


@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_a_gap_within_a_large_bound_is_undecided_where_the_bound_is_as_large_nearby(bound: float) -> None:
    law = Law(id="of.gap", check=lambda subject, data: Comparison(numbers(1), numbers(bound), scale=numbers(1)))
    run, observation = observe(law)
    assert not observation.is_counterexample
    assert run.undecided is not None


def test_a_gap_within_a_large_bound_breaks_the_law_if_it_is_above_the_bound_nearby() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        bound = 2.0 if subject.perturbation == tolerance.PERTURBATION else 0.5
        return Comparison(numbers(1), numbers(bound), scale=numbers(1))

    run, observation = observe(Law(id="of.gap", check=check))
    assert observation.is_counterexample
    assert observation.note
    assert run.undecided is None


def test_a_set_that_is_exposed_without_being_in_doubt_is_not_described() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        is_near = subject.perturbation != tolerance.PERTURBATION
        gap, bound = ((1, 1), (2, 0.5)) if is_near else ((1, 0), (2, 2))
        return Comparison(numbers(*gap), numbers(*bound), scale=numbers(1, 1))

    run = LawRun(Law(id="of.gap", check=check), [subject_of()])
    with torch.no_grad():
        observation = run.try_example(Example(sizes=(2,), kinds=(0, 0), seed=1))
    assert (observation.is_counterexample, observation.note) == (False, "")


def test_a_law_that_says_nothing_nearby_leaves_a_gap_undecided() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        if subject.perturbation != tolerance.PERTURBATION:
            raise NotApplicable("not here")
        return Comparison(numbers(1), numbers(2), scale=numbers(1))

    run, _ = observe(Law(id="of.gap", check=check))
    assert run.undecided is not None


def test_the_condition_of_an_encoder_is_measured_where_a_gap_is_in_doubt_and_not_of_a_random_one() -> None:
    x = torch.ones(1, 2, WIDTH, dtype=torch.float64)
    torch.manual_seed(0)
    module = Mean(WIDTH).double().eval()
    encoding = module(x).detach()
    rounding = tolerance.rounding_bound(encoding, 2)
    with torch.no_grad():
        fixed, random = (Subject(module, WIDTH, deterministic=d) for d in (True, False))
        assert fixed.compare(encoding + rounding, encoding, x).bound > rounding
        assert fixed.compare(encoding, encoding, x).bound == rounding
        assert random.compare(encoding + rounding, encoding, x).bound == rounding
        assert fixed.with_perturbation(None).compare(encoding + rounding, encoding, x).bound == rounding


def test_noise_reaches_what_rounds_and_nothing_else() -> None:
    x = torch.linspace(1, 2, 100, dtype=torch.float64)
    with NoisyArithmetic(0):
        product, largest, single = x * x, torch.maximum(x, x), x.float() * x.float()
        view = x.reshape(10, 10)
    change = ((product - x * x) / (x * x)).abs()
    assert 0 < float(change.max()) <= 1.5 * NOISE
    assert torch.equal(largest, x)
    assert torch.equal(single, x.float() * x.float())
    assert torch.equal(view, x.reshape(10, 10))


def test_noise_leaves_counts_whole() -> None:
    ones, thirds = torch.ones(2, 9, dtype=torch.float64), torch.full((2, 9), 1 / 3, dtype=torch.float64)
    with NoisyArithmetic(0):
        number, product, mean = ones.sum(1) + 3 * ones[:, 0], ones @ ones.T, ones.mean(1)
        sums = torch.cat([ones, thirds], 1)
        sums = sums + sums
    assert (number.tolist(), product[0].tolist(), mean.tolist()) == ([12.0] * 2, [9.0] * 2, [1.0] * 2)
    assert torch.equal(sums[:, :9], 2 * ones)
    assert not bool((sums[:, 9:] == 2 * thirds).all())


def test_noise_reaches_what_is_whole_because_it_is_saturated_or_large() -> None:
    large, saturated = numbers(*[1e17] * 99), numbers(*[40.0] * 99)
    with NoisyArithmetic(0):
        saturated, large = saturated.tanh(), large + large
    assert len(set(saturated.tolist())) > 1
    assert len(set(large.tolist())) > 1


# ---- trials in other arithmetic


@pytest.mark.parametrize("encoder", [*CORRECT, TightLayer], ids=lambda encoder: encoder.__name__)
def test_a_law_that_compares_encodings_can_be_tried_in_other_arithmetic(encoder: type[nn.Module]) -> None:
    subject = subject_of(encoder)
    for law_id in registry.select(registry.LAWS, None):
        law = get_law(law_id)
        compares_encodings = law_id.startswith(("mbc.", "symmetry.", "hygiene.", "numerics.scale"))
        if not compares_encodings or law.explore or law.fixed or law.unmet_requirement(subject):
            continue
        run, data = LawRun(law, [subject]), ExampleData(Example(sizes=(2, 3), kinds=(0, 8, 15), seed=1), WIDTH)
        for measure in (run._float32_gap, run._noisy_gap):
            with contextlib.suppress(NotApplicable), torch.no_grad():
                assert measure(subject, data, 0).shape == (3,), law_id


def test_a_law_about_the_condition_is_tried_in_other_arithmetic_on_the_same_data() -> None:
    seen: list[Tensor] = []

    def check(subject: Subject, data: ExampleData) -> Comparison:
        seen.append(data.x)
        return Comparison(numbers(1e-13), numbers(0), scale=numbers(1))

    example = Example(sizes=(2,), values=((0.0,) * WIDTH,) * 2, seed=1)
    with torch.no_grad():
        LawRun(Law(id="of.zeros", check=check, conditioned=True), [subject_of()]).try_example(example)
    tried, *others = [x for x in seen if x.dtype == torch.float64]
    assert len(others) > 0
    assert all(torch.equal(x, tried) for x in others)
    assert all(bool((x[:, 0] != x[:, 1]).all()) for x in seen)


@pytest.mark.parametrize(("gap", "is_error"), [(1e-27, False), (1e-18, True)])
def test_a_gap_far_below_an_epsilon_of_ordinary_encodings_is_no_error(gap: float, is_error: bool) -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        return Comparison(numbers(gap * subject.scale), numbers(0), scale=numbers(0))

    _, observation = observe(Law(id="of.gap", check=check))
    assert observation.is_counterexample == is_error


# ---- comparisons


def test_the_worse_of_two_comparisons_is_chosen_for_each_set() -> None:
    a = Comparison(numbers(1, 2), numbers(4, 4), "a", numbers(1, 1))
    b = Comparison(numbers(2, 1), numbers(4, 4), "b", numbers(9, 9))
    both = worse(a, b)
    assert (both.gap.tolist(), both.note) == ([2.0, 2.0], "b")
    assert both.scale is not None
    assert both.scale.tolist() == [9.0, 1.0]
    assert worse(b, a).note == "a"
    assert worse(a, b._replace(note="")).note == "a"
    assert worse(a, a._replace(note="other")).note == "a"
    without_scale = worse(a._replace(scale=None), b)
    assert without_scale.scale is not None
    assert without_scale.scale.tolist() == [9.0, 0.0]
