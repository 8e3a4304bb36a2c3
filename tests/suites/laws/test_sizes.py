"""Large sets: which sizes are tried, what is compared with what, and when a size is left out."""

import math

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import sizes
from mbcbench.verify.cost import Cost
from mbcbench.verify.domain import Domain
from mbcbench.verify.law import NotApplicable, get_law
from mbcbench.verify.search import search
from mbcbench.verify.subject import Subject
from tests.suites.laws.helpers import EPS, Recording, law_says
from tests.verify.helpers import WIDTH, data_of, holds, subject_of

LAW = "symmetry.size"


class MeanOfElements(Recording):
    def pool(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Largest(Recording):
    """The largest element, which no rounding changes."""

    def pool(self, x: Tensor) -> Tensor:
        return x.amax(1)


class LastOfMany(Largest):
    """Sees the last elements only, from 26 elements on."""

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x[:, -25:])


class MoreThan25(Recording):
    """Depends on the number of elements from 26 on."""

    def pool(self, x: Tensor) -> Tensor:
        return x.amax(1) + (x.shape[1] if x.shape[1] > 25 else 0)


class First(Recording):
    """The first element."""

    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0]


class FirstOfFifteen(Largest):
    """The first element of 15, and the largest of any other number."""

    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0] if x.shape[1] == 15 else super().pool(x)


class FirstAndNumber(Recording):
    """Depends on order and on the number of elements."""

    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0] + x.shape[1]


class Refuses(Largest):
    """Refuses sets with more elements."""

    largest = 255

    def pool(self, x: Tensor) -> Tensor:
        if x.shape[1] > self.largest:
            raise ValueError(f"no more than {self.largest} elements")
        return super().pool(x)


class RefusesMoreThan300(Refuses):
    largest = 300


@pytest.mark.parametrize("n", [256, 512])
def test_each_set_is_permuted_and_a_few_elements_are_repeated(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_is_affordable", lambda subject, x: True)
    data, subject = data_of(n), subject_of(Largest)
    comparison = law_says(LAW, subject, data)
    assert holds(comparison)
    assert comparison.note == f"{n} elements in another order"
    inputs = subject.module.inputs
    small_sets = [10, 10, 15, 15, 25, 25]
    times = n // 5
    assert [x.shape[1] for x in inputs] == [256, n, *small_sets, n, *(10, 5, 15, 5, 25, 5), 5 * times, 5]
    whole, permuted = inputs[1], inputs[8]
    assert torch.equal(whole, data.x)
    assert not torch.equal(permuted, whole)
    assert torch.equal(permuted.sort(1).values, whole.sort(1).values)
    repeated, base = inputs[-2:]
    assert torch.equal(base, data.x[:, :5])
    assert torch.equal(repeated, torch.cat([base] * times, 1))


@pytest.mark.parametrize(
    ("encoder", "note"),
    [
        (MeanOfElements, ""),
        (LastOfMany, "256 elements in another order"),
        (MoreThan25, "5 elements, repeated 51 times"),
        (First, ""),  # depends on the order of few elements
    ],
)
def test_an_invariance_that_holds_for_few_elements_only_is_described(encoder: type[nn.Module], note: str) -> None:
    comparison = law_says(LAW, subject_of(encoder), data_of(256))
    assert holds(comparison) is not bool(note)
    assert not note or comparison.note == note


class OrderOfMany(MoreThan25):
    """Depends on order and on the number of elements from 26 on."""

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x) + (x[:, 0] if x.shape[1] > 25 else 0)


def test_both_invariances_are_described_if_both_break() -> None:
    comparison = law_says(LAW, subject_of(OrderOfMany), data_of(256))
    assert comparison.note == "256 elements in another order and 5 elements, repeated 51 times"


def test_an_invariance_that_few_elements_break_is_judged_by_other_laws() -> None:
    assert law_says(LAW, subject_of(First), data_of(256)).note == "5 elements, repeated 51 times"
    in_order = subject_of(LastOfMany, domain=Domain(order_sensitive=True))
    comparison = law_says(LAW, in_order, data_of(256))
    assert (holds(comparison), comparison.note) == (True, "5 elements, repeated 51 times")
    for encoder in (FirstAndNumber, FirstOfFifteen):
        with pytest.raises(NotApplicable, match="on small sets its encoding depends on order and on the number"):
            law_says(LAW, subject_of(encoder), data_of(256))


def test_more_elements_are_repeated_if_sets_need_more() -> None:
    data, subject = data_of(256), subject_of(Largest, domain=Domain(min_size=7))
    assert holds(law_says(LAW, subject, data))
    assert [x.shape[1] for x in subject.module.inputs[2:]] == [
        *(14, 14, 21, 21, 35, 35, 256),
        *(14, 7, 21, 7, 35, 7, 252, 7),
    ]


@pytest.mark.parametrize(
    ("encoder", "n", "refused"), [(Refuses, 512, 256), (RefusesMoreThan300, 512, 512), (RefusesMoreThan300, 256, None)]
)
def test_a_size_that_is_refused_is_left_out(encoder: type[nn.Module], n: int, refused: int | None) -> None:
    subject, data = subject_of(encoder), data_of(n)
    if refused is None:
        assert holds(law_says(LAW, subject, data))
        return
    with pytest.raises(NotApplicable, match=f"^a set of {refused} elements is refused with a message$"):
        law_says(LAW, subject, data)


def test_a_size_that_costs_too_much_is_left_out_except_the_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_is_affordable", lambda subject, x: False)
    assert holds(law_says(LAW, subject_of(Largest), data_of(256)))
    for n in (257, 512):
        with pytest.raises(NotApplicable, match=f"^{n} elements in one piece would take too much memory or time$"):
            law_says(LAW, subject_of(Largest), data_of(n))


@pytest.mark.parametrize(
    ("cost", "is_affordable"),
    [
        (Cost(30_000, 2**25, 2**30), True),
        (Cost(30_001, 2**25, 2**30), False),
        (Cost(30_000, 2**25 + 1, 2**30), False),
        (Cost(30_000, 2**25, 2**30 + 1), False),
    ],
)
def test_a_set_is_affordable_within_three_limits(
    cost: Cost, is_affordable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "predict_cost", lambda subject, x: cost)
    assert sizes._is_affordable(subject_of(Largest), torch.zeros(1, 512, WIDTH)) is is_affordable


class Given(nn.Module):
    """Returns given numbers as encodings, one after the other."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = iter(values)

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), 1), next(self.values), dtype=torch.float64)


def test_rounding_grows_with_the_number_of_repetitions() -> None:
    subject = Subject(Given([1.0, 1.0]), WIDTH)
    comparison = sizes._compare_repeated(subject, torch.zeros(1, 83, WIDTH, dtype=torch.float64), data_of(83))
    assert (comparison.bound / EPS).tolist() == pytest.approx([4 * math.sqrt(80) * math.sqrt(16)])
    assert comparison.note == "5 elements, repeated 16 times"


def test_an_encoding_that_is_known_is_not_computed_again() -> None:
    x = torch.zeros(1, 8, WIDTH, dtype=torch.float64)
    known = torch.full((1, 1), 3.0, dtype=torch.float64)
    subject = Subject(Given([3.0, 5.0]), WIDTH, perturbation=None)
    assert sizes._compare_permuted(subject, x, data_of(8), known).gap.tolist() == [0.0]
    again = Subject(Given([5.0, 3.0]), WIDTH, perturbation=None)
    assert sizes._compare_permuted(again, x, data_of(8)).gap.tolist() == [2.0]


def test_the_search_tries_single_sets_up_to_65537_elements() -> None:
    subject = subject_of(Largest)
    assert search(get_law(LAW), [subject], examples=4).holds
    assert {len(x) for x in subject.module.inputs} == {1, 4}  # four ordinary sets give the scale
    assert {x.shape[1] for x in subject.module.inputs} >= {256, 512, 1024, 4096, 65_537}
