"""Encoders whose stream depends on how the set is cut into chunks, or on their order."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from tests.controls.base import ORDERED, STREAM, WIDTH, Max, Mean, Sum, Sums, count, hide


def any_present(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return 1 for each chunk with at least one element, else 0; `B`."""
    return count(x, mask).clamp(max=1)


class MeanOfChunkMeans(Mean):
    """Averages the means of chunks, whatever their sizes."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        whole = super().part(x, mask)
        return Sums(whole.total / whole.number.clamp(min=1).unsqueeze(1), any_present(x, mask))


class CountsChunks(Mean):
    """Divides the sum by the number of chunks."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return Sums(super().part(x, mask).total, any_present(x, mask))


class ChunkSoftmax(Sum):
    """Takes the softmax within each chunk, and sums over chunks."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        features = self.features(hide(x, mask))
        weights = hide(features, mask, -1e9).softmax(1)
        return Sums(hide(weights * features, mask).sum(1), count(x, mask))


class MeanOfChunkSoftmaxes(ChunkSoftmax):
    """Takes the softmax within each chunk, and averages the chunks by their sizes."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        pooled = super().part(x, mask)
        return Sums(pooled.total * pooled.number.unsqueeze(1), pooled.number)

    def readout(self, state: Any) -> Tensor:
        return Mean.readout(self, state)


class EpsilonPerChunk(Mean):
    """Adds 1e-8 for each chunk."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return Sums(part.total + 1e-8 * any_present(x, mask).unsqueeze(1), part.number)


class BiasPerChunk(Sum):
    """Adds a trainable bias, zero at first, for each chunk."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return Sums(part.total + self.bias * any_present(x, mask).unsqueeze(1), part.number)


class MaximumOfChunkSums(Max):
    """Keeps the largest of the chunks' sums."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        total = hide(self.features(hide(x, mask)), mask).sum(1)
        number = count(x, mask)
        return Sums(total.masked_fill(number.unsqueeze(1) == 0, -torch.inf), number)


class MeanOfChunkVariances(Mean):
    """Averages the variances of chunks by their sizes, without the variance between chunks."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        whole = super().part(x, mask)
        number = whole.number.clamp(min=1)[:, None, None]
        centred = self.features(hide(x, mask)) - whole.total.unsqueeze(1) / number
        return Sums(whole.total + hide(centred.square(), mask).sum(1), whole.number)


class ChunkCentred(Mean):
    """Centres the elements by the mean of their chunk."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        x = hide(x, mask)
        mean = x.sum(1) / count(x, mask).clamp(min=1).unsqueeze(1)
        return super().part(x - 0.5 * mean.unsqueeze(1), mask)


class ChunkNormalised(Sum):
    """Divides each chunk's sum by the root of its size."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return Sums(part.total / part.number.clamp(min=1).sqrt().unsqueeze(1), part.number)


class ChunkHierarchy(Sum):
    """Applies the second layer to each chunk, and sums the results."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = STREAM

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.second = nn.Linear(WIDTH, WIDTH)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return Sums(silu(self.second(part.total)) * any_present(x, mask).unsqueeze(1), part.number)


class ChunkMedian(Mean):
    """Averages the medians of chunks by their sizes."""

    breaks: ClassVar[str] = "mbc.partition"
    also: ClassVar[tuple[str, ...]] = (*STREAM, "hygiene.nonfinite")  # the median ignores NaN too

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        number = count(x, mask)
        if x.shape[1] == 0:
            return Sums(super().part(x, mask).total, number)
        middle = hide(self.features(hide(x, mask)), mask, torch.nan).nanmedian(1).values
        return Sums(torch.where(number.unsqueeze(1) > 0, middle * number.unsqueeze(1), 0.0), number)


class ChunkCap100(Mean):
    """Reads the first hundred elements of a chunk."""

    breaks: ClassVar[str] = "mbc.partition"
    # Another order gives other first hundred elements.
    also: ClassVar[tuple[str, ...]] = ("symmetry.permutation", "symmetry.padding", *STREAM)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x[:, :100], None if mask is None else mask[:, :100])


class SinglePrecisionSum(Mean):
    """Sums chunks in float32, but has a float64 state."""

    breaks: ClassVar[str] = "mbc.partition"
    # Another order of additions rounds differently, in float32.
    also: ClassVar[tuple[str, ...]] = (
        *ORDERED,
        "symmetry.permutation",
        "symmetry.padding",
        "hygiene.inputs",
        "hygiene.dtype",
    )

    def add(self, a: Any, b: Any) -> Any:
        total = a.total.float() + b.total.float()
        return Sums(total.to(a.total.dtype), a.number + b.number)


class Decay(Sum):
    """Forgets a tenth of the state at each chunk, as an exponential moving average does."""

    breaks: ClassVar[str] = "mbc.order"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "mbc.merge", *STREAM)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        remaining = 1 - 0.1 * any_present(x, mask).unsqueeze(1)
        return self.add(Sums(state.total * remaining, state.number), self.part(x, mask))


class Chunked(NamedTuple):
    """Sums, the number of chunks seen (`B`), and the part of one special chunk."""

    total: Tensor
    number: Tensor
    chunks: Tensor
    special: Tensor


class NoMerge(Mean):
    """A mean that also counts chunks and only streams; correct."""

    merge: Any = None

    def init_state(self, batch_size: int) -> Any:
        total, number = super().init_state(batch_size)
        return Chunked(total, number, number, total)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        total, number = self.add(state, self.part(x, mask))
        return Chunked(total, number, state.chunks + any_present(x, mask), state.special)


class FirstChunkDropped(NoMerge):
    """Leaves out the first chunk once a second one has arrived."""

    breaks: ClassVar[str] = "mbc.order"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", *STREAM)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        new = super().update(state, x, mask)
        first = (new.chunks == 1).unsqueeze(1)
        return new._replace(special=torch.where(first, new.total, state.special))

    def readout(self, state: Any) -> Tensor:
        left_out = state.special * (state.chunks > 1).unsqueeze(1)
        return super().readout(state._replace(total=state.total - left_out))


class LastChunkDropped(NoMerge):
    """Leaves out the last chunk, unless it is the only one."""

    breaks: ClassVar[str] = "mbc.order"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", *STREAM)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        new = super().update(state, x, mask)
        came = (new.chunks > state.chunks).unsqueeze(1)
        return new._replace(special=torch.where(came, new.total - state.total, state.special))

    def readout(self, state: Any) -> Tensor:
        left_out = state.special * (state.chunks > 1).unsqueeze(1)
        return super().readout(state._replace(total=state.total - left_out))


class LaterChunksWeightedLess(NoMerge):
    """Weights the i-th chunk by 1/i."""

    breaks: ClassVar[str] = "mbc.order"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", *STREAM)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        new = super().update(state, x, mask)
        weight = new.chunks.clamp(min=1).unsqueeze(1)
        return new._replace(total=state.total + (new.total - state.total) / weight)


class LargestChunkTwice(NoMerge):
    """Counts the largest chunk twice; the first of equal ones."""

    breaks: ClassVar[str] = "mbc.order"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", *STREAM)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        larger = part.number > state.chunks  # here: the size of the largest
        total, number = self.add(state, part)
        largest = torch.where(larger, part.number, state.chunks)
        return Chunked(total, number, largest, torch.where(larger.unsqueeze(1), part.total, state.special))

    def readout(self, state: Any) -> Tensor:
        return super().readout(state._replace(total=state.total + state.special))


class Recurrent(NoMerge):
    """Gates a chunk by the state before it."""

    breaks: ClassVar[str] = "mbc.order"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", *STREAM)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        new = super().update(state, x, mask)
        gate = 1 + 0.1 * state.total.tanh()
        return new._replace(total=state.total + gate * (new.total - state.total))
