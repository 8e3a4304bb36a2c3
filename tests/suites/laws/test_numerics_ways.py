"""The ways in which a law about float32 encodes a set, and the estimate of its rounding error."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import numerics
from mbcbench.verify.subject import Subject
from tests.controls.base import Mean
from tests.suites.laws.encoders import DOUBLE, SINGLE, Given, Recording, Tabulated
from tests.verify.helpers import WIDTH, data_of, numbers, subject_of


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """What the encoders of class Recording are given in a test."""
    monkeypatch.setattr(Recording, "given", [])
    return Recording.given


# ---- other ways to encode a set


class MasksStreams(Mean):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class MasksSets(Mean):
    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override]
        return super().update(state, x)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.part(x, mask))


class PlainWithMask(nn.Module):
    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.inner = Mean(dim_in)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.inner(x, mask)
        return out


class Plain(PlainWithMask):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


STREAM, MASKED, MASKED_STREAM = " as a stream", " with masked elements", " as a stream with masked elements"


@pytest.mark.parametrize(
    ("encoder", "is_deterministic", "ways"),
    [
        (Mean, True, [STREAM, MASKED, MASKED_STREAM]),
        (Mean, False, [STREAM, MASKED, MASKED_STREAM]),
        (MasksStreams, True, [STREAM, MASKED_STREAM]),
        (MasksSets, True, [STREAM, MASKED]),
        (PlainWithMask, True, [MASKED]),
        (Plain, True, []),
    ],
)
def test_sets_are_encoded_in_each_way_that_an_encoder_has(
    encoder: Callable[[int], nn.Module], is_deterministic: bool, ways: list[str]
) -> None:
    subject, data = subject_of(encoder, deterministic=is_deterministic), data_of()
    encode_in = numerics._other_ways(subject)
    assert list(encode_in) == ways
    for encode in encode_in.values():
        torch.testing.assert_close(encode(subject.module, data.x, data), subject.module(data.x))


def test_a_masked_element_follows_those_of_a_set_or_a_chunk(given: list[Given]) -> None:
    subject, data = subject_of(Recording), data_of(2, 1)
    for encode in (numerics._beside_masked, numerics._streamed_beside_masked):
        encode(subject.module, data.x, data)
    for (x, mask, _), n in zip(given, (3, 2, 1), strict=True):
        assert mask is not None
        assert mask.tolist() == [[True] * n + [False]] * 2
        assert x[:, n].tolist() == [[1.0] * WIDTH] * 2
    assert torch.equal(given[0][0][:, :3], data.x)


@pytest.mark.parametrize(("gap", "differs"), [(0.9e-6, False), (1e-6, False), (1.5e-6, True)])
def test_encodings_differ_by_more_than_a_millionth_of_an_ordinary_one(gap: float, differs: bool) -> None:
    subject = Subject(Tabulated({DOUBLE: [[1.0]]}), WIDTH)
    whole = numbers(0, 0).reshape(2, 1)
    assert numerics._differ(subject, whole, whole + numbers(gap, 0).reshape(2, 1)).tolist() == [differs, False]
    large = numbers(100).reshape(1, 1)
    assert numerics._differ(subject, large, large + 100 * gap * (1 - 1e-6)).tolist() == [differs]


def test_outputs_of_masked_elements_are_cut_off() -> None:
    whole, other = torch.zeros(2, 3, 4), torch.arange(40.0).reshape(2, 4, 5)
    assert torch.equal(numerics._cut_to(whole, other), other[:, :3, :4])
    assert numerics._cut_to(whole, other[0]) is not None
    assert torch.equal(numerics._cut_to(whole, other[0]), other[0])


class Largest(nn.Module):
    """Encodes a set as the largest size of a number: no operation rounds."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs().amax((1, 2)).unsqueeze(1)


class Total(nn.Module):
    """Encodes a set as the difference of two equal elements."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, :1] - x[:, 1, :1]


class Saturated(nn.Module):
    """Encodes a set as numbers that do not depend on the elements, and are rounded."""

    def forward(self, x: Tensor) -> Tensor:
        return (100 + x.flatten(1).repeat(1, 50)).tanh()


@pytest.mark.parametrize(("module", "epsilons"), [(Largest(), 20), (Total(), 40), (Saturated(), 20)])
def test_the_error_of_float32_is_ten_times_the_largest_change_by_two_epsilons(module: nn.Module, epsilons: int) -> None:
    x = torch.ones(2, 2, WIDTH)
    subject = Subject(module, WIDTH)
    with torch.no_grad():
        error = numerics._float32_error(subject, x, subject.encode(x.double()))
    assert error.tolist() == pytest.approx([epsilons * torch.finfo(SINGLE).eps] * 2, rel=0.1)


class OverflowsWithoutMasks(Mean):
    """Has no masks for whole sets, although it takes the argument, and overflows with large weights."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            raise NotImplementedError("masks are for streams only")
        pooled: Tensor = self.phi(x).exp().mean(1).log()
        return pooled


def test_an_encoding_in_one_piece_is_judged_if_another_way_raises() -> None:
    for seed in range(20):
        data = data_of(4, seed=seed)
        with torch.no_grad():
            encodings = numerics._float32_encodings(
                subject_of(OverflowsWithoutMasks), subject_of(OverflowsWithoutMasks), data.x.float(), data
            )
        assert " with masked elements" not in encodings
        assert "" in encodings
