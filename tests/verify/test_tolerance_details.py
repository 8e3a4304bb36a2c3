"""Random changes of inputs and parameters, and the limits of the bound."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mbcbench.verify import tolerance
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.verify.helpers import numbers
from tests.verify.law_helpers import run_of, saying

EXAMPLE = Example(sizes=(2,))
CHANGES = (tolerance.perturb, tolerance.rescale, tolerance.jitter)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_depends_on_its_generator_alone(change: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    ones = torch.ones(50, 4, dtype=torch.float64)
    first, second = (change(ones, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, change(ones, torch.Generator().manual_seed(2)))
    assert torch.equal(ones, torch.ones(50, 4, dtype=torch.float64))
    in_float32 = change(ones.float(), torch.Generator().manual_seed(1))
    assert (first.dtype, in_float32.dtype) == (torch.float64, torch.float32)
    assert len(set(first.flatten().tolist())) > 1


def test_an_entry_goes_up_as_often_as_down() -> None:
    ones, generator = torch.ones(4000, dtype=torch.float64), torch.Generator().manual_seed(0)
    for change in CHANGES:
        assert 0.45 < float((change(ones, generator) > 1).double().mean()) < 0.55


def test_a_perturbation_is_relative_and_two_epsilons_unless_another_is_given() -> None:
    x, generator = numbers(1, -4, 0, 2.0**40), torch.Generator().manual_seed(0)
    assert ((tolerance.perturb(x, generator) - x) / 2**-51).abs().tolist() == [1, 4, 0, 2.0**40]
    assert (tolerance.perturb(x, generator, 0.25) - x).abs().tolist() == [0.25, 1, 0, 2.0**38]


def test_no_two_of_many_equal_elements_stay_equal() -> None:
    moved = tolerance.jitter(torch.zeros(20_000, dtype=torch.float64), torch.Generator().manual_seed(0))
    assert len(set(moved.tolist())) == 20_000


@pytest.mark.parametrize(("n", "factor"), [(0, 4), (1, 4), (4, 8), (9, 12)])
def test_the_bound_of_a_sum_grows_with_the_root_of_its_terms(n: int, factor: int) -> None:
    encoding = numbers(1, -2)[:, None]
    assert tolerance.rounding_bound(encoding, n).tolist() == [factor * 2**-52, 2 * factor * 2**-52]
    assert tolerance.rounding_bound(encoding.float(), n).tolist() == [factor * 2**-23, 2 * factor * 2**-23]


def test_a_gap_is_that_of_all_entries_of_a_set() -> None:
    a, b = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    b[0, 2, 1, 3], b[1, 1, 0, 0] = -7, 2
    assert tolerance.gaps(a, b).tolist() == [7, 2]
    assert tolerance.max_norms(b).tolist() == [7, 2]
    not_finite = numbers(math.nan, 0.5, math.inf, 0.25, -math.inf, 0).reshape(3, 2)
    assert tolerance.max_norms(not_finite).tolist() == [0.5, 0.25, 0]
    nan = torch.tensor([[math.nan, 1.0], [math.inf, 1.0], [2.0, math.nan]])
    other = torch.tensor([[math.nan, 1.5], [math.inf, 1.0], [2.0, 3.0]])
    assert tolerance.gaps(nan, other).tolist() == [0.5, 0, math.inf]


@pytest.mark.parametrize(
    ("gap", "bound", "is_broken"), [((1, 1), (1, 1), False), ((0, 2), (1, 1), True), ((2, 2), (1, 1), True)]
)
def test_a_comparison_is_broken_if_the_gap_of_a_set_exceeds_its_bound(
    gap: tuple[int, int], bound: tuple[int, int], is_broken: bool
) -> None:
    comparison = Comparison(numbers(*gap), numbers(*bound))
    assert comparison.is_broken is is_broken
    assert (comparison.note, comparison.scale) == ("", None)


@pytest.mark.parametrize(("gap", "is_broken"), [(0.9e-4, False), (1.1e-4, True)])
def test_a_bound_excuses_at_most_a_ten_thousandth_of_the_scale(gap: float, is_broken: bool) -> None:
    run = saying(Comparison(numbers(gap), numbers(1.05e-4), scale=numbers(1)))
    assert run.try_example(EXAMPLE).is_counterexample == is_broken


def test_rounding_in_float32_is_scaled_to_the_digits_of_float64() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        gap = numbers(1.0 if data.x.dtype is torch.float32 else 1e-9)
        return Comparison(gap, numbers(0), scale=numbers(1))

    assert run_of(check).try_example(EXAMPLE).bound == pytest.approx(30 * 2**-29)


def test_a_law_about_the_condition_measures_it_with_a_change_of_a_ten_billionth() -> None:
    perturbations = []

    def check(subject: Subject, data: ExampleData) -> Comparison:
        perturbations.append(subject.perturbation)
        return Comparison(numbers(0), numbers(0))

    run_of(check, conditioned=True).try_example(EXAMPLE)
    assert perturbations == [1e-10]
