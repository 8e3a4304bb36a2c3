"""Strategies: exactly what can be drawn from small ones, and what is drawn from the others."""

from collections.abc import Sequence
from itertools import product
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mbcbench.verify import strategies
from mbcbench.verify.drawing import try_drawn
from mbcbench.verify.example import ALL_KINDS, ARRANGEMENTS, Example
from mbcbench.verify.law_run import Observation

T = TypeVar("T")
BOUNDARIES = {2**power + offset for power in (6, 7, 8) for offset in (-1, 0, 1)} | {513}


def draw(strategy: SearchStrategy[T], number: int) -> list[T]:
    """Draw values; of a strategy with fewer values than that all of them."""
    drawn: list[T] = []

    def attempt(value: T) -> Observation:
        drawn.append(value)
        return Observation(Example(sizes=(1,)))

    assert try_drawn(strategy, attempt, max_examples=number, seed=0, shrink=False) is None
    return drawn


def every(strategy: SearchStrategy[T], number: int = 200) -> set[T]:
    return set(draw(strategy, number))


# ---- sizes


@pytest.mark.parametrize(
    ("bounds", "sizes"),
    [
        ((1, 1), {1}),
        ((1, 6), {1, 2, 3, 4, 5, 6}),
        ((10, 13), {10, 11, 12, 13}),
        ((2, 66), set(range(2, 41)) | {63, 64, 65}),
        ((9, 66), set(range(9, 46)) | {63, 64, 65}),
        ((60, 66), set(range(60, 67))),
        ((64, 64), {64}),
        ((514, 520), set(range(514, 521))),
    ],
)
def test_sizes_are_at_most_40_or_five_times_the_smallest_or_beside_a_power_of_two(
    bounds: tuple[int, int], sizes: set[int]
) -> None:
    assert every(strategies.cardinalities(min_size=bounds[0], max_size=bounds[1]), 300) == sizes


def test_sizes_are_up_to_513_by_default() -> None:
    assert every(strategies.cardinalities(), 300) == set(range(1, 41)) | BOUNDARIES


# ---- partitions


def compositions(n: int, parts: int) -> set[tuple[int, ...]]:
    """Return all ways to write `n` as a sum of so many positive numbers."""
    return {sizes for sizes in product(range(1, n + 1), repeat=parts) if sum(sizes) == n}


@pytest.mark.parametrize(
    ("n", "max_parts", "expected"),
    [
        (1, 8, {(1,)}),
        (2, 8, {(1, 1)}),
        (4, 1, {(4,)}),
        (5, 2, compositions(5, 2)),
        (4, 2, compositions(4, 2) | {(1,) * 4}),
        (5, 3, compositions(5, 2) | compositions(5, 3) | {(1,) * 5}),
        (4, 8, compositions(4, 2) | compositions(4, 3) | compositions(4, 4)),
    ],
)
def test_a_set_is_cut_in_all_ways_into_few_chunks_or_into_its_elements(
    n: int, max_parts: int, expected: set[tuple[int, ...]]
) -> None:
    assert every(strategies.partitions(n, max_parts=max_parts)) == expected


def test_up_to_16_elements_may_all_be_chunks_by_default() -> None:
    assert (1,) * 16 in every(strategies.partitions(16), 40)
    assert max(len(sizes) for sizes in draw(strategies.partitions(17), 40)) <= 8


def test_one_element_is_split_off_from_some_large_sets() -> None:
    drawn = draw(strategies.partitions(513), 60)
    split_off = [sizes for sizes in drawn if sizes in {(1, 512), (512, 1)}]
    assert 2 < len(split_off) < 40
    assert {sum(sizes) for sizes in drawn} == {513}


@pytest.mark.parametrize("n", [2, 5, 64, 65, 66])
def test_a_cut_is_at_any_place_between_two_elements(n: int) -> None:
    assert every(strategies._cuts(n), 160) == set(range(1, n))


def test_no_integer_that_is_drawn_spans_100_or_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis mixes constants into wider integers; which ones depends on its version."""
    integers, spans = st.integers, []

    def record(smallest: int, largest: int) -> SearchStrategy[int]:
        spans.append(largest - smallest)
        return integers(smallest, largest)

    monkeypatch.setattr(st, "integers", record)
    for n in (2, 65, 100, 101, 513):
        strategies._cuts(n)
    strategies.cardinalities()
    draw(strategies.examples(), 5)
    assert len(spans) > 12
    assert 0 <= min(spans) <= max(spans) < 100


# ---- seeds and examples


def test_a_seed_has_three_digits() -> None:
    base = strategies.BASE
    digits = every(strategies._DIGITS)
    assert digits == set(range(base))

    def seed_of(*chosen: int) -> int:
        following = iter(chosen)

        def choose(strategy: SearchStrategy[Any]) -> Any:
            return next(following)

        return strategies._draw_seed(_as_draw(choose))

    assert seed_of(5, 3, 2) == 5 * base**2 + 3 * base + 2
    assert seed_of(*[base - 1] * 3) == base**3 - 1


def _as_draw(choose: Any) -> DrawFn:
    draw_fn: DrawFn = choose
    return draw_fn


def test_an_example_is_a_batch_of_all_kinds_in_any_arrangement() -> None:
    drawn = draw(strategies.examples(), 60)
    assert {example.kinds for example in drawn} == {ALL_KINDS}
    assert {example.variant for example in drawn} == {0}
    assert {example.arrangement for example in drawn} == set(ARRANGEMENTS)
    assert min(example.n for example in drawn) == 1
    assert max(example.n for example in drawn) > 64
    assert len({example.seed for example in drawn}) > 20
    assert len({example.sizes for example in drawn}) > 20


def test_an_example_has_a_set_of_one_of_the_kinds_if_asked() -> None:
    drawn = draw(strategies.examples(kinds=(4, 2), all_kinds=False, variants=3, min_size=3, max_size=4), 60)
    assert {example.kinds for example in drawn} == {(4,), (2,)}
    assert {example.variant for example in drawn} == {0, 1, 2}
    assert {example.n for example in drawn} == {3, 4}
    batches = draw(strategies.examples(kinds=(4, 2), max_size=2), 20)
    assert {example.kinds for example in batches} == {(4, 2)}


# ---- sets and permutations


def test_batches_of_sets_have_the_shape_and_type_that_are_asked_for() -> None:
    drawn = draw(strategies.sets(3, batch_size=2, min_size=2, max_size=5, dtype=torch.float64), 40)
    assert {x.dtype for x in drawn} == {torch.float64}
    assert {tuple(x.shape) for x in drawn} == {(2, n, 3) for n in (2, 3, 4, 5)}


def test_a_set_is_one_of_float32_and_small_by_default() -> None:
    drawn = draw(strategies.sets(2), 60)
    assert {x.dtype for x in drawn} == {torch.float32}
    assert {x.shape[::2] for x in drawn} == {torch.Size((1, 2))}
    sizes = [x.shape[1] for x in drawn]
    assert min(sizes) == 1
    assert 20 < max(sizes) <= 40


def test_each_set_of_a_batch_has_a_kind_and_data_of_its_own() -> None:
    drawn = draw(strategies.sets(2, batch_size=3, min_size=4, max_size=4), 60)
    are_constant = [(x == x[:, :1]).flatten(1).all(1).tolist() for x in drawn]
    assert any(any(row) and not all(row) for row in are_constant)
    assert sum(1 for x in drawn if float(x.max()) > 500) > 3  # offset by 1000
    firsts = {float(x[0, 0, 0]) for x in drawn}
    assert len(firsts) > 20


@pytest.mark.parametrize(("n", "number"), [(1, 1), (3, 6), (4, 24)])
def test_permutations_are_all_of_them(n: int, number: int) -> None:
    drawn: Sequence[list[int]] = draw(strategies.permutations(n), 100)
    assert len({tuple(permutation) for permutation in drawn}) == number
    assert {tuple(sorted(permutation)) for permutation in drawn} == {tuple(range(n))}
