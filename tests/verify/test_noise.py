"""Noise of operations: how large it is, what it reaches and what it spares."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mbcbench.verify.noise import NoisyArithmetic, _rounds
from tests.verify.helpers import numbers

RELATIVE = 1e-3  # large, so that rounding does not matter
EPS = torch.finfo(torch.float64).eps
LARGEST_COUNT = 2**31

Operation = Callable[[Tensor], Tensor]


def fractions(number: int = 2000) -> Tensor:
    """Return numbers between 1 and 2 that are not whole."""
    return torch.linspace(1.1, 1.9, number, dtype=torch.float64)


def noisy(operation: Operation, x: Tensor, *, seed: int = 0) -> Tensor:
    """Return the result of an operation with noise."""
    with NoisyArithmetic(seed, RELATIVE):
        return operation(x)


def change(operation: Operation, x: Tensor) -> Tensor:
    """Return the relative error of each entry of a result."""
    exact = operation(x.clone())
    return noisy(operation, x.clone()) / exact - 1


# ---- how large


def assert_uniform(errors: Tensor, largest: float) -> None:
    """Assert that many errors are spread between a bound and its negative."""
    assert -largest <= float(errors.min()) < -0.95 * largest
    assert 0.95 * largest < float(errors.max()) <= largest
    assert abs(float(errors.mean())) < 0.1 * largest
    assert abs(float(errors.abs().mean()) / largest - 0.5) < 0.1


@pytest.mark.parametrize("operation", [lambda x: x * 1.01, lambda x: x + 0.01, torch.exp, torch.sqrt])
def test_errors_are_spread_evenly_up_to_the_relative_error(operation: Operation) -> None:
    assert_uniform(change(operation, fractions()), RELATIVE * (1 + 1e-9))


def test_errors_are_at_most_two_epsilons_by_default() -> None:
    x = fractions()
    with NoisyArithmetic(0):
        result = x * 1.01
    errors = (result / (x * 1.01) - 1).abs() / EPS
    assert 1.5 < float(errors.max()) <= 3.0  # with the rounding of the disturbed product and of the quotient
    assert float(errors.mean()) < 1.2
    assert len(set(result.tolist())) > 1900


def test_a_seed_decides_the_errors_and_the_random_state_stays() -> None:
    x, state = fractions(), torch.get_rng_state()
    first, again, other = (noisy(torch.exp, x, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


# ---- what is reached


def largest_error_of_sum(operation: Operation) -> float:
    """Return the error of the sums of large numbers that cancel, in units of the noise of one of them."""
    x = torch.tensor([1e6 + 0.5, -1e6 - 0.5], dtype=torch.float64).repeat(50, 1)
    return float(noisy(operation, x).abs().max()) / (1e6 * RELATIVE)


@pytest.mark.parametrize(
    "operation",
    [lambda x: x.sum(1), lambda x: x.mean(1) * 2, lambda x: x @ torch.ones(2, 1, dtype=torch.float64)],
)
def test_the_numbers_of_a_sum_are_disturbed_before_they_are_added(operation: Operation) -> None:
    assert 0.5 < largest_error_of_sum(operation) <= 2.1


@pytest.mark.parametrize(
    "add",
    [
        lambda out, index, x: out.index_add_(0, index, x),
        lambda out, index, x: out.scatter_add_(0, index, x),
        lambda out, index, x: out.index_add(0, index, x),
        lambda out, index, x: out.scatter_reduce_(0, index, x, "sum"),
    ],
)
def test_numbers_that_are_added_to_a_tensor_are_disturbed_and_it_is_written_in_place(
    add: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    index, x = torch.zeros(2, dtype=torch.int64), numbers(1e6 + 0.5, -1e6 - 0.5)
    out = numbers(0)
    with NoisyArithmetic(0, RELATIVE):
        result = add(out, index, x)
    assert 0.01 < abs(float(result)) / (1e6 * RELATIVE) <= 2.1
    assert (result is out) == (float(out) != 0)


def test_each_tensor_of_a_list_is_disturbed() -> None:
    with NoisyArithmetic(0, RELATIVE):
        results = torch._foreach_exp([fractions(3), fractions(4)])
    for result, x in zip(results, (fractions(3), fractions(4)), strict=True):
        assert 0 < float((result / x.exp() - 1).abs().max()) <= RELATIVE * (1 + 1e-9)


def test_the_factors_of_a_product_are_not_disturbed() -> None:
    assert float(change(lambda x: x * x, fractions()).abs().max()) <= RELATIVE * (1 + 1e-9)
    assert float(change(torch.square, fractions()).abs().max()) <= RELATIVE * (1 + 1e-9)


def test_each_of_several_results_is_disturbed() -> None:
    matrix = fractions(9).reshape(3, 3) + torch.eye(3, dtype=torch.float64)
    exact = torch.linalg.qr(matrix)
    with NoisyArithmetic(0, RELATIVE):
        results = torch.linalg.qr(matrix)
    assert isinstance(results, tuple)
    for before, after in zip(exact, results, strict=True):
        assert 0.1 * RELATIVE < float((after - before).abs().max()) < 10 * RELATIVE


def test_results_in_place_are_disturbed_and_views_are_not() -> None:
    x, unchanged = fractions(100), fractions(100)
    with NoisyArithmetic(0, RELATIVE):
        views = (x.reshape(10, 10), x[3:], x.unsqueeze(0), x.expand(2, 100), x.view(4, 25).transpose(0, 1))
    assert torch.equal(x, unchanged)
    assert [view.data_ptr() == x.data_ptr() for view in views] == [True, False, True, True, True]
    with NoisyArithmetic(0, RELATIVE):
        result = x.add_(0.01)
    assert result is x
    assert 0.5 * RELATIVE < float((x / (unchanged + 0.01) - 1).abs().max()) <= RELATIVE * (1 + 1e-9)


@pytest.mark.parametrize(
    "operation",
    [
        torch.abs,
        torch.neg,
        torch.relu,
        torch.clone,
        torch.round,
        torch.triu,
        lambda x: x.amax(1),
        lambda x: x.sort(1, descending=True).values,
        lambda x: x.topk(2).values,
        lambda x: x.clamp(1.3, 1.6),
        lambda x: x.flip(0),
        lambda x: x.gather(1, torch.tensor([[1, 0]] * 10)),
        lambda x: x[torch.tensor([3, 1])],
        lambda x: torch.cat([x, x]),
        lambda x: torch.stack([x, x]),
        lambda x: torch.where(x > 1.5, x, 0.25),
        lambda x: x.masked_fill(x > 1.5, 0.25),
        lambda x: x.new_full((2,), 0.3),
        lambda x: x.median(1).values,
        lambda x: x.kthvalue(1, 1).values,
        lambda x: x.masked_select(x > 1.5),
        lambda x: x.take(torch.tensor([3, 1])),
        lambda x: x.unique(),
        lambda x: x.nan_to_num(),
        lambda x: x.diag_embed(),
        lambda x: x.index_fill(0, torch.tensor([1]), 0.3),
        lambda x: x.index_copy(0, torch.tensor([1]), x[:1]),
        lambda x: x.masked_scatter(x > 1.5, x),
        lambda x: x.scatter_reduce(0, torch.zeros(10, 2, dtype=torch.int64), x, "amax"),
        lambda x: torch.nn.functional.max_pool2d(x[None], 2),
        lambda x: torch.nn.functional.pad(x[None], (1, 1), mode="replicate"),
    ],
)
def test_what_selects_moves_or_compares_is_exact(operation: Operation) -> None:
    x = fractions(20).reshape(10, 2)
    assert torch.equal(noisy(operation, x), operation(x))


def test_arguments_by_name_are_passed_on() -> None:
    with NoisyArithmetic(0, RELATIVE):
        made = torch.full((2, 3), 0.5, dtype=torch.float64)
        total = torch.ones(2, 3).sum(1, keepdim=True, dtype=torch.float64)
        scaled = torch.add(torch.zeros(2), torch.ones(2), alpha=3)
    assert made.tolist() == [[0.5] * 3] * 2
    assert (total.dtype, total.tolist()) == (torch.float64, [[3.0], [3.0]])
    assert scaled.tolist() == [3.0, 3.0]


# ---- what is spared


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + 1,
        lambda x: x - 3,
        lambda x: 2 * x,
        lambda x: 7 - x,
        lambda x: x / 1,
        lambda x: x.clone().add_(2),
        lambda x: x.sum(1),
        lambda x: x.mean(1),
        lambda x: x.cumsum(1),
        lambda x: x @ x.T,
        lambda x: torch.zeros(4, dtype=torch.float64).index_add_(0, torch.tensor([3, 3]), x[:, 0]),
        lambda x: torch.zeros(4, dtype=torch.float64).scatter_add_(0, torch.tensor([1, 1, 2, 2]), x[1]),
        lambda x: x.scatter_reduce(0, torch.zeros(2, 4, dtype=torch.int64), x, "sum"),
        lambda x: torch.bincount(torch.tensor([1, 1, 2, 2]), x[1]),
        lambda x: torch.linspace(0, 3, 4, dtype=torch.float64),
        lambda x: x.prod(1),
        lambda x: x**2,
        lambda x: x // 2,
    ],
)
def test_sums_and_products_of_whole_numbers_are_exact(operation: Operation) -> None:
    x = numbers(1, 3, 5, 7, 2, 0, -4, 6).reshape(2, 4)
    assert torch.equal(noisy(operation, x), operation(x.clone()))


def test_a_whole_number_is_spared_up_to_the_largest_count() -> None:
    x = numbers(*[LARGEST_COUNT, -LARGEST_COUNT, LARGEST_COUNT - 1] * 10)
    assert torch.equal(noisy(lambda x: x * 1, x), x)
    beyond = numbers(*[LARGEST_COUNT + 1, -LARGEST_COUNT - 1] * 10)
    assert bool((noisy(lambda x: x * 1, beyond) != beyond).all())


def test_only_the_whole_numbers_of_a_result_are_spared() -> None:
    x = numbers(*[2.0, 0.25] * 50).reshape(50, 2)
    result = noisy(lambda x: x + x, x)
    assert bool((result[:, 0] == 4).all())
    assert bool((result[:, 1] != 0.5).all())


def test_a_whole_number_is_not_spared_where_it_may_be_rounded() -> None:
    zeros = torch.zeros(50, dtype=torch.float64)
    assert bool((noisy(torch.exp, zeros) != 1).all())
    assert bool((noisy(lambda x: x.clone().exp_(), zeros) != 1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_other_types_are_exact(dtype: torch.dtype) -> None:
    x = torch.tensor([[0, 1, 1], [1, 1, 0]]).to(dtype)
    operations: tuple[Operation, ...] = (lambda x: x / 3, lambda x: x * x, lambda x: x.sum(1))
    for operation in operations:
        assert torch.equal(noisy(operation, x), operation(x))
        assert noisy(operation, x).dtype == operation(x).dtype


def test_noise_is_for_numbers_of_float64_in_the_memory_of_the_cpu() -> None:
    x = fractions(3)
    assert _rounds(x)
    assert not any(map(_rounds, (x.float(), x.long(), x.to("meta"), 0.5, None, [x])))
