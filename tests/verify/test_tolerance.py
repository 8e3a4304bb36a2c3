"""Gaps and bounds."""

import math

import torch

from mbcbench.verify import tolerance


def test_gap_is_the_largest_difference_of_each_set() -> None:
    a = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    b = torch.tensor([[[1.0, 2.5]], [[3.0, 4.0]]])
    assert tolerance.gaps(a, b).tolist() == [0.5, 0.0]


def test_nan_and_infinity_in_the_same_place_are_no_gap() -> None:
    a = torch.tensor([[math.nan, math.inf, -math.inf]])
    assert tolerance.gaps(a, a.clone()).tolist() == [0.0]


def test_nan_on_one_side_is_an_infinite_gap() -> None:
    assert tolerance.gaps(torch.tensor([[math.nan]]), torch.tensor([[1.0]])).tolist() == [math.inf]


def test_opposite_infinities_are_an_infinite_gap() -> None:
    assert tolerance.gaps(torch.tensor([[math.inf]]), torch.tensor([[-math.inf]])).tolist() == [math.inf]


def test_bound_grows_with_the_root_of_n_and_the_size_of_the_encoding() -> None:
    x = torch.tensor([[1.0], [-4.0]], dtype=torch.float64)
    bound = tolerance.rounding_bound(x, 100)
    assert bound.tolist() == [4 * 2**-52 * 10, 4 * 2**-52 * 40]


def test_an_encoding_that_is_infinite_gives_no_infinite_bound() -> None:
    assert tolerance.rounding_bound(torch.tensor([[math.inf, 1.0]]), 1).isfinite().all()


def test_perturbation_is_two_epsilons_of_each_entry() -> None:
    x = torch.tensor([1.0, -1000.0, 0.0], dtype=torch.float64)
    moved = tolerance.perturb(x, torch.Generator().manual_seed(0))
    assert ((moved - x).abs() <= 2.1 * 2**-52 * x.abs()).all()
    assert (moved[:2] != x[:2]).all()
