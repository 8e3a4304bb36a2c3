"""Masked streams of small encoders, for tests of the parts of a law."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from mbcbench.protocol import state as pytree
from mbcbench.suites.laws import masks
from mbcbench.suites.laws.padded import Padded
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.subject import Subject
from tests.controls.base import Mean
from tests.verify.helpers import WIDTH, subject_of

SEEDS = range(24)


class Remembers(Mean):
    """Remembers the sets and masks that it is given, and takes all elements for present in sets of some lengths."""

    lengths: tuple[int, ...] = ()

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.seen.append((x.clone(), mask))
        return super().update(state, x, None if x.shape[1] in self.lengths else mask)

    @property
    def masked(self) -> list[tuple[Tensor, Tensor]]:
        """Sets with a mask."""
        return [(x, mask) for x, mask in self.seen if mask is not None]


class Case(NamedTuple):
    """Arguments of the parts of the law."""

    subject: Subject
    data: ExampleData
    padded: list[Padded]
    start: Any
    expected: Tensor


def data_of(*sizes: int, seed: int = 0, batch_size: int = 3) -> ExampleData:
    return ExampleData(Example(sizes=sizes, kinds=(0,) * batch_size, seed=seed), WIDTH)


def case_of(encoder: Callable[[int], nn.Module], *sizes: int, seed: int = 0, **more: Any) -> Case:
    subject, data = subject_of(encoder, **more), data_of(*sizes, seed=seed)
    start = subject.init_state(len(data.x))
    padded = masks._pad_chunks(subject, data)
    return Case(subject, data, padded, start, subject.stream(data.chunks, pytree.clone(start)))


def are_normal(x: Tensor) -> bool:
    """Return True if no element consists of small integers."""
    return bool((x != x.round()).any(2).all())
