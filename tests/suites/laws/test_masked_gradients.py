"""Which gradients of padded sets are compared, and what is said about wrong ones."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import masked_gradients, masks, padding
from mbcbench.suites.laws.gradients import linear_loss
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from tests.controls.base import WIDTH as FEATURES
from tests.controls.base import Mean, hide
from tests.controls.masks import NaNGradientOfPadding, NoGradientWithMask
from tests.suites.laws.masked_streams import SEEDS, data_of
from tests.verify.helpers import WIDTH, holds, subject_of
from tests.verify.test_law_conditions import Gates

OTHER_GRADIENT = "padding changes the gradient, and not the encoding"
NO_GRADIENT = "no gradient reaches elements or parameters if there is a mask"


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


# ---- which sets are compared


def test_sets_with_ties_are_left_out() -> None:
    kinds = ExampleData(Example(sizes=(2,), kinds=(1, 0, 2, 3, 10, 5)), WIDTH)
    assert masked_gradients._tie_free_sets(kinds).tolist() == [1, 3, 5]
    explicit = ExampleData(Example(sizes=(1,), kinds=(2,), values=((1.0, 2.0, 3.0),), order=(0,)), WIDTH)
    assert masked_gradients._tie_free_sets(explicit).tolist() == [0]
    tied = ExampleData(Example(sizes=(2,), kinds=(1, 2)), WIDTH)
    none = masked_gradients._tie_free_sets(tied)
    assert (none.tolist(), none.dtype) == ([], torch.int64)


def test_only_sets_without_ties_can_be_wrong() -> None:
    data = ExampleData(Example(sizes=(2, 1), kinds=(1, 0, 2, 3)), WIDTH)
    comparison = masks._compare_gradients(subject_of(NoGradientWithMask), data)
    assert (comparison.gap > comparison.bound).tolist() == [False, True, False, True]
    assert comparison.note == NO_GRADIENT
    tied = ExampleData(Example(sizes=(2, 1), kinds=(1, 2)), WIDTH)
    assert masks._compare_gradients(subject_of(NoGradientWithMask), tied).gap.tolist() == [0.0, 0.0]
    assert tied.choices == {}


class RaisesInTraining(NoGradientWithMask):
    """Raises an error if a gradient is asked for and there is no mask."""

    message = "it cannot be trained"

    def features(self, x: Tensor) -> Tensor:
        if x.requires_grad and x.shape[1] == 2:
            raise RuntimeError(self.message)
        return super().features(x)


class RunsOutOfMemory(RaisesInTraining):
    message = "DefaultCPUAllocator: can't allocate memory"


def test_an_encoder_that_cannot_be_trained_has_no_gradients_to_compare() -> None:
    assert holds(padding._compare_gradients(subject_of(RaisesInTraining), data_of(2)))
    with pytest.raises(RuntimeError, match="allocate memory"):
        padding._compare_gradients(subject_of(RunsOutOfMemory), data_of(2))


class Roots(Mean):
    """The mean of square roots; it has no gradient if there is a mask."""

    def features(self, x: Tensor) -> Tensor:
        return x.abs().sqrt() @ self.phi.weight.T

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part if mask is None else part._replace(total=part.total.detach())


class GradientWithMaskOnly(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part._replace(total=part.total.detach()) if mask is None else part


def test_sets_are_left_out_whose_gradient_is_not_finite_or_zero_without_padding() -> None:
    for element, is_compared in (((0.0, 1.0, 2.0), False), ((3.0, 1.0, 2.0), True)):
        data = ExampleData(Example(sizes=(1,), values=(element,), order=(0,)), WIDTH)
        assert holds(padding._compare_gradients(subject_of(Roots), data)) != is_compared
        assert ("padding of the gradients" in data.choices) == is_compared
    data = data_of(2)
    assert holds(padding._compare_gradients(subject_of(GradientWithMaskOnly), data))
    assert data.choices == {}


# ---- padding


def test_padding_consists_of_zeros_or_of_ordinary_numbers() -> None:
    drawn: dict[str, list[Tensor]] = {"zeros": [], "ordinary numbers": []}
    lengths = set()
    for seed in range(60):
        data = data_of(2, 1, seed=seed)
        padded = masked_gradients._pad(subject_of(), data, data.chunks)
        for chunk, elements in zip(padded, data.chunks, strict=True):
            assert torch.equal(chunk.x[chunk.present], elements.flatten(0, 1))
            lengths.add(chunk.x.shape[1] - elements.shape[1])
            drawn[data.choices["padding of the gradients"]].append(chunk.x[~chunk.present].flatten())
    zeros, ordinary = (torch.cat(drawn[name]) for name in ("zeros", "ordinary numbers"))
    assert not bool(zeros.any())
    assert ordinary.square().mean().sqrt().item() == pytest.approx(1.0, abs=0.15)
    assert 20 < len(drawn["zeros"]) / 2 < 40
    assert lengths == {1, 2, 3}


def test_padding_of_tokens_consists_of_tokens() -> None:
    subject = subject_of(domain=Domain(vocabulary=2))
    for seed in SEEDS:
        data = data_of(2, seed=seed)
        (chunk,) = masked_gradients._pad(subject, data, [data.x.round().clamp(0, 1)])
        assert set(chunk.x.flatten().tolist()) <= {0.0, 1.0}


# ---- gradients


class Linear(nn.Module):
    """A sum of linear features."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(2))
        self.phi = nn.Linear(dim_in, FEATURES, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = hide(self.phi(x), mask).sum(1)
        return out


def weight_of_loss(data: ExampleData) -> Tensor:
    """Return the gradient of the loss for an encoding."""
    with torch.enable_grad():
        leaf = torch.zeros(1, FEATURES, dtype=torch.float64).requires_grad_()
        (weight,) = torch.autograd.grad(linear_loss(leaf, data), leaf)
    return weight


def test_gradients_for_present_elements_and_parameters_and_those_for_padding_are_told_apart() -> None:
    subject, data = subject_of(Linear), data_of(2, 1)
    module = subject.module
    padded = masked_gradients._pad(subject, data, data.chunks)
    number = sum(int((~chunk.present[0]).sum()) for chunk in padded)

    def encode(parts: Any) -> Tensor:
        return sum((module(*part) for part in parts), start=torch.zeros(()))

    def leak(parts: Any) -> Tensor:
        out = sum((module(part.x) for part in parts), start=torch.zeros(()))
        for part in parts:
            part.present.fill_(True)  # an encoder may write into its masks
        return out

    weight = weight_of_loss(data)
    found, on_padding = masked_gradients._gradients_of_padded(subject, data, padded, encode)
    on_elements, on_unused, on_phi = torch.split(found, [3 * WIDTH, 2, FEATURES * WIDTH], 1)
    assert torch.allclose(on_elements, (weight @ module.phi.weight).repeat(3, 3))
    assert on_unused.tolist() == [[0.0, 0.0]] * 3
    assert torch.allclose(on_phi, torch.outer(weight[0], data.x.sum((0, 1))).flatten().expand(3, -1))
    assert torch.equal(on_padding, torch.zeros(3, number * WIDTH, dtype=torch.float64))
    leaked, on_padding = masked_gradients._gradients_of_padded(subject, data, padded, leak)
    assert torch.allclose(leaked[:, : 3 * WIDTH], on_elements)
    assert torch.allclose(on_padding, (weight @ module.phi.weight).repeat(3, number))


def test_parameters_that_are_not_trained_have_no_gradient() -> None:
    module, data = subject_of(Linear).module, data_of(2)
    chunks, parameters, batch_size = masked_gradients._gradients(module, [data.x], lambda parts: module(*parts), data)
    assert [chunk.shape for chunk in chunks] == [data.x.shape]
    assert (parameters.shape, batch_size) == ((2 + FEATURES * WIDTH,), 3)
    module.requires_grad_(False)
    chunks, parameters, batch_size = masked_gradients._gradients(module, [data.x], lambda parts: module(*parts), data)
    assert torch.allclose(chunks[0], (weight_of_loss(data) @ module.phi.weight).expand(3, 2, -1))
    assert (parameters.tolist(), batch_size) == ([], 3)


# ---- verdicts


class StraightThrough(Mean):
    """Passes gradients to padding, and encodes none of it."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        hidden = x if mask is None else x.masked_fill(mask[..., None], 0)
        through = (hidden - hidden.detach()).sum((1, 2))[:, None]
        return part if mask is None else part._replace(total=part.total + through)


class RefusesGradientWithMask(Mean):
    """Raises an error if a gradient of padded sets is asked for."""

    error: type[Exception] = ValueError

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and x.requires_grad:
            raise self.error("no gradient of padded sets")
        return super().update(state, x, mask)


class RaisesOnGradientWithMask(RefusesGradientWithMask):
    error = RuntimeError


class ScalesGradient(Mean):
    """Doubles the gradient for one feature of the elements if there is a mask."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if mask is not None:
            x = torch.cat([2 * x[..., :1] - x[..., :1].detach(), x[..., 1:]], -1)
        return super().part(x, mask)


@pytest.mark.parametrize(
    ("encoder", "note"),
    [
        (StraightThrough, OTHER_GRADIENT),
        (ScalesGradient, OTHER_GRADIENT),
        (NoGradientWithMask, NO_GRADIENT),
        (RaisesOnGradientWithMask, "the gradient of a padded set raises RuntimeError: no gradient of padded sets"),
    ],
)
def test_a_wrong_gradient_is_described(encoder: type[nn.Module], note: str) -> None:
    for compare in (padding._compare_gradients, masks._compare_gradients):
        comparison = compare(subject_of(encoder), data_of(2))
        assert (comparison.gap > comparison.bound).tolist() == [True] * 3
        assert comparison.note.startswith(note)


def test_a_gradient_that_is_not_finite_on_padding_is_described() -> None:
    comparison = padding._compare_gradients(subject_of(NaNGradientOfPadding), data_of(2))
    assert not holds(comparison)
    assert comparison.note.startswith("the gradient of a padded set is NaN or infinite, although its encoding is right")


@pytest.mark.parametrize("encoder", [Mean, Gates, RefusesGradientWithMask])
def test_a_right_gradient_and_one_that_is_refused_are_no_fault(encoder: type[nn.Module]) -> None:
    for sizes in ((3,), (2, 1)):
        comparison = masks._compare_gradients(subject_of(encoder), data_of(*sizes))
        assert holds(comparison)
        assert comparison.note == ""
