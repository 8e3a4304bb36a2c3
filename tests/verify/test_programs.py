"""Programs over states, run as they are, without a search."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Slots, Sum

WIDTH = 3


def holds(comparison: Comparison) -> bool:
    return bool((comparison.gap <= comparison.bound).all())


class SumOfChunkMeans(Sum):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, mask)._replace(total=self.features(x).mean(1))


class CountsReloads(Mean):
    """Loses the count of a state that was saved and loaded: only the very object that was returned has it."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.counts: dict[int, Tensor] = {}
        self.alive: list[Any] = []

    def init_state(self, batch_size: int) -> Any:
        return self.remember(super().init_state(batch_size).total, torch.zeros(batch_size))

    def remember(self, total: Tensor, number: Tensor) -> Any:
        self.counts[id(total)] = number
        self.alive.append(total)
        return [total]

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        number = self.counts.get(id(state[0]), torch.zeros(len(x)))
        return self.remember(state[0] + self.features(x).sum(1), number + x.shape[1])

    def merge(self, a: Any, b: Any) -> Any:
        numbers = [self.counts.get(id(state[0]), torch.zeros(len(state[0]))) for state in (a, b)]
        return self.remember(a[0] + b[0], numbers[0] + numbers[1])

    def readout(self, state: Any) -> Tensor:
        number = self.counts.get(id(state[0]), torch.ones(len(state[0])))
        mean: Tensor = state[0] / number.clamp(min=1)[:, None]
        return mean


class MergeLosesRight(Mean):
    def merge(self, a: Any, b: Any) -> Any:
        return a


class CannotBeSaved(Mean):
    def init_state(self, batch_size: int) -> Any:
        return [super().init_state(batch_size), object()]

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return [super().update(state[0], x, mask), state[1]]

    def readout(self, state: Any) -> Tensor:
        return super().readout(state[0])

    def merge(self, a: Any, b: Any) -> Any:
        return [super().merge(a[0], b[0]), a[1]]


FEEDS = (("feed", 0, 1), ("feed", 0, 2))
RELOADS = (("feed", 0, 2), ("reload", 0), ("feed", 0, 1))
MERGES = (("feed", 0, 1), ("feed", 1, 2), ("merge", 1, 0))


def run_program(encoder: type[nn.Module], program: tuple[tuple[str | int, ...], ...]) -> Comparison:
    example = Example(sizes=(1,), kinds=(0,), program=program)
    torch.manual_seed(0)  # with some weights all encodings are zero
    with torch.no_grad():
        return get_law("mbc.program").check(Subject(encoder(WIDTH).double().eval(), WIDTH), ExampleData(example, WIDTH))


@pytest.mark.parametrize(
    ("encoder", "broken"),
    [
        (Mean, ()),
        (Slots, ()),
        (SumOfChunkMeans, (FEEDS, RELOADS, MERGES)),
        (CountsReloads, (RELOADS,)),
        (MergeLosesRight, (MERGES,)),
        (CannotBeSaved, (RELOADS,)),
    ],
)
def test_a_program_breaks_an_encoder_with_the_step_that_it_gets_wrong(encoder: type[nn.Module], broken: object) -> None:
    assert tuple(p for p in (FEEDS, RELOADS, MERGES) if not holds(run_program(encoder, p))) == broken


def test_a_program_that_forks_merges_and_reads_a_correct_stream_holds() -> None:
    steps = (("feed", 0, 2), ("read", 0), ("feed", 1, 3), ("merge", 0, 1), ("merge", 0, 0), ("reload", 2), ("read", 1))
    comparison = run_program(Mean, steps)
    assert holds(comparison)
    assert comparison.scale is not None
    assert bool((comparison.scale > 0).all())  # something was compared
    note = run_program(CannotBeSaved, RELOADS).note
    assert note == "a state may hold tensors and plain values, not object"
