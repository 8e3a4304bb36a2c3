"""The encoder under test: how it is called, and which variants of it are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from mbcbench.verify.domain import Domain
from mbcbench.verify.subject import Subject, encoding, slots_of
from mbcbench.verify.tolerance import PERTURBATION
from tests.controls.base import Mean, Slots
from tests.verify.helpers import WIDTH, subject_of
from tests.verify.law_helpers import Level

X = torch.randn(2, 3, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[True, True, False], [True, False, False]])


class Recorder(Mean):
    """A mean that remembers its calls."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.calls: list[tuple[Any, ...]] = []

    def init_state(self, batch_size: int) -> Any:
        self.calls.append(("init_state", batch_size))
        return super().init_state(batch_size)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.calls.append(("update", x.shape[1], mask is not None))
        return super().update(state, x, mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.calls.append(("forward", mask is not None))
        return self.readout(Mean.add(self, Mean.init_state(self, len(x)), self.part(x, mask)))


class ForwardWithoutMask(Recorder):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override] # takes no mask
        return super().forward(x)


class UpdateWithoutMask(Recorder):
    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override] # takes no mask
        return super().update(state, x)


class Plain(nn.Module):
    """Remembers the shapes of its inputs, and returns the same memory each time."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[int, ...], torch.dtype, bool]] = []
        self.memory = torch.zeros(0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.seen.append((tuple(x.shape), x.dtype, torch.is_grad_enabled()))
        self.memory = x.sum(1) if mask is None else (x * mask[:, :, None]).sum(1)
        return self.memory


class Elementwise(Plain):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        super().forward(x)
        return 2 * x


class WithToken(nn.Module):
    """Returns an output for each element and one more."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], x], 1)


def calls_of(encoder: type[Recorder], call: Callable[[Subject], object], **more: Any) -> list[tuple[Any, ...]]:
    """Return the calls of an encoder's methods."""
    subject = subject_of(encoder, **more)
    subject.module.calls.clear()
    with torch.no_grad():
        call(subject)
    calls: list[tuple[Any, ...]] = subject.module.calls
    return calls


# ---- states with slots


class SlotsTuple(NamedTuple):
    slots: Any
    other: int = 0


@dataclass
class SlotsDataclass:
    slots: Any
    other: int = 0


@dataclass
class ClassWithSlots:
    slots: ClassVar[Tensor] = torch.zeros(1, 2, 3)


class Opaque:
    slots = torch.zeros(1, 2, 3)


@pytest.mark.parametrize(
    "make", [lambda s: {"slots": s, "other": 7}, lambda s: SlotsTuple(s, 7), lambda s: SlotsDataclass(s, 7)]
)
def test_slots_of_a_state_are_found_and_replaced(make: Callable[[Any], Any]) -> None:
    slots = torch.zeros(1, 2, 3)
    state = make(slots)
    other = subject_of().replace_slots(state, slots + 1)
    assert type(other) is type(state)
    found = slots_of(other)
    assert found is not None
    assert torch.equal(found, slots + 1)
    assert (other["other"] if isinstance(other, dict) else other.other) == 7
    assert slots_of(state) is slots
    for wrong in (torch.zeros(2, 3), torch.zeros(1, 1, 2, 3), [1.0], None):
        assert slots_of(make(wrong)) is None


def test_states_without_slots_that_can_be_replaced_have_none() -> None:
    states: list[Any] = [{}, Opaque(), ClassWithSlots, torch.zeros(1, 2, 3), (), subject_of(Mean).init_state(1)]
    assert [slots_of(state) for state in states] == [None] * len(states)
    assert slots_of(subject_of(Slots).init_state(2)) is not None


# ---- what is known of an encoder


def test_a_subject_is_a_deterministic_encoder_of_all_inputs_unless_it_is_said_to_be_another() -> None:
    subject = subject_of(Mean)
    assert (subject.deterministic, subject.domain, subject.perturbation) == (True, Domain(), PERTURBATION)
    assert subject.reference is None


class MergesOnly(Plain):
    """Has a merge, but no stream."""

    def merge(self, a: Any, b: Any) -> Any:
        return a + b


def test_an_encoder_that_streams_may_merge() -> None:
    encoders = (Mean, Recorder, Plain, MergesOnly)
    facts = [(subject.streaming, subject.mergeable) for subject in map(subject_of, encoders)]
    assert facts == [(True, True), (True, True), (False, False), (False, False)]


def test_only_trainable_parameters_count() -> None:
    module = Mean(WIDTH)
    module.phi.bias.requires_grad_(False)
    assert [name for name, _ in Subject(module, WIDTH).parameters] == ["phi.weight"]


def test_the_type_of_an_encoder_is_that_of_its_first_real_number() -> None:
    module = Level(WIDTH)
    assert Subject(module, WIDTH).dtype == torch.float64
    module.register_buffer("counter", torch.zeros(1, dtype=torch.int64))
    assert Subject(module, WIDTH).dtype == torch.float64
    module.register_buffer("level_of_noise", torch.zeros(1, dtype=torch.float32))
    assert Subject(module, WIDTH).dtype == torch.float32
    module.bias = nn.Parameter(torch.zeros(1, dtype=torch.float16))
    assert Subject(module, WIDTH).dtype == torch.float16


@pytest.mark.parametrize(
    ("encoder", "takes_mask", "masks_whole_sets", "if_random"),
    [
        (Recorder, True, True, False),
        (UpdateWithoutMask, False, True, False),
        (ForwardWithoutMask, True, False, False),
        (Plain, True, True, True),
        (WithToken, False, False, False),
    ],
)
def test_whole_sets_are_masked_by_a_forward_of_its_own_that_takes_a_mask(
    encoder: type[nn.Module], takes_mask: bool, masks_whole_sets: bool, if_random: bool
) -> None:
    subject = subject_of(encoder)
    assert (subject.takes_mask, subject.masks_whole_sets) == (takes_mask, masks_whole_sets)
    assert subject_of(encoder, deterministic=False).masks_whole_sets == if_random


def test_layers_are_told_from_encoders_of_sets_by_the_outputs_of_two_sizes() -> None:
    for encoder, is_layer, output in ((Elementwise, True, "B x n x 3"), (WithToken, False, "B x (n + 1) x 3")):
        subject = subject_of(encoder)
        assert (subject.is_layer, subject.output) == (is_layer, output)
        assert len(subject.element_axes) == 1
    assert subject_of(Mean).element_axes == ()
    assert not subject_of(Mean).is_layer
    assert subject_of(Mean).output == "B x 4"


@pytest.mark.parametrize("min_size", [1, 6])
def test_the_layout_of_the_output_is_that_of_one_admissible_set(min_size: int) -> None:
    subject = subject_of(Elementwise, domain=Domain(min_size=min_size))
    assert subject.output == "B x n x 3"
    seen = set(subject.module.seen)
    assert seen == {((1, n, WIDTH), torch.float64, False) for n in (min_size + 2, min_size + 4)}


# ---- calls


def test_encodings_are_copies() -> None:
    plain = subject_of(Plain)
    for out in (encoding(plain.module, X), plain.encode(X), plain.encode_masked(X, MASK)):
        assert out is not plain.module.memory
        assert torch.equal(out, plain.module.memory) or len(out) == 2
        before = out.clone()
        plain.module.memory.zero_()
        assert torch.equal(out, before)
    state = subject_of(Slots).init_state(2)
    assert subject_of(Slots).readout(state) is not state.total


def test_a_stream_is_fed_in_order_from_its_state() -> None:
    subject = subject_of(Mean)
    start = subject.update(subject.init_state(2), X[:, :1])
    state = subject.stream_state([X[:, 1:2], X[:, 2:]], start)
    assert state.number.tolist() == [3, 3]
    assert torch.allclose(subject.stream([X[:, 1:2], X[:, 2:]], start), subject.encode(X))
    assert torch.allclose(subject.readout(state), subject.encode(X))
    masked = subject.update(subject.init_state(2), X, MASK)
    assert masked.number.tolist() == [2, 1]
    assert torch.allclose(subject.readout(masked), subject.encode_masked(X, MASK))


def test_a_mask_is_given_only_where_there_is_one() -> None:
    assert calls_of(Recorder, lambda s: s.update(s.init_state(2), X)) == [("init_state", 2), ("update", 3, False)]
    assert calls_of(Recorder, lambda s: s.update(s.init_state(2), X, MASK)) == [("init_state", 2), ("update", 3, True)]
    assert calls_of(UpdateWithoutMask, lambda s: s.update(s.init_state(2), X))[1:] == [("update", 3, False)]


def test_a_set_is_encoded_in_one_piece_and_by_a_random_encoder_as_a_stream() -> None:
    assert calls_of(Recorder, lambda s: s.encode(X)) == [("forward", False)]
    streamed = [("init_state", 2), ("update", 3, False)]
    assert calls_of(Recorder, lambda s: s.encode(X), deterministic=False) == streamed
    assert calls_of(Recorder, lambda s: s.encode(X, s.init_state(2)), deterministic=False) == streamed
    plain = subject_of(Plain, deterministic=False)
    assert torch.equal(plain.encode(X), X.sum(1))
    subject = subject_of(Mean, deterministic=False)
    start = subject.update(subject.init_state(2), X)
    assert torch.allclose(subject.encode(X[:, :1], start), subject.stream([X, X[:, :1]], subject.init_state(2)))


def test_a_masked_set_is_encoded_in_one_piece_where_that_is_possible() -> None:
    streamed = [("init_state", 2), ("update", 3, True)]
    assert calls_of(Recorder, lambda s: s.encode_masked(X, MASK)) == [("forward", True)]
    assert calls_of(Recorder, lambda s: s.encode_masked(X, MASK), deterministic=False) == streamed
    assert calls_of(ForwardWithoutMask, lambda s: s.encode_masked(X, MASK)) == streamed
    for deterministic in (True, False):
        plain = subject_of(Plain, deterministic=deterministic)
        assert torch.equal(plain.encode_masked(X, MASK), (X * MASK[:, :, None]).sum(1))


# ---- the scale


class FixedNorms(Plain):
    """Encodes the sets of a batch as 1, -20, 3 and 400, whatever they are, and draws a number."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        super().forward(x)
        self.input = x
        torch.rand(1)
        return torch.tensor([1.0, -20.0, 3.0, 400.0], dtype=torch.float64)[: len(x), None]


def test_the_scale_is_that_of_ordinary_sets() -> None:
    with torch.random.fork_rng():
        subject = subject_of(FixedNorms)
        before = torch.get_rng_state()
        assert subject.scale == 3
        assert torch.equal(torch.get_rng_state(), before)
    assert subject.module.seen == [((4, 5, WIDTH), torch.float64, False)]
    assert 0.7 < float(subject.module.input.std()) < 1.3


def test_the_scale_does_not_depend_on_the_state_of_the_global_generator() -> None:
    with torch.random.fork_rng():
        subjects = subject_of(FixedNorms), subject_of(FixedNorms)
        for subject in subjects:
            torch.rand(1)
            assert subject.scale == 3
    assert torch.equal(subjects[0].module.input, subjects[1].module.input)


def test_the_scale_is_that_of_sets_which_the_encoder_admits() -> None:
    subject = subject_of(FixedNorms, domain=Domain(min_size=9, vocabulary=7))
    assert subject.scale == 3
    tokens = subject.module.input
    assert tokens.shape == (4, 9, WIDTH)
    assert set(tokens.flatten().tolist()) <= set(range(7))
    assert len(set(tokens.flatten().tolist())) > 3
    other = subject_of(FixedNorms, domain=Domain(min_size=9, vocabulary=7))
    assert other.scale == 3
    assert torch.equal(other.module.input, tokens)


def test_the_scale_of_an_encoder_in_float32_is_measured_in_float32() -> None:
    module = FixedNorms(WIDTH)
    module.register_buffer("one", torch.ones(1))
    assert Subject(module, WIDTH).scale == 3
    assert module.seen[0][1] == torch.float32
