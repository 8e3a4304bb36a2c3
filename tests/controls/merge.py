"""Encoders whose states merge wrongly, or that count chunks without elements."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from tests.controls.base import Max, Mean, Softmax, Sums, Weighed, count, hide


class MergeForgetsCount(Mean):
    """Merges sums, and keeps the left count."""

    breaks: ClassVar[str] = "mbc.merge"

    def merge(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, a.number)


class MergeAveragesMeans(Mean):
    """Merges two means as if they were of equal size."""

    breaks: ClassVar[str] = "mbc.merge"

    def merge(self, a: Any, b: Any) -> Any:
        number = a.number + b.number
        mean = (self.readout(a) + self.readout(b)) / 2
        return Sums(mean * number.unsqueeze(1), number)


class MergePrefersLeft(Mean):
    """Weights the left side of a merge by 1 + 1e-4."""

    breaks: ClassVar[str] = "mbc.merge"

    def merge(self, a: Any, b: Any) -> Any:
        return Sums(a.total * (1 + 1e-4) + b.total, a.number + b.number)


class MergeCountsFreshState(Mean):
    """Counts one element too many at each merge with a fresh state."""

    breaks: ClassVar[str] = "mbc.merge"

    def merge(self, a: Any, b: Any) -> Any:
        fresh = (a.number == 0) ^ (b.number == 0)
        return Sums(a.total + b.total, a.number + b.number + fresh)


class MergeKeepsLeftPeak(Softmax):
    """Merges numerators and denominators as if the left maximum were that of both."""

    breaks: ClassVar[str] = "mbc.merge"

    def merge(self, a: Any, b: Any) -> Any:
        return Weighed(torch.maximum(a.peak, b.peak), a.num + b.num, a.den + b.den)


class MergeTakesLargerSum(Max):
    """Merges maxima by their sums: the larger side wins as a whole."""

    breaks: ClassVar[str] = "mbc.merge"

    def merge(self, a: Any, b: Any) -> Any:
        left = (a.total.sum(1) >= b.total.sum(1)).unsqueeze(1)
        return Sums(torch.where(left, a.total, b.total), a.number + b.number)


class EmptyChunkCounted(Mean):
    """Counts at least one element per chunk."""

    breaks: ClassVar[str] = "mbc.empty"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return Sums(part.total, part.number.clamp(min=1) if mask is None else part.number)


class MaskedChunkCounted(Mean):
    """Counts at least one element per masked chunk."""

    breaks: ClassVar[str] = "mbc.empty"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return Sums(part.total, part.number if mask is None else part.number.clamp(min=1))


class MaximumOfNothing(Max):
    """Takes the maximum over no elements."""

    breaks: ClassVar[str] = "mbc.empty"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return Sums(hide(self.features(hide(x, mask)), mask, -torch.inf).amax(1), count(x, mask))


class EmptyChunkResets(Mean):
    """Starts again at an empty chunk."""

    breaks: ClassVar[str] = "mbc.empty"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x, mask) if x.shape[1] else self.init_state(len(x))


class EmptySetIsNaN(Mean):
    """Divides zero by zero for the empty set."""

    breaks: ClassVar[str] = "mbc.empty"
    also: ClassVar[tuple[str, ...]] = ("symmetry.padding",)

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.total / state.number.unsqueeze(1)
        return mean


class EmptyStreamIsNaN(EmptySetIsNaN):
    """Divides zero by zero where no element has arrived in a stream; a whole set without elements encodes to zeros."""

    breaks: ClassVar[str] = "mbc.empty"
    also: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return Mean.readout(self, self.part(x, mask))


class EmptyStreamIsInfinite(Max):
    """Reads out minus infinity where no element has arrived in a stream; an empty set in one piece encodes to zeros."""

    breaks: ClassVar[str] = "mbc.empty"

    def readout(self, state: Any) -> Tensor:
        maximum: Tensor = state.total
        return maximum

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return Max.readout(self, self.part(x, mask))


class EmptySetErrorWithoutMessage(Mean):
    """Raises an error without a message for the empty set."""

    breaks: ClassVar[str] = "mbc.empty"

    def readout(self, state: Any) -> Tensor:
        if not bool(state.number.any()):
            raise ValueError
        return super().readout(state)


class MergeWithItself(Mean):
    """Treats a state that is merged with itself as one stream, not as two equal ones."""

    breaks: ClassVar[str] = "mbc.program"

    def merge(self, a: Any, b: Any) -> Any:
        return a if a is b else super().merge(a, b)


class Merged(NamedTuple):
    """Sums, and True if they come from a merge."""

    total: Tensor
    number: Tensor
    merged: bool = False


class UncountedAfterMerge(Mean):
    """Does not count elements that are fed after a merge."""

    breaks: ClassVar[str] = "mbc.program"

    def init_state(self, batch_size: int) -> Any:
        return Merged(*super().init_state(batch_size))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        total, number = self.add(state, self.part(x, mask))
        return Merged(total, state.number if state.merged else number, state.merged)

    def merge(self, a: Any, b: Any) -> Any:
        total, number = self.add(a, b)
        return Merged(total, number, merged=True)
