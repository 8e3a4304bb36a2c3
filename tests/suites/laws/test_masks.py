"""What the law of masks in streams tries, and what it says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import masks
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Sums
from tests.controls.masks import (
    NoGradientInMaskedStream,
    NoGradientWithMask,
    PaddedSizeCounted,
    PaddingCountedInTrainedStream,
    TightLayer,
)
from tests.suites.laws.masked_streams import SEEDS, Case, Remembers, are_normal, case_of, data_of
from tests.verify.helpers import WIDTH, holds, subject_of


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


# ---- padding of the chunks


@pytest.mark.parametrize(("seed", "first"), [(0, "nan"), (1, "inf"), (2, "0"), (3, "nan")])
def test_the_choices_say_where_the_padding_of_a_stream_is_and_what_it_holds(seed: int, first: str) -> None:
    data = data_of(2, 1, seed=seed)
    padded = masks._pad_chunks(subject_of(), data)
    present = torch.cat([chunk.present for chunk in padded], 1)
    assert torch.equal(data.choices["positions of the padding"], ~present)
    assert data.choices["padding"] == f"one {first} in each chunk, others of size 1000"
    x = torch.cat([chunk.x for chunk in padded], 1)
    assert torch.equal(x[present], torch.cat(data.chunks, 1).flatten(0, 1))


def test_a_chunk_has_one_to_three_elements_of_padding() -> None:
    added = set()
    for seed in SEEDS:
        data = data_of(2, 1, seed=seed)
        padded = masks._pad_chunks(subject_of(domain=Domain(finite_only=True)), data)
        added |= {chunk.x.shape[1] - size for chunk, size in zip(padded, (2, 1), strict=True)}
        assert data.choices.keys() == {"positions of the padding"}
        assert all(bool(chunk.x.isfinite().all()) for chunk in padded)
    assert added == {1, 2, 3}


# ---- ordinary streams


class ForgetsMaskOfFour(Remembers):
    lengths = (4,)


class ForgetsMaskOfFive(Remembers):
    lengths = (5,)


class RefusesMask(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None:
            raise ValueError("no masks today")
        return super().update(state, x)


@pytest.mark.parametrize(
    ("encoder", "is_changed"),
    [(Mean, False), (ForgetsMaskOfFour, True), (ForgetsMaskOfFive, True), (RefusesMask, False)],
)
def test_padding_changes_an_ordinary_stream_unless_the_mask_is_heeded_or_refused(
    encoder: type[nn.Module], is_changed: bool
) -> None:
    assert masks._changes_ordinary(subject_of(encoder), data_of(1)) is is_changed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_ordinary_stream_has_two_normal_sets_in_two_chunks(dtype: torch.dtype) -> None:
    module = Remembers(WIDTH).to(dtype).eval()
    data = ExampleData(Example(sizes=(1,)), WIDTH, dtype=dtype)
    assert not masks._changes_ordinary(Subject(module, WIDTH), data)
    padded, alone = module.seen[:2], module.seen[2:4]
    assert [tuple(x.shape) for x, _ in padded] == [(2, 4, WIDTH), (2, 5, WIDTH)]
    assert [tuple(x.shape) for x, _ in alone] == [(2, 2, WIDTH), (2, 3, WIDTH)]
    for (x, mask), (elements, _) in zip(padded, alone, strict=True):
        assert x.dtype == elements.dtype == dtype
        assert mask is not None
        assert torch.equal(x[mask], elements.flatten(0, 1))
        assert are_normal(elements)
        assert bool((x[~mask].abs().amax(1) > 100).all())


@pytest.mark.parametrize(("encoder", "is_finite_fine"), [(Mean, True), (ForgetsMaskOfFive, False), (Remembers, True)])
def test_finite_padding_is_fine_unless_it_changes_an_ordinary_stream(
    encoder: type[nn.Module], is_finite_fine: bool
) -> None:
    case = case_of(encoder, 1, seed=0)
    note = masks._describe_leak(case.subject, case.data, case.padded)
    assert note.startswith("finite padding is fine, but NaN" if is_finite_fine else "padding changes the encoding, wi")


def test_finite_padding_is_not_fine_if_it_changes_this_stream_only() -> None:
    case = case_of(Remembers, 6, seed=0)
    length = case.padded[0].x.shape[1]
    case.subject.module.lengths = (length,)
    assert not masks._changes_ordinary(case.subject, case.data)
    note = masks._describe_leak(case.subject, case.data, case.padded)
    assert note == "padding changes the encoding, with finite values too"


class WrongGradientAndMask(ForgetsMaskOfFive, NoGradientWithMask):
    """Has wrong gradients wherever it is masked, and a wrong encoding only where five elements are."""


def test_a_fault_that_shows_in_ordinary_streams_is_left_to_them() -> None:
    law = get_law("mbc.mask")
    data = data_of(1, 1, seed=2)
    assert not holds(law.check(subject_of(NoGradientWithMask), data_of(1, 1, seed=2)))
    assert holds(law.check(subject_of(WrongGradientAndMask), data))
    assert not holds(law.check(subject_of(WrongGradientAndMask), data_of(2, 3, 4, 5, seed=5)))


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_encoder_is_tried_in_train_mode_or_by_its_gradient(seed: int) -> None:
    random, settled = data_of(2, 1, seed=seed), data_of(2, 1, seed=seed)
    for data, deterministic in ((random, False), (settled, True)):
        comparison = masks.check_mask(subject_of(deterministic=deterministic), data)
        assert holds(comparison)
        assert comparison.note == ""
    by_gradient, in_train_mode = "padding of the gradients", "positions of the padding in train mode"
    assert (by_gradient in settled.choices, in_train_mode in settled.choices) == (seed % 2 == 0, seed % 2 == 1)
    assert not random.choices.keys() & {by_gradient, in_train_mode}
    assert "states that are merged" in random.choices


def test_the_leaf_of_the_state_that_counts_padding_is_named() -> None:
    locate = get_law("mbc.mask").locate
    assert locate is not None
    data = ExampleData(Example(sizes=(1, 1), seed=2), WIDTH)
    assert locate(subject_of(PaddedSizeCounted), data).startswith("state.number (")


# ---- train mode and gradients


def test_the_padding_of_a_stream_in_train_mode_has_no_influence() -> None:
    comparison = masks._compare_in_train_mode(subject_of(PaddingCountedInTrainedStream), data_of(2, 1))
    assert not holds(comparison)
    assert comparison.note == "padding changes the encoding in train mode only"
    data = data_of(2, 1)
    assert holds(masks._compare_in_train_mode(subject_of(PaddedSizeCounted), data_of(2)))
    assert holds(masks._compare_in_train_mode(subject_of(), data))
    padding = data.choices["positions of the padding in train mode"]
    assert padding.shape == (3, 7)
    assert padding.sum(1).tolist() == [4] * 3


@pytest.mark.parametrize(
    ("encoder", "sizes", "is_right"),
    [
        (Mean, (2, 1), True),
        (NoGradientWithMask, (2,), False),
        (NoGradientInMaskedStream, (2,), True),
        (NoGradientInMaskedStream, (2, 1), False),
    ],
)
def test_the_gradient_of_a_masked_stream_is_that_of_the_stream_without_padding(
    encoder: type[nn.Module], sizes: tuple[int, ...], is_right: bool
) -> None:
    assert holds(masks._compare_gradients(subject_of(encoder), data_of(*sizes))) == is_right


# ---- sets that lack a chunk


def ended(encoder: Callable[[int], nn.Module], *sizes: int, seed: int = 0, **more: Any) -> tuple[Comparison, Case]:
    """Compare streams of which some sets lack a chunk, and return what is compared too."""
    case = case_of(encoder, *sizes, seed=seed, **more)
    return masks._compare_with_ended_sets(*case), case


def test_some_sets_lack_one_chunk_of_a_stream() -> None:
    positions, lack = set(), []
    for seed in SEEDS:
        comparison, case = ended(Remembers, 2, 1, 3, seed=seed)
        assert holds(comparison)
        assert comparison.note == ""
        position, lacking = case.data.choices["chunk that some sets lack"], case.data.choices["sets that lack it"]
        positions.add(position)
        lack.append(lacking.double().mean())
        given = [mask for _, mask in case.subject.module.masked]
        for number, (mask, chunk) in enumerate(zip(given, case.padded, strict=True)):
            assert torch.equal(mask, chunk.present & ~lacking[:, None] if number == position else chunk.present)
    assert positions == {0, 1, 2}
    assert 0.3 < float(torch.stack(lack).mean()) < 0.7


@pytest.mark.parametrize(
    ("sizes", "min_size", "is_tried"),
    [((2,), 1, False), ((1, 1), 1, True), ((2, 2), 3, False), ((3, 3), 3, True), ((2, 2, 1), 3, True)],
)
def test_sets_lack_a_chunk_if_the_others_have_enough_elements(
    sizes: tuple[int, ...], min_size: int, is_tried: bool
) -> None:
    comparison, case = ended(Mean, *sizes, seed=1, domain=Domain(min_size=min_size))
    assert holds(comparison)
    assert ("sets that lack it" in case.data.choices) == is_tried


class RefusesAbsentSets(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and not bool(mask.any(1).all()):
            raise ValueError("a set has no element")
        return super().update(state, x, mask)


class NanInOneChannel(Mean):
    """Divides one channel by the number of present elements of each chunk."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        total, number = super().part(x, mask)
        return Sums(total * torch.cat([(number / number)[:, None], torch.ones_like(total[:, 1:])], 1), number)


class OffsetOfAbsentSets(Mean):
    """Adds one for each chunk of which a set has no element."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        total, number = super().part(x, mask)
        return Sums(total + (number == 0)[:, None], number)


def test_a_set_that_lacks_a_chunk_is_encoded_without_it_or_refused() -> None:
    assert holds(ended(RefusesAbsentSets, 2, 1, seed=1)[0])
    of_nan, case = ended(NanInOneChannel, 2, 1, seed=1)
    lacking = case.data.choices["sets that lack it"]
    assert 0 < int(lacking.sum()) < 3
    assert (of_nan.gap > of_nan.bound).tolist() == lacking.tolist()
    assert of_nan.note == "a set whose elements are all masked in a chunk encodes to NaN"
    of_offset, _ = ended(OffsetOfAbsentSets, 2, 1, seed=1)
    assert (of_offset.gap > of_offset.bound).tolist() == lacking.tolist()
    assert of_offset.note == ""


class WithoutMask(Mean):
    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override]
        return super().update(state, x)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.readout(self.update(self.init_state(len(x)), x))


def test_the_laws_of_masks_ask_for_a_mask_and_that_of_streams_for_a_stream() -> None:
    for law_id in ("mbc.mask", "symmetry.padding"):
        law = get_law(law_id)
        assert law.unmet_requirement(subject_of()) is None
        assert (law.unmet_requirement(subject_of(WithoutMask)) or "").startswith("it takes no argument `mask`")
    of_layer = [
        get_law(law_id).unmet_requirement(subject_of(TightLayer)) for law_id in ("mbc.mask", "symmetry.padding")
    ]
    assert of_layer == ["it does not stream: no init_state, update and readout", None]
