"""What the law of padding tries, and what it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import padding
from mbcbench.suites.laws.padded import Padded, pad_sets
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.subject import Subject
from tests.controls.base import Mean, hide
from tests.controls.masks import (
    LeakyLayer,
    MaskForgottenInTraining,
    NoGradientWithMask,
    TightEdges,
    TightLayer,
)
from tests.suites.laws.masked_streams import SEEDS, Remembers, are_normal, data_of
from tests.verify.helpers import WIDTH, holds, subject_of
from tests.verify.test_layer_outputs import LeakySpectrum, MaskedSpectrum


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


def forgetting(*lengths: int) -> Subject:
    subject = subject_of(Remembers)
    subject.module.lengths = lengths
    return subject


# ---- the law as a whole


@pytest.mark.parametrize(("seed", "first"), [(0, "nan"), (1, "inf"), (2, "0"), (3, "nan")])
def test_the_choices_say_where_the_padding_of_a_set_is_and_what_it_holds(seed: int, first: str) -> None:
    random, settled = data_of(2, seed=seed), data_of(2, seed=seed)
    for data, deterministic in ((random, False), (settled, True)):
        subject = subject_of(Remembers, deterministic=deterministic)
        comparison = padding.check_padding(subject, data)
        assert holds(comparison)
        assert comparison.note == ""
        assert data.choices["padding"] == f"one {first}, others of size 1000"
    assert random.choices.keys() == {"positions of the padding", "padding"}
    x, present = subject.module.masked[0]
    assert torch.equal(settled.choices["positions of the padding"], ~present)
    assert torch.equal(x[present], settled.x.flatten(0, 1))
    by_gradient, in_train_mode = "padding of the gradients", "positions of the padding in train mode"
    assert (by_gradient in settled.choices, in_train_mode in settled.choices) == (seed % 2 == 0, seed % 2 == 1)


def test_a_set_has_one_to_three_elements_of_padding() -> None:
    added = set()
    for seed in SEEDS:
        data = data_of(2, seed=seed)
        subject = subject_of(domain=Domain(finite_only=True))
        x, _ = padding._draw_padded(subject, data)
        assert bool(x.isfinite().all())
        assert bool(padding._draw_padded(subject_of(), data).x.isfinite().all()) == (seed % 3 == 2)
        added.add(x.shape[1] - 2)
    assert added == {1, 2, 3}


def test_finite_elements_are_not_padded_with_what_is_not_finite() -> None:
    data = data_of(2)
    assert holds(padding.check_padding(subject_of(domain=Domain(finite_only=True)), data))
    assert "padding" not in data.choices


class RefusesNan(Remembers):
    def features(self, x: Tensor) -> Tensor:
        if not bool(self.seen[-1][0].isfinite().all()):
            raise ValueError("an element is not finite")
        return super().features(x)


@pytest.mark.parametrize("seed", [0, 1])
def test_padding_that_is_refused_is_replaced_by_zeros(seed: int) -> None:
    subject = subject_of(RefusesNan)
    assert holds(padding.check_padding(subject, data_of(2, seed=seed)))
    (refused, mask), (finite, same) = subject.module.masked[:2]
    assert torch.equal(mask, same)
    assert torch.equal(finite, torch.where(refused.isfinite(), refused, 0))
    subject.module.lengths = (refused.shape[1],)
    assert not holds(padding.check_padding(subject, data_of(2, seed=seed)))


class OtherShape(Mean):
    """Has a channel less where there is a mask."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        encoding = super().forward(x, mask)
        return encoding if mask is None else encoding[:, 1:]


class Sorted(nn.Module):
    """All elements in order of size, `B x 3 n`: a set that is padded has an encoding of another shape."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return hide(x, mask).flatten(1).sort(1).values


class SortedPresent(Sorted):
    """Present elements only, of which all sets must have equally many."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None and len(set(mask.sum(1).tolist())) > 1:
            raise ValueError("sets must have as many elements")
        return super().forward(x if mask is None else x[mask].view(len(x), -1, x.shape[2]))


def test_encodings_of_other_shapes_are_compared_if_sets_of_all_sizes_have_one_shape() -> None:
    comparison = padding.check_padding(subject_of(OtherShape), data_of(2, seed=2))
    assert not holds(comparison)
    assert comparison.note == "shape (3, 3) instead of (3, 4)"
    for n in (2, 3):
        with pytest.raises(NotApplicable, match="sets of different sizes have encodings of different shapes"):
            padding.check_padding(subject_of(Sorted), data_of(n, seed=2))
    assert holds(padding.check_padding(subject_of(SortedPresent), data_of(2, seed=2, batch_size=1)))


# ---- leaks


@pytest.mark.parametrize(
    ("lengths", "is_changed"), [((), False), ((4,), True), ((7,), True), ((3, 5, 6, 8), False), ((4, 7), True)]
)
def test_padding_changes_an_ordinary_set_unless_the_mask_is_heeded(lengths: tuple[int, ...], is_changed: bool) -> None:
    assert padding._changes_ordinary(forgetting(*lengths), data_of(1)) is is_changed


@pytest.mark.parametrize(("dtype", "min_size"), [(torch.float32, 1), (torch.float64, 3)])
def test_ordinary_sets_are_normal_and_have_two_or_five_elements(dtype: torch.dtype, min_size: int) -> None:
    module = Remembers(WIDTH).to(dtype).eval()
    data = ExampleData(Example(sizes=(1,)), WIDTH, dtype=dtype)
    assert not padding._changes_ordinary(Subject(module, WIDTH, domain=Domain(min_size=min_size)), data)
    seen = [(x, mask) for x, mask in module.seen if len(x) == 2]  # others show whether the encoder is a layer
    assert [tuple(x.shape) for x, _ in seen] == [(2, min_size + n, WIDTH) for n in (3, 1, 6, 4)]
    for (x, mask), (elements, _) in zip(module.masked, seen[1::2], strict=True):
        assert x.dtype == elements.dtype == dtype
        assert torch.equal(x[mask], elements.flatten(0, 1))
        assert are_normal(elements)


class RefusesMask(Mean):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            raise ValueError("no masks today")
        return super().forward(x)


def test_a_mask_that_is_refused_changes_nothing() -> None:
    data = data_of(2)
    padded = pad_sets(data.x, 1, data, Domain())
    assert padding._changes(subject_of(RefusesMask), data.x, padded) is False
    assert padding._changes(subject_of(), data.x, padded) is False
    assert padding._changes(forgetting(3), data.x, padded) is True


@pytest.mark.parametrize(("lengths", "is_finite_fine"), [((), True), ((4,), False), ((7,), False), ((8,), False)])
def test_finite_padding_is_fine_unless_it_changes_this_set_or_an_ordinary_one(
    lengths: tuple[int, ...], is_finite_fine: bool
) -> None:
    subject, data = forgetting(*lengths), data_of(6)
    padded = pad_sets(data.x, 2, data, subject.domain, torch.nan)
    note = padding._describe_leak(subject, data, *padded)
    assert note.startswith("finite padding is fine" if is_finite_fine else "padding changes the encoding, with finite")


class MultipliesByMask(Mean):
    """Multiplies by the mask: zero times NaN is NaN."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if mask is None:
            return super().part(x, mask)
        return super().part(x, mask)._replace(total=(self.features(x) * mask[..., None]).sum(1))


class AddsPadding(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, mask)._replace(total=self.features(x).sum(1))


@pytest.mark.parametrize("seed", range(3))
def test_a_leak_is_explained_if_some_padding_is_not_finite(seed: int) -> None:
    fine, leaks = (padding.check_padding(subject_of(e), data_of(2, seed=seed)) for e in (MultipliesByMask, AddsPadding))
    assert holds(fine) == (seed == 2)
    assert not holds(leaks)
    assert fine.note.startswith("finite padding is fine") == (seed < 2)
    assert leaks.note == ("padding changes the encoding, with finite values too" if seed < 2 else "")


class WrongGradientAndMask(Remembers, NoGradientWithMask):
    """Has wrong gradients wherever it is masked, and a wrong encoding only where seven elements are."""

    lengths = (7,)


def test_a_fault_that_shows_in_ordinary_sets_is_left_to_them() -> None:
    assert not holds(padding.check_padding(subject_of(NoGradientWithMask), data_of(1, seed=2)))
    assert holds(padding.check_padding(subject_of(WrongGradientAndMask), data_of(1, seed=2)))


# ---- layers


def outputs_of_present(encoder: type[nn.Module], size: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Return the outputs for padded sets, those of present elements, and those for the sets without padding."""
    subject, data = subject_of(encoder), data_of(size)
    padded = pad_sets(data.x, 2, data, subject.domain)
    out, like = subject.encode_masked(*padded), subject.encode(data.x)
    return out, padding._of_present(subject, out, Padded(*padded), like), like


def test_the_outputs_of_a_layer_for_present_elements_are_compared() -> None:
    out, encoding, _ = outputs_of_present(Mean)
    assert encoding is out
    for sound in (TightLayer, TightEdges, MaskedSpectrum):
        _, outputs, like = outputs_of_present(sound)
        assert outputs.shape == like.shape
        assert torch.allclose(outputs, like)
    for faulty in (LeakyLayer, LeakySpectrum):
        _, outputs, like = outputs_of_present(faulty)
        assert outputs.shape == like.shape
        assert not torch.allclose(outputs, like)


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_keeps_the_law_if_it_heeds_the_mask(seed: int) -> None:
    for sound in (TightLayer, TightEdges, MaskedSpectrum):
        assert holds(padding.check_padding(subject_of(sound), data_of(3, seed=seed)))
    assert not holds(padding.check_padding(subject_of(LeakyLayer), data_of(3, seed=seed)))


# ---- train mode and gradients


class LayerThatForgetsInTraining(TightLayer):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, None if self.training else mask)


def test_padding_has_no_influence_in_train_mode() -> None:
    for faulty in (MaskForgottenInTraining, LayerThatForgetsInTraining):
        comparison = padding._compare_in_train_mode(subject_of(faulty), data_of(2))
        assert not holds(comparison)
        assert comparison.note == "padding changes the encoding in train mode only"
    for sound in (Mean, TightLayer, MaskedSpectrum):
        data = data_of(1)
        assert holds(padding._compare_in_train_mode(subject_of(sound), data))
        assert data.choices["positions of the padding in train mode"].sum(1).tolist() == [2] * 3


class LayerWithoutGradient(TightLayer):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out = super().forward(x, mask)
        return out if mask is None else out.detach()


def test_the_gradient_of_padded_sets_is_that_of_the_sets() -> None:
    for sound in (Mean, TightLayer, TightEdges, MaskedSpectrum):
        data = data_of(2)
        assert holds(padding._compare_gradients(subject_of(sound), data))
        assert "padding of the gradients" in data.choices
    for faulty in (NoGradientWithMask, LayerWithoutGradient):
        comparison = padding._compare_gradients(subject_of(faulty), data_of(2))
        assert not holds(comparison)
        assert comparison.note == "no gradient reaches elements or parameters if there is a mask"


# ---- layers in train mode


class DoubledInTraining(TightLayer):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return (2 if self.training else 1) * super().forward(x, mask)


class LeakyInTraining(DoubledInTraining):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, None if self.training else mask)


@pytest.mark.parametrize("seed", [1, 5, 9, 11])
def test_a_layer_that_differs_in_train_mode_is_compared_with_itself(seed: int) -> None:
    for n in (1, 3):
        data = data_of(n, seed=seed)
        assert holds(padding.check_padding(subject_of(DoubledInTraining), data))
        assert not holds(padding.check_padding(subject_of(LeakyInTraining), data))


class DoubledInTrainingFromSix(DoubledInTraining):
    """Needs six elements."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.shape[1] < 6:
            raise RuntimeError("six elements are needed")
        return super().forward(x, mask)


def test_a_layer_that_needs_many_elements_is_compared_in_train_mode() -> None:
    subject = subject_of(DoubledInTrainingFromSix, domain=Domain(min_size=6))
    assert holds(padding.check_padding(subject, data_of(6, seed=1)))


# ---- refusals


class CountsPadding(Mean):
    """Refuses numbers that are not finite, and counts what is masked."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if not bool(x.isfinite().all()):
            raise ValueError("the elements must be finite")
        return super().forward(x if mask is None else hide(x, mask))


def test_finite_padding_is_to_blame_if_other_padding_is_refused() -> None:
    for seed in (0, 1):
        comparison = padding.check_padding(subject_of(CountsPadding), data_of(2, seed=seed))
        assert not holds(comparison)
        assert comparison.note == ""
