"""Laws in train mode: sets with padding, and merged states, beside what random numbers and other sets change."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import train_mode
from mbcbench.suites.laws.train_mode import compare_merged, compare_padded, seeded_encoding, seeded_stream
from mbcbench.types import Encoder
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import ExampleData
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Slots, Slotted, Sums
from tests.suites.laws.encoders import Given, Recording
from tests.verify.helpers import WIDTH, check, data_of, holds, subject_of


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        yield


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """What the encoders of class Recording are given in a test."""
    monkeypatch.setattr(Recording, "given", [])
    return Recording.given


# ---- sets with padding


class Shifts(Mean):
    """Adds a number to the features in train mode."""

    def shift(self, x: Tensor) -> Tensor:
        return torch.zeros(())

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) + (self.shift(x) if self.training else 0)


class Draws(Shifts):
    def shift(self, x: Tensor) -> Tensor:
        return torch.rand(())


class Counts(Shifts):
    """Adds the number of calls."""

    calls = 0

    def shift(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.tensor(float(self.calls))


class Mixes(Shifts):
    """Adds the mean of the batch."""

    def shift(self, x: Tensor) -> Tensor:
        return x.mean()


class Refuses(Shifts):
    def shift(self, x: Tensor) -> Tensor:
        raise ValueError("not in train mode")


def off_by(amount: float) -> Callable[[Encoder, Tensor], Tensor]:
    """Return a function that encodes sets as if padding changed the encodings by an amount."""
    return lambda module, x: seeded_encoding(module, x, 0) + amount


def refuse(module: Encoder, x: Tensor) -> Tensor:
    raise ValueError("padding is not admitted")


def padded(encoder: type[Mean], encode_padded: Callable[[Encoder, Tensor], Tensor]) -> Comparison:
    data = data_of()
    comparison: Comparison = compare_padded(
        subject_of(encoder), data, seeded_encoding, lambda module: encode_padded(module, data.x)
    )
    return comparison


def test_padding_that_changes_a_settled_encoding_in_train_mode_is_noticed() -> None:
    comparison = padded(Shifts, off_by(1))
    assert comparison.gap.tolist() == pytest.approx([1, 1])
    assert not holds(comparison)
    assert comparison.note == "padding changes the encoding in train mode only"


def test_padding_that_changes_nothing_has_no_note() -> None:
    comparison = padded(Shifts, off_by(0))
    assert holds(comparison)
    assert comparison.scale is not None
    assert comparison.note == ""


@pytest.mark.parametrize("encoder", [Draws, Counts, Mixes, Refuses])
def test_an_encoder_without_a_settled_encoding_in_train_mode_is_not_judged(encoder: type[Mean]) -> None:
    comparison = padded(encoder, off_by(1))
    assert (comparison.gap.tolist(), comparison.scale) == ([0, 0], None)


def test_padding_that_is_refused_is_not_judged() -> None:
    comparison = padded(Shifts, refuse)
    assert (comparison.gap.tolist(), comparison.scale) == ([0, 0], None)


def test_padding_in_train_mode_is_tried_on_a_copy_that_trains_and_with_the_numbers_of_a_seed() -> None:
    subject, data, state = subject_of(Counts), data_of(), torch.get_rng_state()
    modules: list[Encoder] = []

    def encode(module: Encoder, x: Tensor, seed: int) -> Tensor:
        modules.append(module)
        encoding: Tensor = seeded_encoding(module, x, seed)
        return encoding

    compare_padded(subject, data, encode, lambda module: seeded_encoding(module, data.x, 0))
    assert {module.training for module in modules} == {True}
    assert subject.module not in modules
    assert subject.module.calls == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_a_settled_encoding_depends_neither_on_a_seed_nor_on_other_sets(given: list[Given]) -> None:
    data, seeds = data_of(), []

    def encode(module: Encoder, x: Tensor, seed: int) -> Tensor:
        seeds.append(seed)
        encoding: Tensor = seeded_encoding(module, x, seed)
        return encoding

    training = subject_of(Recording).in_train_mode
    encoding = train_mode._encode_if_settled(training, data.x, encode)
    assert encoding is not None
    torch.testing.assert_close(encoding, training.module(data.x))
    (first, *_), (again, *_), (beside, *_) = given[:3]
    assert torch.equal(first, data.x)
    assert torch.equal(again, data.x)
    assert torch.equal(beside[:2], data.x)
    assert not bool((beside[2:] == data.x).any())
    assert len(beside) == 4
    assert seeds[0] == seeds[2] != seeds[1]


def test_the_other_sets_are_of_the_opposite_sign_and_finite(given: list[Given]) -> None:
    data = data_of()
    data.x[0], data.x[1] = 0, 9
    train_mode._encode_if_settled(subject_of(Recording).in_train_mode, data.x, seeded_encoding)
    others = given[2][0][2:]
    assert bool(others.isfinite().all())
    assert float(others[1].max()) < 0 < float(others[0].min())


def test_the_other_sets_beside_tokens_are_tokens(given: list[Given]) -> None:
    data = data_of()
    training = subject_of(Recording, domain=Domain(vocabulary=5)).in_train_mode
    train_mode._encode_if_settled(training, data.x, seeded_encoding)
    assert {*given[2][0][2:].flatten().tolist()} <= {0, 1, 2, 3, 4}


class SameMemory(Mean):
    """Writes each encoding into the same memory."""

    memory: Tensor | None = None

    def readout(self, state: Any) -> Tensor:
        out = super().readout(state)
        self.memory = out if self.memory is None else self.memory.copy_(out)
        return self.memory


class DrawsStart(Mean):
    """Draws where a stream starts, and a number for each chunk."""

    def init_state(self, batch_size: int) -> Any:
        total, number = super().init_state(batch_size)
        return Sums(total + 100 * torch.rand(()), number)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        total, number = super().part(x, mask)
        return Sums(total + torch.rand(()), number)


def stream_of(module: nn.Module, seed: int) -> Tensor:
    x = torch.zeros(3, 2, WIDTH, dtype=torch.float64)
    encoding: Tensor = seeded_stream(module, [x, x[:, :1]], [], seed)
    return encoding


def test_a_stream_starts_from_one_draw_and_its_chunks_draw_from_a_seed() -> None:
    module = subject_of(DrawsStart).module
    one, again, other = stream_of(module, 1), stream_of(module, 1), stream_of(module, 2)
    assert torch.equal(one, again)
    difference = (one - other).abs()
    assert 0 < float(difference.min()) <= float(difference.max()) < 1  # and the starts are equal
    torch.manual_seed(0)
    start = module.init_state(1).total
    assert bool(((one * 3 - start).abs() < 10).all())


def test_an_encoding_in_one_piece_draws_from_a_seed() -> None:
    module, x = subject_of(Draws).module.train(), data_of().x
    assert torch.equal(seeded_encoding(module, x, 1), seeded_encoding(module, x, 1))
    assert not torch.equal(seeded_encoding(module, x, 1), seeded_encoding(module, x, 2))


def test_encodings_are_copies() -> None:
    module, x = subject_of(SameMemory).module, data_of().x
    first, stream = seeded_encoding(module, x, 0), seeded_stream(module, [x], [], 0)
    seeded_encoding(module, x + 1, 0)
    assert torch.equal(first, stream)
    assert not torch.equal(first, seeded_encoding(module, x + 1, 0))


def test_a_stream_has_masks_if_there_are_any_and_as_many_sets_as_its_first_chunk(given: list[Given]) -> None:
    module = subject_of(Recording).module
    chunks = [torch.ones(2, n, WIDTH, dtype=torch.float64) for n in (2, 1)]
    masks = [torch.tensor([[True, False], [True, True]]), torch.tensor([[False], [True]])]
    seeded_stream(module, chunks, masks, 0)
    seeded_stream(module, chunks[:1], [], 0)
    seen = [None if mask is None else mask.tolist() for _, mask, _ in given]
    assert seen == [[[True, False], [True, True]], [[False], [True]], None]


# ---- merged states


class MergesDoubled(Mean):
    """Doubles the first of two states that are merged in train mode."""

    modes: ClassVar[tuple[bool, ...]] = (True,)

    def merge(self, a: Any, b: Any) -> Any:
        return Sums(a.total * (2 if self.training in self.modes else 1) + b.total, a.number + b.number)


class MergesDoubledAlways(MergesDoubled):
    modes = (True, False)


class RefusesInTrainMode(Mean):
    """Refuses to merge in train mode."""

    modes: ClassVar[tuple[bool, ...]] = (True,)

    def merge(self, a: Any, b: Any) -> Any:
        if self.training in self.modes:
            raise TypeError("cannot merge")
        return super().merge(a, b)


class RefusesWithMessage(Mean):
    """Refuses to merge in train mode with a message."""

    def merge(self, a: Any, b: Any) -> Any:
        if self.training:
            raise ValueError("states are not merged in train mode")
        return super().merge(a, b)


class CentredAndRefuses(RefusesWithMessage):
    """Subtracts the maximum of each chunk in train mode, too."""

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return features - features.amax(1, keepdim=True) if self.training else features


class RefusesAlways(RefusesInTrainMode):
    modes = (True, False)


class Unmergeable(MergesDoubled):
    merge: Any = None


class Chunks(Mean):
    """Counts chunks, and keeps the counts of states that are merged."""

    merged: ClassVar[list[tuple[int, int]]] = []

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, a.number + 1)

    def merge(self, a: Any, b: Any) -> Any:
        self.merged.append((int(a.number[0]), int(b.number[0])))
        return Sums(a.total + b.total, a.number + b.number)


def merged(encoder: type[Mean], *sizes: int) -> tuple[Comparison, ExampleData]:
    data = data_of(*(sizes or (2, 1, 1)))
    return compare_merged(subject_of(encoder), data), data


def test_a_merge_that_differs_in_train_mode_only_is_noticed() -> None:
    comparison, data = merged(MergesDoubled, 2, 1)
    assert not holds(comparison)
    assert comparison.note == "in train mode only, merged states are not that of the stream"
    assert data.choices["chunks in the first of two states that are merged"] == 1


@pytest.mark.parametrize("encoder", [Mean, MergesDoubledAlways, RefusesAlways, Unmergeable, DrawsStart])
def test_a_merge_that_is_right_or_wrong_in_eval_mode_too_is_left_to_other_laws(encoder: type[Mean]) -> None:
    comparison, _ = merged(encoder)
    assert (comparison.gap.tolist(), comparison.scale) == ([0, 0], None)


def test_a_merge_that_raises_in_train_mode_only_is_noticed() -> None:
    with pytest.raises(TypeError, match="cannot merge"):
        merged(RefusesInTrainMode)


def test_a_merge_that_is_refused_in_train_mode_hides_no_other_fault() -> None:
    for encoder, is_kept in ((RefusesWithMessage, True), (CentredAndRefuses, False)):
        comparison = check("mbc.train", encoder, 2, 1)
        assert holds(comparison) == is_kept


def test_a_single_chunk_is_not_merged() -> None:
    comparison, data = merged(MergesDoubled, 3)
    assert (comparison.gap.tolist(), comparison.scale, data.choices) == ([0, 0], None, {})


def test_a_stream_is_merged_at_any_of_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chunks, "merged", [])
    for seed in range(20):
        data = data_of(1, 1, 1, seed=seed)
        assert holds(compare_merged(subject_of(Chunks), data))
        position = data.choices["chunks in the first of two states that are merged"]
        assert Chunks.merged[-1] == (position, 3 - position)
    assert {*Chunks.merged} == {(1, 2), (2, 1)}


class DrawsSlots(Slots):
    """Draws slots in train mode."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return Slotted(state.slots + torch.randn(self.slots.shape), state.total) if self.training else state


class DrawsSlotsAndForgets(DrawsSlots):
    """Loses the first of two states that are merged in train mode."""

    def merge(self, a: Any, b: Any) -> Any:
        return b if self.training else super().merge(a, b)


@pytest.mark.parametrize(("encoder", "is_kept"), [(DrawsSlots, True), (DrawsSlotsAndForgets, False)])
def test_the_states_that_are_merged_start_from_the_draw_of_the_stream(encoder: type[Mean], is_kept: bool) -> None:
    assert holds(merged(encoder)[0]) == is_kept
