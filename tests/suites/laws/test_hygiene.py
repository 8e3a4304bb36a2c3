"""Side effects of encoders: what the laws encode, and how they describe what changed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import hygiene
from tests.controls.base import Mean
from tests.controls.hygiene import (
    ClampsChunksInPlace,
    ClampsChunksInTrainMode,
    ClampsInPlace,
    DropsElementsInPlace,
    InvertsMaskInPlace,
    UnmasksAbsentSetInPlace,
    ZeroesChunksInPlace,
    ZeroesPaddingInPlace,
)
from tests.suites.laws.helpers import Recording, RecordingMasks, law_says
from tests.verify.helpers import WIDTH, check, data_of, holds, subject_of

# ---- hygiene.determinism


class RecordingCopies(Recording):
    """Keeps copies of its inputs, and where they lie in memory."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.addresses: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.addresses.append(x.data_ptr())
        return super().forward(x.clone())


def test_other_sets_are_encoded_in_between_in_the_same_memory() -> None:
    data, subject = data_of(3), subject_of(RecordingCopies)
    assert holds(law_says("hygiene.determinism", subject, data))
    first, between, last = subject.module.inputs
    assert torch.equal(first, data.x)
    torch.testing.assert_close(between, 0.3 - 0.7 * data.x)  # other signs, and no multiple
    assert torch.equal(last, data.x)
    assert subject.module.addresses[:2] == [subject.module.addresses[0]] * 2


class ViewOfElements(nn.Module):
    """Returns the elements as they are."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class OneResult(nn.Module):
    """Writes all results into one tensor."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.result = torch.zeros(2, dim_in, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.result.copy_(x.sum(1))
        return out


class FirstTwice(nn.Module):
    """Adds what it has encoded before."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.total: Any = 0

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x.sum(1) + self.total
        self.total = self.total + x.sum(1)
        return out


class RemembersTheFirst(FirstTwice):
    """Encodes every set as the first one."""

    def forward(self, x: Tensor) -> Tensor:
        self.total = x.sum(1) if isinstance(self.total, int) else self.total
        first: Tensor = self.total.clone()
        return first


class UndefinedSum(Recording):
    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x) * torch.nan


@pytest.mark.parametrize(
    ("encoder", "is_kept", "note"),
    [
        (ViewOfElements, True, ""),
        (UndefinedSum, True, ""),
        (OneResult, False, "an encoding changes in memory when another set is encoded"),
        (FirstTwice, False, ""),
        (RemembersTheFirst, False, ""),
    ],
)
def test_equal_inputs_have_equal_outputs(encoder: type[nn.Module], is_kept: bool, note: str) -> None:
    comparison = check("hygiene.determinism", encoder, 3, deterministic=False)
    assert (holds(comparison), comparison.note) == (is_kept, note)


class DropsFeatures(Mean):
    """Drops features in eval mode too."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.drop = nn.Dropout(0.5)

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop.train()(super().features(x))
        return out


def test_the_submodule_that_draws_is_named() -> None:
    with torch.no_grad(), torch.random.fork_rng():
        culprit = hygiene.locate_determinism(subject_of(DropsFeatures), data_of(3))
    assert culprit == "drop (Dropout): gives equal inputs different outputs"


# ---- hygiene.inputs


class InvertsAlways(InvertsMaskInPlace):
    """Turns the caller's mask around, and clamps the elements in train mode."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if self.training:
            x.data.clamp_(-0.1, 0.1)
        return super().part(x, mask)


class ClampsWithGradients(Mean):
    """Has a first layer that clamps in place in train mode, and raises."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if self.training:
            x.data.clamp_(-0.1, 0.1)
            raise RuntimeError("not in train mode")
        return super().part(x, mask)


class ClampsChunksWithoutMask(ClampsChunksInPlace):
    """Clamps the caller's chunks if they come without a mask."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x if mask is None else x.clone(), mask)


@pytest.mark.parametrize(
    ("encoder", "seed", "note"),
    [
        (ClampsInPlace, 1, "the input was modified"),
        (ClampsChunksInPlace, 1, "a chunk was modified"),
        (ClampsChunksWithoutMask, 1, "a chunk was modified"),
        (InvertsMaskInPlace, 1, "the mask was modified"),
        (UnmasksAbsentSetInPlace, 1, "the mask was modified"),
        (ZeroesPaddingInPlace, 1, "the input was modified"),
        (ZeroesChunksInPlace, 1, "a chunk was modified"),
        (InvertsAlways, 3, "the mask was modified"),
        (DropsElementsInPlace, 1, ""),
        (DropsElementsInPlace, 2, ""),
        (DropsElementsInPlace, 3, "in train mode, the input was modified"),
        (DropsElementsInPlace, 9, "in train mode, the input was modified"),
        (ClampsWithGradients, 3, "in train mode, the input was modified"),
        (Mean, 3, ""),
    ],
)
def test_an_argument_that_is_modified_is_named(encoder: type[nn.Module], seed: int, note: str) -> None:
    comparison = law_says("hygiene.inputs", subject_of(encoder), data_of(4, 5, seed=seed))
    assert (comparison.note, holds(comparison)) == (note, not note)


class ClampsChunksOnly(ClampsChunksInTrainMode):
    """Clamps chunks without a mask in train mode, but not a set in one piece."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x if mask is None else x.clone(), mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x.clone(), mask)


class InvertsInTrainMode(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        state = super().part(x, mask)
        if mask is not None and self.training:
            mask.logical_not_()
        return state


class RaisesInTrainMode(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        torch.rand(1)
        raise RuntimeError("not in train mode")


class NeedsMemoryInTrainMode(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        raise MemoryError


class DoublesSets(nn.Module):
    """Doubles elements of whole sets in place, takes no mask and does not stream."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return (x.mul_(2) if self.training else x).sum(1)


@pytest.mark.parametrize(
    ("encoder", "modified"),
    [
        (Mean, ""),
        (Recording, ""),
        (RaisesInTrainMode, ""),
        (NeedsMemoryInTrainMode, ""),
        (ClampsChunksInTrainMode, "in train mode, the input"),
        (DoublesSets, "in train mode, the input"),
        (ClampsChunksOnly, "in train mode, a chunk"),
        (InvertsInTrainMode, "in train mode, the mask"),
    ],
)
def test_what_is_modified_in_train_mode_is_named(encoder: type[nn.Module], modified: str) -> None:
    data = data_of(4, 5)
    with torch.no_grad(), torch.random.fork_rng():
        subject, before = subject_of(encoder), torch.get_rng_state()
        assert hygiene._modified_in_train_mode(subject, data) == modified
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(data.x, data_of(4, 5).x)


def test_half_of_the_elements_and_those_of_one_set_are_masked() -> None:
    x, subject = data_of(5, sets=3).x, subject_of(RecordingMasks)
    assert hygiene._modified_with_masks(subject, x) == ""
    smallest = x[:, :, 0].argsort(1)[:, :2]  # of the first coordinates
    some = torch.ones(3, 5, dtype=torch.bool).scatter(1, smallest, False).tolist()
    others = [[False] * 5, *some[1:]]
    assert subject.module.masks == [("set", some), ("chunk", some), ("set", others), ("chunk", others)]


def test_equal_values_are_stored_with_a_stride_or_element_by_element() -> None:
    x = data_of(5, sets=2).x
    strided, element_first = hygiene._with_stride(x), hygiene._element_first(x)
    assert torch.equal(strided, x)
    assert strided.stride() == (2 * 5 * WIDTH, 2 * WIDTH, 2)
    assert torch.equal(element_first, x)
    assert element_first.stride() == (WIDTH, 2 * WIDTH, 1)


class NeedsLayout(Mean):
    """Raises for elements that are not contiguous, or adds one for them."""

    error: type[Exception] | None = RuntimeError

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.is_contiguous() or x.stride(-1) != 1:
            return super().forward(x.contiguous(), mask)
        if self.error is None:
            return super().forward(x, mask) + 1
        raise self.error("not so")


class ShiftsLayout(NeedsLayout):
    error = None


class RaisesValueError(NeedsLayout):
    error = ValueError


def test_a_layout_that_matters_is_a_violation() -> None:
    note = check("hygiene.inputs", NeedsLayout, 2, 3).note
    assert note.startswith("a view of a larger tensor raises RuntimeError: not so")
    assert not holds(check("hygiene.inputs", ShiftsLayout, 2, 3))
    with pytest.raises(ValueError, match="not so"):
        check("hygiene.inputs", RaisesValueError, 2, 3)


class SumOfChunkRoots(Mean):
    """Depends on the chunks, and on whether they are contiguous."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        state = super().part(x, mask)
        return state._replace(total=state.total.abs().sqrt() + self.shift(x))

    def shift(self, x: Tensor) -> float:
        return float(not x.is_contiguous())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x.contiguous(), mask)


class OtherChunkRoots(SumOfChunkRoots):
    """Depends on the chunks only."""

    def shift(self, x: Tensor) -> float:
        return 0.0


def test_a_stream_of_views_is_compared_with_separate_chunks_if_chunks_matter() -> None:
    assert not holds(check("hygiene.inputs", SumOfChunkRoots, 2, 3))
    assert holds(check("hygiene.inputs", OtherChunkRoots, 2, 3))
