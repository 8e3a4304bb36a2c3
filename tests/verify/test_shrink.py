"""How a counterexample is made smaller: what is tried, in which order, and what is kept."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law_run import LawRun, Observation
from mbcbench.verify.shrink import _drop_elements, _drop_sets, _round_values, _single_sets, simplify
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.verify.helpers import numbers, subject_of
from tests.verify.law_helpers import Level, law_of

Ratio = Callable[[Example], float]


class Tries:
    """A run of a law on one-dimensional elements, for which a function gives the ratio of gap and bound."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, ratio: Ratio, *, domain: Domain | None = None, min_size: int = 1
    ) -> None:
        law = law_of(lambda *_: None, min_size=min_size, batched=False)
        self.run = LawRun(law, [Subject(Level(1), 1, domain=domain)])
        self.ratio = ratio
        self.tried: list[Example] = []
        monkeypatch.setattr(self.run, "try_example", self.attempt)

    def attempt(self, example: Example) -> Observation:
        self.tried.append(example)
        return self.observe(example)

    def observe(self, example: Example) -> Observation:
        return Observation(example, gap=self.ratio(example), bound=1.0)

    @property
    def elements(self) -> list[list[float]]:
        """The elements that were tried, in their order of arrival."""
        return [elements(example) for example in self.tried]


def elements(example: Example) -> list[float]:
    assert example.values is not None
    return [example.values[i][0] for i in example.order or ()]


def counted(*sizes: int) -> Example:
    """Return an example of the elements 0, 1, ... in this order."""
    n = sum(sizes)
    return Example(sizes=sizes, values=tuple((float(i),) for i in range(n)), order=tuple(range(n)))


def of_batch(number: int) -> Example:
    return Example(sizes=(1,), kinds=tuple(range(number)))


# ---- sets


def test_sets_are_dropped_one_by_one_from_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda example: 2.0 if 2 in example.kinds else 0.5)
    simple = _drop_sets(tries.run, tries.observe(of_batch(4)))
    assert simple.example.kinds == (2,)
    assert simplify(tries.run, tries.observe(of_batch(4)), drop_elements=True) == simple  # of a law about a batch
    del tries.tried[4:]
    assert [example.kinds for example in tries.tried] == [(0, 1, 2), (0, 1), (0, 2), (2,)]


def test_a_batch_of_one_set_is_not_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda _: 2.0)
    for number in (1, 2):
        tries.tried.clear()
        assert _drop_sets(tries.run, tries.observe(of_batch(number))).example.kinds == (0,)
        assert len(tries.tried) == number - 1


@pytest.mark.parametrize(("number", "at_once"), [(31, 1), (32, 2), (47, 2), (48, 3), (64, 4)])
def test_of_a_large_batch_a_sixteenth_is_dropped_at_once(
    number: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Tries(monkeypatch, lambda example: 2.0 if {3, 20} <= set(example.kinds) else 0.5)
    simple = _drop_sets(tries.run, tries.observe(of_batch(number)))
    assert simple.example.kinds == (3, 20)
    assert len(tries.tried[0].kinds) == number - at_once


def test_single_sets_are_tried_the_worst_first_with_four_seeds_each() -> None:
    gaps = numbers(1, 5, 3, 6, 2, 4)
    run = LawRun(law_of(lambda *_: Comparison(gaps, 0 * gaps + 1e-3)), [subject_of(Level)])
    example = Example(sizes=(2, 1), kinds=(0, 1, 2, 3, 4, 5), arrangement="shuffled", seed=7, variant=1)
    data = ExampleData(example, 3)
    singles = list(_single_sets(run, example))
    assert [(single.kinds, single.seed) for single in singles] == [
        ((row,), seed) for row in (3, 1, 5, 2) for seed in (7, 8, 9, 10)
    ]
    for single in singles:
        row = single.kinds[0]
        alone = ExampleData(single, 3)
        assert torch.equal(alone.x[0], data.x[row])
        assert torch.equal(alone.order[0], data.order[row])
        assert (single.sizes, single.variant) == ((2, 1), 1)


# ---- elements


def test_halves_then_single_elements_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda example: 2.0 if example.n == 4 else 0.5)
    observation = tries.observe(counted(3, 1))
    assert _drop_elements(tries.run, observation) is observation
    assert tries.elements == [[2, 3], [0, 1], [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_the_next_elements_are_dropped_after_others_were(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda example: 2.0 if 4 in elements(example) else 0.5)
    assert elements(_drop_elements(tries.run, tries.observe(counted(5))).example) == [4]
    assert tries.elements == [[2, 3, 4], [4]]


@pytest.mark.parametrize(("removable", "is_removed"), [(0, True), (127, True), (128, False)])
def test_elements_are_dropped_until_128_attempts_in_a_row_fail(
    removable: int, is_removed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ratio(example: Example) -> float:
        return 2.0 if example.n > 138 and set(range(140)) - set(elements(example)) <= {removable} else 0.5

    tries = Tries(monkeypatch, ratio)
    assert _drop_elements(tries.run, tries.observe(counted(140))).example.n == 140 - is_removed


@pytest.mark.parametrize(("distance", "n"), [(128, 138), (129, 139)])
def test_failed_attempts_are_counted_from_the_last_one_that_succeeded(
    distance: int, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ratio(example: Example) -> float:
        return 2.0 if set(range(140)) - set(elements(example)) <= {5, 5 + distance} else 0.5

    tries = Tries(monkeypatch, ratio)
    assert _drop_elements(tries.run, tries.observe(counted(140))).example.n == n


def test_no_elements_are_dropped_that_the_law_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda _: 2.0, domain=Domain(min_size=2), min_size=2)
    assert _drop_elements(tries.run, tries.observe(counted(3))).example.n == 3
    assert tries.tried == []
    of_two = Tries(monkeypatch, lambda _: 2.0, min_size=2)
    assert elements(_drop_elements(of_two.run, of_two.observe(counted(3))).example) == [1, 2]
    assert of_two.elements == [[1, 2]]


@pytest.mark.parametrize("n", [4, 7, 9])
def test_no_set_is_tried_that_is_smaller_than_those_of_the_law(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda _: 2.0, min_size=3)
    assert _drop_elements(tries.run, tries.observe(counted(n))).example.n == 3
    assert min(example.n for example in tries.tried) == 3


def test_chunks_are_not_made_smaller_than_the_encoder_admits(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda _: 2.0, domain=Domain(min_size=2, every_chunk=True))
    assert elements(_drop_elements(tries.run, tries.observe(counted(3, 2))).example) == [1, 2, 3, 4]
    assert [example.sizes for example in tries.tried] == [(2, 2)]


def test_elements_are_kept_without_which_a_fault_is_less_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda example: float(example.n))
    assert _drop_elements(tries.run, tries.observe(counted(4))).example.n == 4
    clear = Tries(monkeypatch, lambda example: 1000.0 * example.n)
    assert _drop_elements(clear.run, clear.observe(counted(4))).example.n == 1


# ---- numbers


def rounded(tries: Tries, *values: float) -> list[float]:
    """Return the numbers that are left of these."""
    example = replace(counted(len(values)), values=tuple((value,) for value in values))
    return elements(_round_values(tries.run, tries.observe(example)).example)


def test_numbers_are_replaced_by_the_simplest_ones_that_show_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda _: 2.0)
    assert rounded(tries, 0.7, 0.26) == [0, 0]
    assert tries.elements == [[1, 1], [0, 1], [0, 0]]


def test_numbers_are_rounded_where_other_ones_do_not_show_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda example: 2.0 if elements(example)[0] == 0.3 else 0.5)
    assert rounded(tries, 0.3, 0.26) == [0.3, 0]
    assert tries.elements == [[1, 1], [0, 1], [0, 0], [0.3, 0.3], [0, 0.3], [0.3, 0]]


def test_numbers_are_kept_without_which_a_fault_is_less_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(monkeypatch, lambda example: max(elements(example)))
    assert rounded(tries, 5.26, 4.04) == [5.3, 0]
    clear = Tries(monkeypatch, lambda example: 1000.0 * max(elements(example)))
    assert rounded(clear, 5.26, 4.04) == [0, 1]


@pytest.mark.parametrize(("n", "num_zeros"), [(64, 64), (65, 0)])
def test_up_to_64_numbers_are_replaced_by_zeros_one_by_one(
    n: int, num_zeros: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Tries(monkeypatch, lambda _: 2.0)
    assert rounded(tries, *[0.5] * n).count(0) == num_zeros
    assert len(tries.tried) == 1 + num_zeros


# ---- all steps


class Doubled(Level):
    level = 0.5


def simplified(example: Example, ratios: dict[type[nn.Module], float], *, drop_elements: bool = True) -> Observation:
    """Simplify a counterexample to a law that is broken by each encoder by a ratio of its own."""

    def check(subject: Subject, data: ExampleData) -> Comparison:
        one = torch.ones(len(data.x), dtype=torch.float64)
        return Comparison(1e-3 * one * ratios[type(subject.module)], 1e-3 * one, scale=1e3 * one)

    run = LawRun(law_of(check), [subject_of(encoder) for encoder in ratios])
    return simplify(run, run.try_example(example), drop_elements=drop_elements)


@pytest.mark.parametrize(
    ("ratio", "ratio_of_variant", "variant"),
    [(2.0, 2.0, 0), (2.0, 3.0, 1), (3.0, 2.0, 0), (0.5, 2.0, 1), (1500.0, 3000.0, 0), (900.0, 3000.0, 1)],
)
def test_parameters_as_built_replace_others_if_the_fault_is_no_less_clear(
    ratio: float, ratio_of_variant: float, variant: int
) -> None:
    example = Example(sizes=(2,), kinds=(0, 0), variant=1)
    simple = simplified(example, {Level: ratio, Doubled: ratio_of_variant})
    assert simple.example.variant == variant
    assert simple.example.n == 1
    assert simple.example.values == ((0.0, 0.0, 0.0),)


@pytest.mark.parametrize(("n", "is_written_out"), [(1024, True), (1025, False)])
def test_the_data_of_up_to_1024_elements_are_written_out(n: int, is_written_out: bool) -> None:
    simple = simplified(Example(sizes=(n,)), {Level: 2.0}, drop_elements=False)
    assert simple.example.n == n
    assert (simple.example.values is not None) == is_written_out


def test_a_fault_that_needs_two_sets_keeps_two() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        gap = torch.full((len(data.x),), float(len(data.x) > 1), dtype=torch.float64)
        return Comparison(gap, 0 * gap, scale=1 + 0 * gap)

    run = LawRun(law_of(check), [subject_of(Level)])
    simple = simplify(run, run.try_example(Example(sizes=(3,), kinds=(0, 1, 2))), drop_elements=True)
    assert simple.example.kinds == (0, 1)
    assert simple.example.values is None
