"""Parameters without a gradient: in which ways an encoder is tried, and which gradient counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import substance
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import ExampleData
from mbcbench.verify.subject import Subject
from tests.controls.base import Mean
from tests.verify.helpers import WIDTH, check, data_of, holds, numbers, subject_of


class TwoParameters(nn.Module):
    """Has two parameters of two numbers each."""

    def __init__(self, dim_in: int = WIDTH) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.ones(2)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.a + x.sum((1, 2), keepdim=True)[..., 0]


@pytest.mark.parametrize(
    ("encode", "unused"),
    [
        (lambda module: module.a + module.b, []),
        (lambda module: module.a, ["b"]),
        (lambda module: module.a + 1.5e-12 * module.b, []),
        (lambda module: module.a + 0.7e-12 * module.b, ["b"]),
        (lambda module: module.a + numbers(0, 1) * module.b, []),
        (lambda module: numbers(0, 1) * module.a + module.b, []),
        (lambda module: 0 * module.a + 0 * module.b, ["a", "b"]),
        (lambda module: module.a.detach(), ["a", "b"]),
        (lambda module: module.a + torch.nan * module.b, ["b"]),
    ],
)
def test_a_parameter_is_unused_if_its_gradient_is_negligible(
    encode: Callable[[Any], Tensor], unused: list[str]
) -> None:
    subject, generator_state = subject_of(TwoParameters), torch.get_rng_state()
    with torch.no_grad():
        assert substance._unused_parameters(subject, data_of(4), lambda s: encode(s.module)) == unused
    assert torch.equal(torch.get_rng_state(), generator_state)


class Unused(TwoParameters):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * super().forward(x)


class UsedInTrainMode(TwoParameters):
    """Uses its second parameter in train mode only."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (self.b if self.training else 0)


@pytest.mark.parametrize(
    ("encoder", "note"),
    [
        (TwoParameters, "no gradient: b"),
        (Unused, "no parameter receives a gradient"),
        (UsedInTrainMode, ""),
        (Mean, ""),
    ],
)
def test_parameters_without_a_gradient_are_named(encoder: type[nn.Module], note: str) -> None:
    comparison = check("substance.parameters", encoder, 4)
    assert (comparison.note, holds(comparison)) == (note, not note)


class UsedForTwoElements(TwoParameters):
    """Raises for the sets of the example, and uses both parameters for smaller ones."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 4:
            raise RuntimeError("four elements")
        return super().forward(x) + self.b


def test_the_sets_of_the_example_must_be_encoded() -> None:
    assert holds(check("substance.parameters", UsedForTwoElements, 5))
    with pytest.raises(RuntimeError, match="four elements"):
        check("substance.parameters", UsedForTwoElements, 4)


class DrawsAndRaises(Mean):
    """Draws a number, keeps it and raises."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.drawn = torch.rand(1).item()
        raise RuntimeError("drawn")


def test_no_parameter_is_used_by_an_encoder_that_raises_and_its_draws_do_not_count() -> None:
    subject, data, drawn = subject_of(DrawsAndRaises), data_of(4, seed=7), []
    with torch.random.fork_rng():
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            unused = substance._unused_if_encoded(subject, data, lambda s: s.module(data.x))
            assert unused == ["phi.weight", "phi.bias"]
            assert torch.equal(torch.get_rng_state(), before)
            drawn.append(subject.module.drawn)
    assert drawn[0] == drawn[1]


class RecordingMean(Mean):
    """Keeps chunks and masks, and what is done with states."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.calls: list[Any] = []

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.calls.append((x, mask))
        return super().update(state, x, mask)

    def merge(self, a: Any, b: Any) -> Any:
        self.calls.append("merge")
        return super().merge(a, b)

    def readout(self, state: Any) -> Tensor:
        self.calls.append(f"readout of {state.number.tolist()}")
        return super().readout(state)


def calls_of_each_way(subject: Subject, data: ExampleData) -> list[list[Any]]:
    calls = []
    for encode in substance._unusual_inputs(subject, data):
        encode(subject)
        calls.append(list(subject.module.calls))
        subject.module.calls.clear()
    return calls


def test_a_parameter_may_be_used_for_sets_of_other_sizes() -> None:
    calls = calls_of_each_way(subject_of(RecordingMean), data_of(7))[:8]
    sets = [call[0][0] for call in calls]
    assert [x.shape for x in sets] == [(2, n, WIDTH) for n in (0, 1, 2, 3, 17, 33, 64, 257)]
    assert {x.dtype for x in sets} == {torch.float64}


def test_sets_of_other_sizes_are_drawn_alike_whatever_was_drawn_before() -> None:
    subject, data = subject_of(), data_of(7)
    assert torch.equal(*(substance._draw_sets(subject, data, 3) for _ in range(2)))


def test_a_parameter_may_be_used_for_masked_and_undefined_elements_and_in_streams() -> None:
    data = data_of(7)
    masked = calls_of_each_way(subject_of(RecordingMean), data)[8:]
    some, none, all_present, undefined, empty, streamed, merged = masked
    every_second = [True, False, True, False, True, False, True]
    assert [call[0][1].tolist() for call in (some, none, all_present)] == [
        [every_second] * 2,
        [[False] * 7] * 2,
        [[True] * 7] * 2,
    ]
    x = undefined[0][0]
    assert bool(x[:, 0].isnan().all())
    assert torch.equal(x[:, 1:], data.x[:, 1:])
    assert empty == ["readout of [0, 0]"]
    for calls in (streamed, merged):
        (left, _), (right, _) = calls[:2]
        assert torch.equal(torch.cat([left, right], 1), data.x)
        assert left.shape[1] == 3
    assert streamed[2:] == ["readout of [7, 7]"]
    assert merged[2:] == ["merge", "readout of [7, 7]"]


def test_what_an_encoder_cannot_do_uses_no_parameter() -> None:
    subject = subject_of(TwoParameters, domain=Domain(finite_only=True))
    assert len(list(substance._unusual_inputs(subject, data_of(4)))) == 8  # sets of other sizes
