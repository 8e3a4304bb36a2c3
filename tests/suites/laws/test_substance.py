"""Laws that a constant breaks: what they try, and from where on a change counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.records.record import Status
from mbcbench.suites.laws import substance
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Slots
from tests.suites.laws.helpers import EPS, Recording, law_says
from tests.verify.helpers import WIDTH, check, data_of, holds, results, subject_of

Values = tuple[tuple[float, ...], ...]


class Spread(Recording):
    """The sum over elements of the difference of their largest and smallest coordinate."""

    def pool(self, x: Tensor) -> Tensor:
        return (x.amax(2) - x.amin(2)).sum(1, keepdim=True)


class LargestElement(Recording):
    def pool(self, x: Tensor) -> Tensor:
        return x.amax(1)


class SmallestElement(Recording):
    def pool(self, x: Tensor) -> Tensor:
        return x.amin(1)


class SumOfSquares(Recording):
    def pool(self, x: Tensor) -> Tensor:
        return x.square().sum(1)


class Given(nn.Module):
    """Returns given encodings, one after the other."""

    def __init__(self, encodings: list[Tensor]) -> None:
        super().__init__()
        self.encodings = iter(encodings)

    def forward(self, x: Tensor) -> Tensor:
        return next(self.encodings)


def given(law: str, data: ExampleData, *encodings: Tensor) -> Comparison:
    """Return what a law says about an encoder with these encodings."""
    return law_says(law, Subject(Given(list(encodings)), WIDTH), data)


# ---- changes


@pytest.mark.parametrize(
    ("actual", "is_changed"),
    [
        ([[1.0], [1.0]], False),
        ([[1.0], [1.0 + 7600 * EPS]], False),  # 4 eps sqrt(4) is 8 eps
        ([[1.0], [1.0 + 8400 * EPS]], True),
        ([[1.0 - 8400 * EPS], [1.0]], True),
        ([[1.0, 1.0], [1.0, 1.0]], True),
    ],
)
def test_a_change_of_one_set_by_a_thousand_times_its_rounding_counts(
    actual: list[list[float]], is_changed: bool
) -> None:
    expected = torch.ones(2, 1, dtype=torch.float64)
    assert substance.is_changed(torch.tensor(actual, dtype=torch.float64), expected, 4) is is_changed


def test_encodings_of_zeros_are_not_changed() -> None:
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    assert substance.is_changed(zeros, zeros, 4) is False


@pytest.mark.parametrize(("change", "is_distinguished"), [(7600, False), (8400, True)])
def test_a_set_is_told_from_others_beyond_the_rounding_of_one_element_more(change: int, is_distinguished: bool) -> None:
    one = torch.ones(2, 1, dtype=torch.float64)
    subject = Subject(Given([one, one, one + change * EPS]), 1)
    sets = [torch.zeros(2, n, 1) for n in (3, 4, 4)]
    assert substance._can_distinguish(subject, sets) is is_distinguished


# ---- elements


def inserted(others: Tensor, position: int, element: Tensor) -> Tensor:
    rows = list(others.unbind(1))
    rows.insert(position, element)
    return torch.stack(rows, 1)


def test_an_element_is_moved_left_out_and_replaced_by_zeros() -> None:
    data, subject = data_of(4), subject_of(Recording)
    comparison = law_says("substance.elements", subject, data)
    assert comparison.note == "an element of zeros changes nothing"  # to a sum without a bias
    position, coordinate = data.choices["element and coordinate"]
    others = torch.cat([data.x[:, :position], data.x[:, position + 1 :]], 1)
    element, zero = data.x[:, position], torch.zeros(2, WIDTH, dtype=torch.float64)
    direction = torch.eye(WIDTH, dtype=torch.float64)[coordinate]

    def present(value: Tensor, rest: Tensor = others) -> Tensor:
        return inserted(rest, position, value)

    tried = [
        *(present(element + shift * direction) for shift in (0.0, 5.2, -5.2)),
        *(others, present(element), present(zero + 5.2), present(zero - 5.2)),
        *(others, present(zero)),
        *(others + 5.2, present(zero, others + 5.2)),
        *(others - 5.2, present(zero, others - 5.2)),
    ]
    for actual, expected in zip(subject.module.inputs, tried, strict=True):
        torch.testing.assert_close(actual, expected, atol=0.05, rtol=0)


class KeepsElements(Recording):
    """Has as many outputs as elements and coordinates."""

    def pool(self, x: Tensor) -> Tensor:
        return x.flatten(1)


ALIKE: Values = ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0))  # in all coordinates


@pytest.mark.parametrize(
    ("encoder", "values", "note"),
    [
        (Spread, ALIKE, "leaving an element out changes nothing"),
        (LargestElement, ALIKE, ""),
        (SmallestElement, ALIKE, ""),
        (Recording, ALIKE, "an element of zeros changes nothing"),
        (KeepsElements, ALIKE, ""),
    ],
)
def test_what_shows_that_elements_count_is_enough(encoder: type[nn.Module], values: Values, note: str) -> None:
    data = ExampleData(Example(sizes=(len(values),), values=values), WIDTH)
    comparison = law_says("substance.elements", subject_of(encoder), data)
    assert comparison.note == note
    assert comparison.gap.tolist() == [torch.inf if note else 0.0]


def test_an_encoder_that_no_coordinate_moves_is_described() -> None:
    one = torch.ones(2, 1, dtype=torch.float64)
    comparison = given("substance.elements", data_of(3), one, one, one)
    assert comparison.note == "moving a coordinate of an element changes nothing"
    assert comparison.gap.tolist() == [torch.inf, torch.inf]


# ---- slots


class FaintSlots(nn.Module):
    """Encodes a set as one, and as slightly more if its slots are not zero."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        return {"slots": torch.zeros(batch_size, 2, 1, dtype=torch.float64)}

    def update(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        return state

    def readout(self, state: dict[str, Tensor]) -> Tensor:
        return 1 + 2e4 * EPS * (state["slots"] != 0).any(2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.init_state(len(x)))


@pytest.mark.parametrize(("n", "note"), [(4, ""), (100, "other slots give the same encoding")])
def test_other_slots_count_beyond_the_rounding_of_so_many_elements(n: int, note: str) -> None:
    comparison = check("substance.slots", FaintSlots, n)
    assert (comparison.note, holds(comparison)) == (note, not note)


# ---- attention


def test_an_affine_function_is_looked_for_from_two_places_with_one_step() -> None:
    data, subject = data_of(5), subject_of(Recording)
    assert law_says("substance.attention", subject, data).note == "the encoding is affine in the elements"
    moved, start, moved_elsewhere, elsewhere = subject.module.inputs
    assert torch.equal(start, data.x)
    torch.testing.assert_close(moved - start, moved_elsewhere - elsewhere)
    assert not torch.allclose(moved - start, elsewhere - start)
    assert bool(((moved != start) & (elsewhere != start)).all())
    assert holds(law_says("substance.attention", subject_of(SumOfSquares), data))


@pytest.mark.parametrize(("curvature", "is_affine"), [(0, True), (30_000, True), (34_000, False)])
def test_a_curvature_counts_from_a_thousand_times_the_rounding_of_encoding_and_change(
    curvature: int, is_affine: bool
) -> None:
    data = data_of(4)
    zero = torch.zeros(2, 1, dtype=torch.float64)
    curved = torch.tensor([[0.0], [curvature * EPS]], dtype=torch.float64)  # in one of the sets
    comparison = given("substance.attention", data, zero + 1, zero, zero + 3, zero + 2 + curved)
    assert (not holds(comparison)) is is_affine


def test_an_encoding_of_zeros_is_affine() -> None:
    zero = torch.zeros(2, 1, dtype=torch.float64)
    assert not holds(given("substance.attention", data_of(4), zero, zero, zero, zero))


# ---- interactions


def test_interactions_are_second_differences_of_two_elements() -> None:
    data, subject = data_of(5), subject_of(Recording)
    assert holds(law_says("substance.interactions", subject, data))
    expected = [[0, 1, 2, 3, 4], [0, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4]]
    for x, elements in zip(subject.module.inputs[:4], expected, strict=True):
        assert torch.equal(x, data.x[:, elements])
        assert x.is_contiguous()
    assert not holds(law_says("substance.interactions", subject_of(LargestElement), data))


def test_an_encoder_is_classified_by_its_interactions_and_fails_nothing() -> None:
    classes = [results(encoder, "substance.interactions")[0] for encoder in (Mean, LargestElement)]
    assert [(result.status, result.message) for result in classes] == [
        (Status.OK, "additive before the read-out"),
        (Status.OK, "models interactions"),
    ]


def test_encodings_that_grow_with_the_set_have_no_differences() -> None:
    with pytest.raises(NotApplicable, match="sets of different sizes have encodings of different shapes"):
        check("substance.interactions", KeepsElements, 4)


class TwoTotals(Slots):
    """Adds up, and reads out a product."""

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).prod(1)


def test_a_state_that_adds_up_has_no_interactions_whatever_is_read_out() -> None:
    assert holds(check("substance.interactions", TwoTotals, 4))


class GivenState(nn.Module):
    """Has the state that a function makes of the elements."""

    def __init__(self, state: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.state = state

    def init_state(self, batch_size: int) -> Any:
        return None

    def update(self, state: Any, x: Tensor) -> Any:
        return self.state(x)


def test_a_state_is_compared_as_the_leaves_with_a_row_for_each_set() -> None:
    x = torch.arange(30, dtype=torch.float64).reshape(2, 5, 3)
    leaves = [torch.tensor(8.0), x[:, 0, 0].int(), torch.ones(3, 2), x[:, :2]]
    flat = substance._flat_state(GivenState(lambda x: leaves), x)
    assert flat.dtype == torch.float64
    assert flat.tolist() == [[0.0, 0, 1, 2, 3, 4, 5], [15.0, 15, 16, 17, 18, 19, 20]]
    assert substance._flat_state(GivenState(lambda x: leaves[:1]), x).shape == (2, 0)


@pytest.mark.parametrize(
    ("state", "is_fixed"),
    [
        (lambda x: x.sum(1), True),
        (lambda x: x.sum((1, 2)), True),
        (lambda x: x, False),
        (lambda x: x.sum(), False),
    ],
)
def test_a_state_has_a_fixed_size_if_its_sets_have_equally_many_entries(
    state: Callable[[Tensor], Tensor], is_fixed: bool
) -> None:
    sets = [torch.zeros(2, n, WIDTH) for n in (4, 3)]
    assert substance._has_fixed_size_state(GivenState(state), sets) is is_fixed
