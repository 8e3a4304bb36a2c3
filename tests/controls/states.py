"""Encoders whose state is not a value, grows, or works for small sets only."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tests.controls.base import FORKED, STREAM, WIDTH, KeyedSums, Max, Mean, Slots, Slotted, Sum, Sums, count, hide
from tests.controls.mbc import NoMerge


class HandleState(KeyedSums):
    """Keeps the sums in a table on the module; the state is a key into it."""

    breaks: ClassVar[str] = "mbc.resume"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.table: dict[int, Sums] = {}


class Lazy(NamedTuple):
    """The sums, as a function to be called."""

    sums: Any


class ClosureState(Mean):
    """Keeps the sums in a closure."""

    breaks: ClassVar[str] = "mbc.resume"

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return Lazy(lambda: state)

    def add(self, a: Any, b: Any) -> Any:
        left, right = (side.sums() if isinstance(side, Lazy) else side for side in (a, b))
        return Lazy(lambda: Mean.add(self, left, right))

    def readout(self, state: Any) -> Tensor:
        return super().readout(state.sums())


class GeneratorState(Sum):
    """Keeps a random generator in the state, from which each chunk draws."""

    breaks: ClassVar[str] = "mbc.resume"

    def init_state(self, batch_size: int) -> Any:
        return Lazy((super().init_state(batch_size), torch.Generator().manual_seed(0)))

    def add(self, a: Any, b: Any) -> Any:
        sums, generator = a.sums
        return Lazy((super().add(sums, b.sums[0] if isinstance(b, Lazy) else b), generator))

    def readout(self, state: Any) -> Tensor:
        return super().readout(state.sums[0])


class InPlaceUpdate(Mean):
    """Modifies its argument, the state."""

    breaks: ClassVar[str] = "mbc.fork"
    also: ClassVar[tuple[str, ...]] = FORKED

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        state.total.add_(part.total)
        state.number.add_(part.number)
        return state


class InPlaceCount(Mean):
    """Returns a new sum, but modifies the count of its argument."""

    breaks: ClassVar[str] = "mbc.fork"
    also: ClassVar[tuple[str, ...]] = FORKED

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        return Sums(state.total + part.total, state.number.add_(part.number))


class ReadoutNormalises(Mean):
    """Divides the state by its count when it is read out."""

    breaks: ClassVar[str] = "mbc.fork"

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.total.div_(state.number.clamp(min=1).unsqueeze(1))
        return mean


class MergeInPlace(Mean):
    """Adds the right state of a merge to the left one."""

    breaks: ClassVar[str] = "mbc.fork"
    # A fresh state on the left of a merge is no longer fresh.
    also: ClassVar[tuple[str, ...]] = ("mbc.merge",)

    def merge(self, a: Any, b: Any) -> Any:
        a.total.add_(b.total)
        a.number.add_(b.number)
        return a


class StateOnModule(Mean):
    """Keeps the count on the module."""

    breaks: ClassVar[str] = "mbc.fork"
    also: ClassVar[tuple[str, ...]] = (
        "mbc.mask",
        *FORKED,
        "numerics.scale",
    )  # encodes between start and chunks

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.number = torch.zeros(1, dtype=torch.int64)

    def init_state(self, batch_size: int) -> Any:
        self.number = torch.zeros(batch_size, dtype=torch.int64)
        return super().init_state(batch_size)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        self.number = self.number + part.number
        return Sums(state.total + part.total, state.number)

    def readout(self, state: Any) -> Tensor:
        return super().readout(Sums(state.total, self.number))


class SharedBuffer(Mean):
    """Adds all streams to one buffer, which is emptied when a stream starts."""

    breaks: ClassVar[str] = "mbc.fork"
    also: ClassVar[tuple[str, ...]] = FORKED

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.shared = Sums(torch.zeros(0), torch.zeros(0))

    def init_state(self, batch_size: int) -> Any:
        self.shared = super().init_state(batch_size)
        return self.shared

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.shared = super().update(self.shared, x, mask)
        return self.shared


class TellsSize(Sum):
    """The sum, and the number of elements."""

    def readout(self, state: Any) -> Tensor:
        return torch.cat([super().readout(state), state.number.to(state.total.dtype).unsqueeze(1)], 1)


class Int8Count(TellsSize):
    """Counts in int8, where 127 + 1 = -128."""

    breaks: ClassVar[str] = "mbc.large"

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, (a.number + b.number).to(torch.int8).to(torch.int64))


class Int16Count(Mean):
    """Counts in int16, which overflows at 32,768."""

    breaks: ClassVar[str] = "mbc.large"

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, (a.number + b.number).to(torch.int16).to(torch.int64))


class UInt8Count(Mean):
    """Counts in uint8, which overflows at 256."""

    breaks: ClassVar[str] = "mbc.large"

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, (a.number + b.number).to(torch.uint8).to(torch.int64))


class Float16Count(Mean):
    """Counts in float16, where 2048 + 1 = 2048."""

    breaks: ClassVar[str] = "mbc.large"

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, (a.number.half() + b.number.half()).clamp(max=65504).to(torch.int64))


class ElementCap4096(Mean):
    """Reads the first 4,096 elements of a chunk."""

    breaks: ClassVar[str] = "mbc.large"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x[:, :4096], None if mask is None else mask[:, :4096])


class ElementCap65535(Mean):
    """Reads the first 65,535 elements of a chunk."""

    breaks: ClassVar[str] = "mbc.large"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x[:, :65535], None if mask is None else mask[:, :65535])


class ChunkCap1000(NoMerge):
    """Ignores everything after a thousand chunks."""

    breaks: ClassVar[str] = "mbc.large"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return state if bool((state.chunks >= 1000).all()) else super().update(state, x, mask)


class RingBuffer(Max):
    """Keeps the last thousand elements, and encodes them."""

    breaks: ClassVar[str] = "mbc.large"
    room: ClassVar[int] = 1000

    def init_state(self, batch_size: int) -> Any:
        empty = self.phi.weight.new_zeros(batch_size, 0, WIDTH)
        return Sums(empty, torch.zeros(batch_size, dtype=torch.int64))

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return Sums(hide(self.features(hide(x, mask)), mask, -torch.inf), count(x, mask))

    def add(self, a: Any, b: Any) -> Any:
        return Sums(torch.cat([a.total, b.total], 1)[:, -self.room :], a.number + b.number)

    def readout(self, state: Any) -> Tensor:
        if state.total.shape[1] == 0:
            return self.phi.weight.new_zeros(len(state.total), WIDTH)
        return super().readout(Sums(state.total.amax(1), state.number))


class KeepsElements(RingBuffer):
    """Keeps every element, and encodes them when it is read out."""

    breaks: ClassVar[str] = "mbc.memory"
    room: ClassVar[int] = 10**9


class DoublesItsBuffer(RingBuffer):
    """Keeps every element in a buffer, whose size doubles when it is full."""

    breaks: ClassVar[str] = "mbc.memory"

    def init_state(self, batch_size: int) -> Any:
        return Sums(self.phi.weight.new_full((batch_size, 1, WIDTH), -torch.inf), super().init_state(batch_size).number)

    def add(self, a: Any, b: Any) -> Any:
        number = a.number + b.number
        room = 2 ** max(int(number.max()) - 1, 0).bit_length()
        empty = a.total.new_full((len(a.total), room, WIDTH), -torch.inf)
        rows = torch.cat([a.total, b.total, empty], 1).sort(dim=1, descending=True).values
        return Sums(rows[:, :room], number)


class AppendsInPlace(Mean):
    """Appends each chunk to a list that all states of a stream share."""

    breaks: ClassVar[str] = "mbc.memory"
    also: ClassVar[tuple[str, ...]] = ("mbc.fork", *FORKED, *STREAM)

    def init_state(self, batch_size: int) -> Any:
        return [super().init_state(batch_size)]

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        state.append(self.part(x, mask))
        return state

    def merge(self, a: Any, b: Any) -> Any:
        return a + b

    def readout(self, state: Any) -> Tensor:
        return super().readout(Sums(sum(part.total for part in state), sum(part.number for part in state)))


class KeepsChunks(Mean):
    """Keeps a list of the sums of each chunk."""

    breaks: ClassVar[str] = "mbc.memory"

    def init_state(self, batch_size: int) -> Any:
        return [super().init_state(batch_size)]

    def add(self, a: Any, b: Any) -> Any:
        return a + (b if isinstance(b, list) else [b])

    def readout(self, state: Any) -> Tensor:
        total, number = (torch.stack(column).sum(0) for column in zip(*state, strict=True))
        return super().readout(Sums(total, number))


class KeepsHistory(NoMerge):
    """Keeps the sizes of all chunks, as plain numbers."""

    breaks: ClassVar[str] = "mbc.memory"

    def init_state(self, batch_size: int) -> Any:
        return {"sums": super().init_state(batch_size), "sizes": []}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return {"sums": super().update(state["sums"], x, mask), "sizes": [*state["sizes"], x.shape[1]]}

    def readout(self, state: Any) -> Tensor:
        return super().readout(state["sums"])


class DropoutInTraining(Mean):
    """Drops features, with another mask for each chunk."""

    breaks: ClassVar[str] = "mbc.train"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.dropout = nn.Dropout(0.5)

    def features(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(super().features(x))
        return dropped


class BatchNormOverElements(Mean):
    """Normalises by the statistics of a chunk in train mode."""

    breaks: ClassVar[str] = "mbc.train"
    also: ClassVar[tuple[str, ...]] = ("symmetry.train",)

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.norm = nn.BatchNorm1d(WIDTH)

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        if self.training and x[:, :, 0].numel() < 2:  # BatchNorm cannot train on a single element
            return features
        normed: Tensor = self.norm(features.flatten(0, 1)).view_as(features)
        return normed


class SlotsPerChunkInTraining(Slots):
    """Draws new slots for each chunk in train mode."""

    breaks: ClassVar[str] = "mbc.train"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        slots = state.slots + torch.randn_like(state.slots) if self.training else state.slots
        new = super().update(Slotted(slots, state.total), x, mask)
        return Slotted(state.slots, new.total)


class SubsamplesInTraining(Mean):
    """Reads a random half of each chunk in train mode."""

    breaks: ClassVar[str] = "mbc.train"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if self.training:
            x, mask = x[:, torch.rand(x.shape[1]) < 0.5], None
        return super().part(x, mask)
