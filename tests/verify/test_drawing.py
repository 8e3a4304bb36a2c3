"""How values are drawn and made smaller, and what is returned."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import errors, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.internal.conjecture import providers

from mbcbench.verify import drawing
from mbcbench.verify.drawing import try_drawn
from mbcbench.verify.example import Example
from mbcbench.verify.law_run import Observation

EXAMPLE = Example(sizes=(1,))
NUMBERS = st.lists(st.integers(0, 50), min_size=3, max_size=6)
Tried = list[tuple[Sequence[int], Observation]]


def recorder(is_broken: Callable[[Sequence[int]], bool]) -> tuple[Callable[[list[int]], Observation], Tried]:
    """Return a function that tries values, and the list of what it has tried and found."""
    tried: Tried = []

    def attempt(value: list[int]) -> Observation:
        observation = Observation(EXAMPLE, gap=float(is_broken(value)), note=str(len(tried)))
        tried.append((value, observation))
        return observation

    return attempt, tried


def is_large(value: Sequence[int]) -> bool:
    return sum(value) > 60


def failing(tried: Tried) -> list[Observation]:
    return [observation for _, observation in tried if observation.is_counterexample]


def test_as_many_values_are_tried_as_asked_for_if_none_fails() -> None:
    attempt, tried = recorder(lambda value: False)
    assert try_drawn(NUMBERS, attempt, max_examples=25, seed=0, shrink=True) is None
    assert len(tried) == 25


def test_a_seed_decides_what_is_tried() -> None:
    tried_with = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        attempt, tried = recorder(is_large)
        try_drawn(NUMBERS, attempt, max_examples=25, seed=seed, shrink=False)
        tried_with[name] = [value for value, _ in tried]
    assert tried_with["first"] == tried_with["again"] != tried_with["other"]


def test_the_smallest_counterexample_is_tried_and_returned_last() -> None:
    attempt, tried = recorder(is_large)
    found = try_drawn(NUMBERS, attempt, max_examples=200, seed=0, shrink=True)
    assert found is failing(tried)[-1]
    value, _ = tried[int(found.note)]
    assert sum(value) == 61
    assert len(value) == 3
    assert len(failing(tried)) > 3


def test_the_first_counterexample_is_returned_unless_a_smaller_one_is_asked_for() -> None:
    attempt, tried = recorder(is_large)
    found = try_drawn(NUMBERS, attempt, max_examples=200, seed=0, shrink=False)
    assert found is failing(tried)[-1]
    assert len({tuple(value) for value, observation in tried if observation.is_counterexample}) == 1


@pytest.mark.parametrize("limit", [1, 4, 9])
def test_a_counterexample_is_made_smaller_with_a_limited_number_of_attempts(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MAX_SHRINKS", limit)
    attempt, tried = recorder(is_large)
    found = try_drawn(NUMBERS, attempt, max_examples=200, seed=0, shrink=True)
    first = [observation.is_counterexample for _, observation in tried].index(True)
    assert len(tried) == first + 1 + limit
    assert found is failing(tried)[-1]


def test_an_attempt_that_raises_once_and_not_again_is_an_error() -> None:
    numbers = iter(range(1000))

    def attempt(value: list[int]) -> Observation:
        if next(numbers) == 3:
            raise RuntimeError("only once")
        return Observation(EXAMPLE)

    with pytest.raises(errors.Flaky):
        try_drawn(NUMBERS, attempt, max_examples=20, seed=0, shrink=True)


def test_an_error_of_an_attempt_is_passed_on() -> None:
    def attempt(value: list[int]) -> Observation:
        raise KeyError(len(value))

    with pytest.raises(KeyError):
        try_drawn(NUMBERS, attempt, max_examples=20, seed=0, shrink=True)


@pytest.mark.skipif(not hasattr(providers, "_get_local_constants"), reason="this Hypothesis collects no constants")
def test_no_constants_are_collected_while_values_are_drawn() -> None:
    collect = providers._get_local_constants
    with drawing._without_local_constants():
        assert not providers._get_local_constants().integers
        assert not providers._get_local_constants().strings
    assert providers._get_local_constants is collect


def test_a_version_of_hypothesis_that_collects_no_constants_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(providers, "_get_local_constants", raising=False)
    with drawing._without_local_constants():
        assert not hasattr(providers, "_get_local_constants")


def test_a_fraction_of_a_value_counts_as_one() -> None:
    assert [drawing._settings(number, shrink=True).max_examples for number in (0, 1, 2, 5)] == [1, 1, 2, 5]


def test_no_examples_are_stored_even_if_the_active_profile_has_a_database() -> None:
    active = settings.get_current_profile_name()
    settings.register_profile("with database", database=InMemoryExampleDatabase())
    settings.load_profile("with database")
    try:
        assert drawing._settings(5, shrink=True).database is None
    finally:
        settings.load_profile(active)
