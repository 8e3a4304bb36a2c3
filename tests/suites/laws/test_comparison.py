"""Comparisons that are not the gap between two encodings, and what is done about errors of an encoder."""

from collections.abc import Callable, Mapping

import pytest
import torch

from mbcbench.suites.laws import comparison as compared
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.tolerance import Comparison
from tests.verify.helpers import data_of, numbers

EPS = torch.finfo(torch.float64).eps


def of(gap: tuple[float, ...], bound: tuple[float, ...], note: str = "", scale: tuple[float, ...] = ()) -> Comparison:
    return Comparison(numbers(*gap), numbers(*bound), note, numbers(*scale) if scale else None)


def raising(error: Exception) -> Callable[[], str]:
    def call() -> str:
        raise error

    return call


def test_without_a_gap_each_set_keeps_the_law_and_in_a_violation_each_breaks_it() -> None:
    holds, broken = compared.no_gap(data_of(sets=3)), compared.violation(data_of(sets=3), "it is broken")
    assert (holds.gap.tolist(), holds.bound.tolist(), holds.note) == ([0.0] * 3, [0.0] * 3, "")
    assert (broken.gap.tolist(), broken.bound.tolist(), broken.note) == ([torch.inf] * 3, [0.0] * 3, "it is broken")
    assert {values.dtype for values in (*holds[:2], *broken[:2])} == {torch.float64}


# ---- errors


def test_an_error_is_a_violation_unless_memory_ran_out() -> None:
    broken = compared.violation_by_error(data_of(), "a stream", ValueError("too\nlong"))
    assert broken.gap.tolist() == [torch.inf, torch.inf]
    assert broken.note == "a stream raises ValueError: too"
    with pytest.raises(MemoryError):
        compared.violation_by_error(data_of(), "a stream", MemoryError())


def test_only_a_value_error_with_a_message_is_a_refusal() -> None:
    assert compared.unless_refused(lambda: "encoding") == "encoding"
    assert compared.unless_refused(raising(ValueError("too long"))) is None
    for error in (ValueError(" "), ValueError()):
        with pytest.raises(ValueError, match=r"^ ?$"):
            compared.unless_refused(raising(error))
    with pytest.raises(RuntimeError, match="too long"):
        compared.unless_refused(raising(RuntimeError("too long")))


def test_any_error_but_two_is_left_to_another_law() -> None:
    assert compared.unless_raised(lambda: "encoding") == "encoding"
    for error in (ValueError("too long"), ValueError(), RuntimeError("too long")):
        assert compared.unless_raised(raising(error)) is None
    with pytest.raises(NotApplicable):
        compared.unless_raised(raising(NotApplicable("too long")))
    with pytest.raises(MemoryError):
        compared.unless_raised(raising(MemoryError()))


def test_a_refusal_makes_a_law_inapplicable() -> None:
    done = []
    with compared.skipping_refusals("a long set"):
        done.append("encoded")
    assert done == ["encoded"]
    is_refused = pytest.raises(NotApplicable, match=r"^a long set is refused: ValueError: too long$")
    with is_refused as caught, compared.skipping_refusals("a long set"):
        raise ValueError("too long")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ValueError, match=r"^$"), compared.skipping_refusals("a long set"):
        raise ValueError


# ---- parts of a batch


def test_sets_of_a_batch_take_their_places_in_it() -> None:
    rows = torch.tensor([3, 1, 3])
    whole = compared.of_sets(of((1, 2, 3), (6, 5, 4), "a note", scale=(7, 9, 8)), rows, data_of(sets=4))
    assert whole.note == "a note"
    assert whole.gap.tolist() == [0, 2, 0, 3]
    assert whole.bound.tolist() == [0, 5, 0, 6]
    assert whole.scale is not None
    assert whole.scale.tolist() == [0, 9, 0, 8]


def test_sets_that_were_compared_in_float32_or_without_a_scale_have_one_in_float64() -> None:
    comparison = Comparison(torch.ones(1), torch.ones(1))
    whole = compared.of_first_sets(comparison, data_of(sets=2))
    assert whole.scale is not None
    assert [values.tolist() for values in (whole.gap, whole.bound, whole.scale)] == [[1, 0], [1, 0], [0, 0]]
    assert {values.dtype for values in (whole.gap, whole.bound, whole.scale)} == {torch.float64}


def test_the_first_sets_of_a_batch_keep_their_order() -> None:
    assert compared.of_first_sets(of((1, 2), (3, 4)), data_of(sets=3)).gap.tolist() == [1, 2, 0]


# ---- encodings that are the same


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("epsilons", "is_same"), [(0, True), (5e4, True), (1.5e5, False), (1e9, False)])
def test_encodings_are_the_same_up_to_rounding(size: float, epsilons: float, is_same: bool) -> None:
    a = torch.full((2, 3), size, dtype=torch.float64)
    b = a.clone()
    b[1, 2] += size * epsilons * EPS
    assert compared.are_same(a, b) is is_same


def test_encodings_of_zeros_are_the_same_and_those_of_another_shape_are_not() -> None:
    zeros = torch.zeros(2, 3)
    assert compared.are_same(zeros, zeros)
    assert compared.are_same(zeros.requires_grad_(), zeros)
    assert not compared.are_same(zeros, zeros[:, :1])
    assert not compared.are_same(zeros, torch.zeros(2, 4))


# ---- the worse of two parts


def test_of_two_comparisons_each_set_has_the_one_with_the_larger_ratio() -> None:
    a, b = of((1, 6, 1), (1, 1, 0), "a", scale=(1, 2, 3)), of((4, 2, 5), (2, 1, 0), "b", scale=(4, 5, 6))
    for first, second, gap, bound, scale in (
        (a, b, [4, 6, 1], [2, 1, 0], [4, 2, 3]),
        (b, a, [4, 6, 5], [2, 1, 0], [4, 2, 6]),
    ):
        worse = compared.worse(first, second)
        assert (worse.gap.tolist(), worse.bound.tolist()) == (gap, bound)
        assert worse.scale is not None
        assert worse.scale.tolist() == scale
        assert worse.note == second.note


@pytest.mark.parametrize(("gap", "note", "expected"), [(2, "b", "b"), (2, "", "a"), (1, "b", "a"), (0, "b", "a")])
def test_the_note_is_that_of_the_worse_part_if_it_has_one(gap: float, note: str, expected: str) -> None:
    assert compared.worse(of((1,), (1,), "a"), of((gap,), (1,), note)).note == expected


def test_encodings_that_were_not_compared_have_no_scale() -> None:
    with_scale, without = of((1, 4), (1, 1), scale=(3, 3)), of((2, 2), (1, 1))
    for first, second in ((with_scale, without), (without, with_scale)):
        scale = compared.worse(first, second).scale
        assert scale is not None
        assert scale.tolist() == [0, 3]


KEPT, BROKEN = of((0,), (1,)), of((2,), (1,))


@pytest.mark.parametrize(
    ("first", "second", "choices"),
    [
        (KEPT, KEPT, {"order": 1, "position": 2}),
        (BROKEN, KEPT, {"order": 1}),
        (KEPT, BROKEN, {"position": 2}),
        (BROKEN, BROKEN, {"order": 1}),
    ],
)
def test_a_counterexample_shows_the_choices_of_the_part_that_fails(
    first: Comparison, second: Comparison, choices: Mapping[str, int]
) -> None:
    data = data_of(sets=1)
    data.choices["order"] = 1

    def compare() -> Comparison:
        data.choices["position"] = 2
        return second

    comparison = compared.add_part(first, data, compare)
    assert comparison.is_broken == (first is BROKEN or second is BROKEN)
    assert data.choices == choices
