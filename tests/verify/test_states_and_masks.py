"""Laws on the states, gradients and masks of single encoders: directly, without a search."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable, get_law
from tests.controls.base import Mean, Sums, hide
from tests.verify.helpers import WIDTH, check, holds, subject_of

# ---- states


class StateOfOtherShape(Mean):
    """Uses a state and appends to it, in place."""

    def init_state(self, batch_size: int) -> Any:
        return {"total": super().init_state(batch_size).total, "chunks": []}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        state["chunks"].append(x)
        return {"total": state["total"] + self.features(x).sum(1), "chunks": state["chunks"]}

    def merge(self, a: Any, b: Any) -> Any:
        return {"total": a["total"] + b["total"], "chunks": [*a["chunks"], *b["chunks"]]}

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state["total"]
        return total


def test_a_state_that_gets_longer_when_it_is_used_was_changed() -> None:
    comparison = check("mbc.fork", StateOfOtherShape)
    assert comparison.note == "using a state changed it"


class AddsInPlaceLater(Mean):
    """Changes a state of three elements or more in place."""

    def add(self, a: Any, b: Any) -> Any:
        if a.number.numel() and int(a.number[0]) >= 3:
            a.total.add_(b.total)
        return super().add(a, b)


def test_a_leaf_that_is_changed_late_in_a_stream_is_named() -> None:
    law, data = get_law("mbc.fork"), ExampleData(Example(sizes=(1,) * 5, kinds=(0, 0), seed=1), WIDTH)
    assert law.locate is not None
    with torch.no_grad():
        assert law.locate(subject_of(AddsInPlaceLater), data) == "state.total: changed in place by update"
        assert law.check(subject_of(AddsInPlaceLater), data).note == "using a state changed it"


def test_a_state_that_stores_its_chunks_grows() -> None:
    comparison = check("mbc.memory", StateOfOtherShape, *[1] * 8)
    row = 2 * 8  # of two sets
    small, size = (row * (4 + fed * WIDTH) for fed in (2, 8 * 4**5))
    assert comparison.note == f"the state grows from {small} bytes after 2 elements to {size} bytes after 8192 elements"


class CountsInOneByte(Mean):
    """Counts in an integer of eight bits."""

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, (a.number + b.number) % 256)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part._replace(number=part.number % 256)


def test_the_element_at_which_a_count_overflows_is_named() -> None:
    comparison = check("mbc.large", CountsInOneByte, 2**8 - 4, *[1] * 8)
    assert comparison.note == "element 256 changes the encoding far more than equal elements do"
    assert not holds(comparison)
    assert check("mbc.large", Mean, 2**8 - 4, *[1] * 8).gap.tolist() == [0.0, 0.0]


def test_a_count_overflows_at_the_same_element_if_small_sets_are_refused() -> None:
    for domain, added in ((Domain(), 0), (Domain(min_size=3), 2)):
        comparison = check("mbc.large", CountsInOneByte, 2**8 - 4 + added, *[1] * 8, domain=domain)
        assert comparison.note == "element 256 changes the encoding far more than equal elements do"


class WeightsLaterChunks(Mean):
    """A stream of elements in order: each number is half of the last."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        weights = 0.5 ** torch.arange(x.shape[1], dtype=x.dtype)
        return super().part(x, mask)._replace(total=(self.features(x) * weights[:, None]).sum(1))

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total * 0.5 ** a.number[:, None].to(a.total.dtype), a.number + b.number)

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state.total
        return total


@pytest.mark.parametrize("seed", range(4))
def test_states_of_an_ordered_stream_are_merged_with_their_neighbours_only(seed: int) -> None:
    in_order = Domain(order_sensitive=True)
    assert holds(check("mbc.merge", WeightsLaterChunks, 2, 1, 3, seed=seed, domain=in_order))


def test_states_of_an_ordered_stream_merged_in_any_order_break_the_law() -> None:
    results = [check("mbc.merge", WeightsLaterChunks, 2, 1, 3, seed=seed) for seed in range(4)]
    assert not all(holds(result) for result in results)


# ---- gradients and parameters


class Constant(Mean):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).detach()

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).detach()


class Untrained(Constant):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.requires_grad_(False)


class BatchNorm(Mean):
    """Normalises over the batch in train mode, and has a parameter that it never uses."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.norm, self.unused = nn.BatchNorm1d(4), nn.Parameter(torch.zeros(1))

    def readout(self, state: Any) -> Tensor:
        out: Tensor = self.norm(super().readout(state))
        return out


def test_an_encoder_without_gradients_breaks_their_law_if_it_has_parameters() -> None:
    assert check("mbc.gradient", Constant).note == "no gradient reaches the elements or any trainable parameter"
    with pytest.raises(NotApplicable, match=r"^no gradient reaches the elements$"):
        check("mbc.gradient", Untrained)


def test_a_parameter_is_dead_although_the_encoder_cannot_be_trained_on_one_set() -> None:
    example = Example(sizes=(4,), kinds=(0,), seed=1)
    subject = subject_of(BatchNorm)
    with torch.no_grad():
        comparison = get_law("substance.parameters").check(subject, ExampleData(example, WIDTH))
    assert comparison.note == "no gradient: unused"


# ---- masks


class LeaksNaN(nn.Module):
    """Multiplies by the mask, so that 0 x NaN reaches the sum; refuses padding that is large and finite."""

    refuses, leaks_everywhere = True, True

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        if self.refuses and bool(x.isfinite().all()) and bool((x.abs() > 50).any()):
            raise ValueError("numbers are too large")
        hidden = hide(x, present)
        leaks = hidden.sum((1, 2)) > -torch.inf if self.leaks_everywhere else hidden.sum((1, 2)) > 0
        features = self.phi(torch.where(leaks[:, None, None], x, hidden)) * present[:, :, None]
        out: Tensor = features.sum(1)
        return out


class LeaksNaNInPositiveSets(LeaksNaN):
    refuses, leaks_everywhere = False, False


def test_padding_that_is_refused_does_not_reach_the_encoding() -> None:
    note = check("symmetry.padding", LeaksNaN, 2, seed=3).note
    assert note.startswith("finite padding is fine, but NaN or infinity in padding reaches the encoding")


def test_a_leak_of_nan_in_one_of_two_sets_is_explained() -> None:
    with torch.no_grad():
        data = ExampleData(Example(sizes=(2,), kinds=(5, 9), seed=3), WIDTH)  # negative, and offset by 10
        comparison = get_law("symmetry.padding").check(subject_of(LeaksNaNInPositiveSets), data)
    assert (comparison.gap > comparison.bound).tolist() == [False, True]
    assert comparison.note.startswith("finite padding is fine")


class MultipliesInStream(Mean):
    """Multiplies by the mask in a stream; refuses absent elements that are NaN or infinite, if it is told to."""

    refuses, counts_padding = False, False

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return super().update(state, x)
        if self.refuses and not bool(x.isfinite().all()):
            raise ValueError("an element is not finite")
        number = torch.full_like(mask.sum(1), x.shape[1]) if self.counts_padding else mask.sum(1)
        return self.add(state, Sums((self.features(x) * mask[..., None]).sum(1), number))


class RefusesInStream(MultipliesInStream):
    refuses = True


class CountsInStream(MultipliesInStream):
    counts_padding = True


class RefusesAndCountsInStream(RefusesInStream, CountsInStream):
    pass


@pytest.mark.parametrize("seed", range(3))
def test_a_leak_in_a_stream_says_whether_finite_padding_leaks(seed: int) -> None:
    finite_is_fine = check("mbc.mask", MultipliesInStream, 2, 1, seed=seed)
    finite_leaks = check("mbc.mask", CountsInStream, 2, 1, seed=seed)
    assert holds(finite_is_fine) == (seed == 2)
    assert not holds(finite_leaks)
    if seed < 2:
        assert finite_is_fine.note.startswith("finite padding is fine, but NaN or infinity in padding reaches")
        assert finite_leaks.note == "padding changes the encoding, with finite values too"


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_that_refuses_what_is_not_finite_is_tried_with_finite_padding(seed: int) -> None:
    assert holds(check("mbc.mask", RefusesInStream, 2, 1, seed=seed))
    assert not holds(check("mbc.mask", RefusesAndCountsInStream, 2, 1, seed=seed))


def test_a_stream_of_finite_elements_is_padded_with_finite_numbers() -> None:
    domain = Domain(finite_only=True)
    assert all(holds(check("mbc.mask", MultipliesInStream, 2, 1, seed=seed, domain=domain)) for seed in range(3))


class SumOfPresent(Mean):
    """Counts masked elements in its mean, where the first of them is zero."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part._replace(number=torch.full_like(part.number, x.shape[1])) if mask is not None else part


def test_a_mean_that_counts_padding_breaks_the_laws_of_masks() -> None:
    assert not holds(check("mbc.mask", SumOfPresent))
    assert not holds(check("symmetry.padding", SumOfPresent))


# ---- what a random encoder is compared with


class RandomStart(Mean):
    """Draws an offset for each stream."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return state._replace(total=state.total + torch.randn(batch_size, 4, dtype=state.total.dtype))


def test_a_random_encoder_encodes_a_set_from_the_start_of_the_stream_it_is_compared_with() -> None:
    subject = subject_of(RandomStart, deterministic=False)
    x = torch.ones(2, 3, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        start = subject.init_state(2)
        assert torch.equal(subject.encode(x, start), subject.stream([x], start))
        assert not torch.equal(subject.encode(x), subject.encode(x))
    assert holds(check("mbc.partition", RandomStart, 2, 1, deterministic=False))


class SubtractsInPlace(Mean):
    def features(self, x: Tensor) -> Tensor:
        x -= 1
        return super().features(x)


def test_a_set_that_is_modified_is_a_violation() -> None:
    assert check("hygiene.inputs", SubtractsInPlace).note == "the input was modified"


class SoftmaxFromMinusInfinity(nn.Module):
    """Attention whose running maximum starts at -inf, as do masked logits: -inf minus -inf is NaN."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.score, self.value = nn.Linear(dim_in, 1, bias=False), nn.Linear(dim_in, 4)

    def init_state(self, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        zeros = self.value.weight.new_zeros
        return zeros(batch_size, 1) - torch.inf, zeros(batch_size, 1), zeros(batch_size, 4)

    def update(
        self, state: tuple[Tensor, Tensor, Tensor], x: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        top, total, values = state
        present = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        x = torch.where(present[..., None], x, 0)
        logits = self.score(x)[..., 0].masked_fill(~present, -torch.inf)
        new = torch.cat([top, logits], 1).amax(1, keepdim=True).detach()
        weights, scale = (logits - new).exp(), (top - new).exp()
        return (
            new,
            total * scale + weights.sum(1, keepdim=True),
            values * scale + (weights[..., None] * self.value(x)).sum(1),
        )

    def readout(self, state: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return state[2] / state[1]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x, mask))


@pytest.mark.parametrize(
    ("law", "note", "choices"),
    [
        ("symmetry.padding", "a set that is masked entirely, beside others, encodes to NaN", {"masked entirely"}),
        (
            "mbc.mask",
            "a set whose elements are all masked in a chunk encodes to NaN",
            {"chunk that some sets lack", "sets that lack it"},
        ),
    ],
)
def test_a_counterexample_by_a_set_without_elements_shows_that_and_how_to_fix_it(
    law: str, note: str, choices: set[str]
) -> None:
    data = ExampleData(Example(sizes=(1, 1), kinds=(0, 1), seed=6), WIDTH)
    with torch.no_grad():
        comparison = get_law(law).check(subject_of(SoftmaxFromMinusInfinity), data)
    assert not holds(comparison)
    assert comparison.note == note
    assert data.choices.keys() == choices
    assert "torch.finfo(dtype).min" in get_law(law).fix


def test_an_empty_chunk_that_makes_an_encoding_nan_says_so() -> None:
    comparison = check("mbc.empty", SoftmaxFromMinusInfinity, 1)
    assert comparison.note == "one of the two encodings that are compared is NaN"
    assert "torch.finfo(dtype).min" in get_law("mbc.empty").fix
