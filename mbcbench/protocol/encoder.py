"""The encoder protocol.

A set encoder maps `x` (`B x n x d`, with an optional boolean `mask`, `B x n`, True where an element is present)
to a tensor whose first dimension is `B`. A *streaming* encoder does so by steps on a state:

    init_state(batch_size) -> state      the state of an empty stream, and the identity of merge
    update(state, x[, mask]) -> state    the state after one more chunk, `B x n_c x d`
    merge(a, b) -> state                 the state of both streams (optional)
    readout(state) -> Tensor             the encoding

A *plain* encoder is any module with `forward(x[, mask])`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

S = TypeVar("S")


@runtime_checkable
class Streaming(Protocol):
    """What makes an encoder a streaming one; `merge` is optional."""

    def init_state(self, batch_size: int) -> Any: ...
    def update(self, state: Any, x: Tensor) -> Any: ...
    def readout(self, state: Any) -> Tensor: ...


class SetEncoder(nn.Module, ABC, Generic[S]):
    """Base class of streaming encoders: the mathematics is written once, `forward` is derived from it.

    A state is a value: no method may modify one in place.
    """

    blockwise: ClassVar[bool] = False
    """Whether `update` reads a long chunk in blocks of its own, so that a longer one costs no more memory."""

    @abstractmethod
    def init_state(self, batch_size: int) -> S:
        """The state of `batch_size` empty streams; whatever is drawn at random is drawn here."""

    @abstractmethod
    def update(self, state: S, x: Tensor, mask: Tensor | None = None) -> S:
        """The state after the chunk `x` (`B x n_c x d`), of which `mask` (`B x n_c`) says what is present."""

    @abstractmethod
    def merge(self, a: S, b: S) -> S:
        """The state of two streams that began from the same `init_state`."""

    @abstractmethod
    def readout(self, state: S) -> Tensor:
        """The encoding, `B x ...`."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The encoding of the whole set `x` (`B x n x d`)."""
        return self.readout(self.update(self.init_state(x.shape[0]), x, mask))


def is_streaming(module: nn.Module) -> bool:
    """Whether `module` encodes by steps on a state."""
    return isinstance(module, Streaming)


def has_merge(module: nn.Module) -> bool:
    """Whether two streams of `module` can be merged."""
    return callable(getattr(module, "merge", None))


def takes_mask(module: nn.Module) -> bool:
    """Whether the step that reads elements accepts a `mask`."""
    step: Any = module.update if is_streaming(module) else module.forward
    return "mask" in inspect.signature(step).parameters


Aggregation = Literal["sum", "mean", "max", "min"]
AGGREGATIONS: tuple[Aggregation, ...] = ("sum", "mean", "max", "min")


class Aggregate(NamedTuple):
    """State of a pair (f, g): the aggregate of the chunk encodings so far, and their number."""

    value: Tensor | None
    chunks: int


class ChunkAggregation(nn.Module):
    """The pair (f, g) of eq. (1): chunks are encoded by `f` on their own and their encodings aggregated by `g`.

    `g="mean"` is the unweighted mean of chunk encodings, as the paper writes it. Chunks without elements are
    passed over: they hold nothing that `f` could encode.
    """

    def __init__(self, f: nn.Module, g: Aggregation) -> None:
        super().__init__()
        self.f = f
        self.g = g

    def init_state(self, batch_size: int) -> Aggregate:
        return Aggregate(None, 0)

    def update(self, state: Aggregate, x: Tensor) -> Aggregate:
        if x.shape[1] == 0:
            return state
        return self.merge(state, Aggregate(self.f(x), 1))

    def merge(self, a: Aggregate, b: Aggregate) -> Aggregate:
        if a.value is None or b.value is None:
            return b if a.value is None else a
        return Aggregate(_combine(self.g, a.value, b.value), a.chunks + b.chunks)

    def readout(self, state: Aggregate) -> Tensor:
        if state.value is None:
            raise ValueError("an empty set has no encoding under a pair (f, g): give at least one element")
        return state.value / state.chunks if self.g == "mean" else state.value

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.f(x)
        return out


def _combine(g: Aggregation, a: Tensor, b: Tensor) -> Tensor:
    if g == "max":
        return torch.maximum(a, b)
    if g == "min":
        return torch.minimum(a, b)
    return a + b


def encode_stream(module: Any, chunks: Sequence[Tensor]) -> Tensor:
    """The encoding of `chunks` (each `B x n_c x d`), streamed; `module` is a streaming encoder."""
    state = module.init_state(chunks[0].shape[0])
    for chunk in chunks:
        state = module.update(state, chunk)
    out: Tensor = module.readout(state)
    return out
