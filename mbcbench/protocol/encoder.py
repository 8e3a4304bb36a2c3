"""The encoder protocol.

A set encoder maps `x` (`B x n x d`, with an optional boolean `mask`, `B x n`, True where an element is present) to a
tensor whose first dimension is `B`. A *streaming* encoder does so in steps on a state:

    init_state(batch_size) -> state      the state of an empty stream, the identity of merge
    update(state, x[, mask]) -> state    the state after one more chunk, `B x n_c x d`
    merge(a, b) -> state                 the state of both streams (optional)
    readout(state) -> Tensor             the encoding

A *plain* encoder is any module with `forward(x[, mask])`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from mbcbench.protocol.adapter import Adapter
from mbcbench.types import Encoder, State

S = TypeVar("S")
Module = TypeVar("Module", bound=nn.Module)


@runtime_checkable
class Streaming(Protocol):
    """Methods of a streaming encoder. `merge` is optional; `SetEncoder` describes all of them."""

    def init_state(self, batch_size: int) -> State:
        """Return the state of `batch_size` empty streams."""

    def update(self, state: State, x: Tensor) -> State:
        """Return the state after the chunk `x` (`B x n_c x d`)."""

    def readout(self, state: State) -> Tensor:
        """Return the encoding, `B x ...`."""


class SetEncoder(nn.Module, ABC, Generic[S]):
    """Base class of streaming encoders: subclasses define four steps, and `forward` is derived from them.

    The encoding f(X) of a set X is `readout(update(init_state(B), X))`, and that of its chunks X_1, ..., X_p is the
    read-out of the state after p updates. An encoder is mini-batch consistent if both are equal for any partition,

        g(f(X_1), ..., f(X_p)) = f(X)    (Property 2.1 of arXiv 2103.01615),

    which holds if `update` only accumulates. A state is a value, for example a named tuple of tensors: no method may
    modify it in place.

    Attributes
    ----------
    blockwise : bool
        True if `update` processes a long chunk in blocks, so that a longer chunk needs no more memory.
    """

    blockwise: ClassVar[bool] = False

    @abstractmethod
    def init_state(self, batch_size: int) -> S:
        """Return the state of empty streams; a random encoder draws here, once per stream.

        Parameters
        ----------
        batch_size
            Number of streams `B`.

        Returns
        -------
        S
            The state, the identity of `merge`.
        """

    @abstractmethod
    def update(self, state: S, x: Tensor, mask: Tensor | None = None) -> S:
        """Return the state after one more chunk.

        Parameters
        ----------
        state
            The state so far, which is not modified.
        x
            The chunk, `B x n_c x d`; `n_c` may be zero.
        mask
            Presence of the elements, `B x n_c`, True where present; None if all are.

        Returns
        -------
        S
            The new state.
        """

    @abstractmethod
    def merge(self, a: S, b: S) -> S:
        """Return the state of two streams together.

        Parameters
        ----------
        a, b
            States of streams that started from the same `init_state`; they are not modified.

        Returns
        -------
        S
            The state after the chunks of both.
        """

    @abstractmethod
    def readout(self, state: S) -> Tensor:
        """Return the encoding.

        Parameters
        ----------
        state
            A state, which is not modified.

        Returns
        -------
        Tensor
            The encoding, `B x ...`.
        """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the encoding of whole sets.

        Parameters
        ----------
        x
            The sets, `B x n x d`.
        mask
            Presence of the elements, `B x n`, True where present; None if all are.

        Returns
        -------
        Tensor
            The encoding, `B x ...`.
        """
        start = self.init_state(x.shape[0])
        return self.readout(self.update(start, x) if mask is None else self.update(start, x, mask=mask))


def is_streaming(module: nn.Module) -> bool:
    """Return True if `module` encodes in steps on a state."""
    return isinstance(module, Streaming)


def with_forward(module: Module) -> Module:
    """Return a module. If it streams and defines no `forward`, add that of `SetEncoder`: a stream of one chunk."""
    forward = getattr(module, "forward", None)
    if is_streaming(module) and getattr(forward, "__func__", None) is nn.Module.forward:
        module.forward = MethodType(SetEncoder.forward, module)
    return module


def has_own_forward(module: nn.Module) -> bool:
    """Return True if `module` defines how to encode a whole set, apart from its stream."""
    if isinstance(module, Adapter):
        return has_own_forward(module.module)
    return getattr(module.forward, "__func__", None) not in (SetEncoder.forward, nn.Module.forward)


def has_merge(module: nn.Module) -> bool:
    """Return True if two streams of `module` can be merged."""
    return callable(getattr(module, "merge", None))


def takes_mask(module: nn.Module) -> bool:
    """Return True if the method that reads elements accepts a `mask`."""
    return "mask" in parameters_of(module)


def forward_takes_mask(module: nn.Module) -> bool:
    """Return True if a whole set can be encoded with a `mask`, not only a chunk of a stream."""
    parameters = parameters_of_method(module.forward)
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if passes_on and isinstance(module, Adapter):
        return forward_takes_mask(module.module)
    return passes_on or "mask" in parameters


def parameters_of(module: nn.Module) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the method that reads elements; for an adapter, also those that it passes on.

    The elements come first. Their name in the adapted encoder does not matter, since they are passed by position.
    """
    method: Any = module.update if is_streaming(module) else module.forward
    parameters = parameters_of_method(method)
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    inner = parameters_of(module.module) if isinstance(module, Adapter) and passes_on else {}
    return {**parameters, **dict(list(inner.items())[1:])}


def parameters_of_method(method: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a method, which TorchScript knows by its schema only."""
    schema = getattr(method, "schema", None)
    if schema is None:
        return dict(inspect.signature(method).parameters)
    names = [argument.name for argument in schema.arguments if argument.name != "self"]
    return {name: inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names}


Aggregation = Literal["sum", "mean", "max", "min"]
AGGREGATIONS: tuple[Aggregation, ...] = ("sum", "mean", "max", "min")


class AggregationState(NamedTuple):
    """State of a `ChunkAggregation`: the aggregate of the chunk encodings so far, and the number of chunks."""

    value: Tensor | None
    chunks: int


class ChunkAggregation(nn.Module):
    """A plain encoder f as a streaming one: `g(f(X_1), ..., f(X_p))` (eq. 1).

    Chunks are encoded independently by `f`, and their encodings are aggregated by `g`. Chunks without elements are
    skipped, since `f` may be undefined for them; `readout` raises ValueError for a stream without elements. `forward`
    encodes a whole set by `f` alone.

    Parameters
    ----------
    f
        Encoder of whole sets, from `B x n x d` to `B x ...`.
    g
        Aggregation of chunk encodings. `mean` is the unweighted mean, as in the paper.
    """

    def __init__(self, f: nn.Module, g: Aggregation) -> None:
        super().__init__()
        self.f = f
        self.g = g

    def init_state(self, batch_size: int) -> AggregationState:
        """Return the state of an empty stream."""
        return AggregationState(None, 0)

    def update(self, state: AggregationState, x: Tensor) -> AggregationState:
        """Return the state after the chunk `x` (`B x n_c x d`)."""
        if x.shape[1] == 0:
            return state
        return self.merge(state, AggregationState(self.f(x), 1))

    def merge(self, a: AggregationState, b: AggregationState) -> AggregationState:
        """Return the state after the chunks of both streams."""
        if a.value is None or b.value is None:
            return b if a.value is None else a
        return AggregationState(_combine(self.g, a.value, b.value), a.chunks + b.chunks)

    def readout(self, state: AggregationState) -> Tensor:
        """Return the encoding, `B x ...`; raise ValueError for a stream without elements."""
        if state.value is None:
            raise ValueError("an empty set has no encoding under (f, g): give at least one element")
        return state.value / state.chunks if self.g == "mean" else state.value

    def forward(self, x: Tensor) -> Tensor:
        """Return `f(x)`, the encoding of the set `x` (`B x n x d`) in one piece."""
        out: Tensor = self.f(x)
        return out


def _combine(g: Aggregation, a: Tensor, b: Tensor) -> Tensor:
    if g == "max":
        return torch.maximum(a, b)
    if g == "min":
        return torch.minimum(a, b)
    return a + b


def encode_stream(module: Encoder, chunks: Sequence[Tensor]) -> Tensor:
    """Return the encoding of `chunks` (`B x n_c x d` each), streamed through a streaming encoder."""
    state = module.init_state(chunks[0].shape[0])
    for chunk in chunks:
        state = module.update(state, chunk)
    out: Tensor = module.readout(state)
    return out
