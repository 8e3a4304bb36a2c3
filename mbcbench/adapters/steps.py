"""Adapters for streaming encoders of other conventions."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mbcbench.protocol.adapter import Adapter
from mbcbench.protocol.encoder import with_forward
from mbcbench.protocol.state import map_state
from mbcbench.types import Encoder, JsonDict, State


class StepsAdapter(Adapter):
    """Adapter for an encoder whose steps have other names or another order of arguments.

    Parameters
    ----------
    module
        The encoder.
    init_state
        `(module, batch_size) -> state`: the state of empty streams.
    update
        `(module, state, x) -> state`: the state after the chunk `x` (`B x n_c x d`).
    readout
        `(module, state) -> Tensor`: the encoding, `B x ...`.
    forward
        `(module, x) -> Tensor`: the module's own encoding of a whole set `x` (`B x n x d`), which laws compare with its
        stream. By default, a whole set is encoded as one chunk.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        init_state: Callable[[Encoder, int], State],
        update: Callable[[Encoder, State, Tensor], State],
        readout: Callable[[Encoder, State], Tensor],
        forward: Callable[[Encoder, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(module)
        self._init_state, self._update, self._readout, self._forward = init_state, update, readout, forward

    def init_state(self, batch_size: int) -> State:
        """Return the state of `batch_size` empty streams."""
        return self._init_state(self.module, batch_size)

    def update(self, state: State, x: Tensor) -> State:
        """Return the state after the chunk `x` (`B x n_c x d`)."""
        return self._update(self.module, state, x)

    def readout(self, state: State) -> Tensor:
        """Return the encoding, `B x ...`."""
        return self._readout(self.module, state)

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoding of the whole set `x` (`B x n x d`)."""
        if self._forward is not None:
            return self._forward(self.module, x)
        return self.readout(self.update(self.init_state(x.shape[0]), x))


class MergingStepsAdapter(StepsAdapter):
    """A `StepsAdapter` for an encoder that can also merge two streams.

    Parameters
    ----------
    module
        The encoder.
    merge
        `(module, a, b) -> state`: the state of both streams.
    **steps
        The other arguments of `StepsAdapter`.
    """

    def __init__(self, module: nn.Module, *, merge: Callable[[Encoder, State, State], State], **steps: State) -> None:
        super().__init__(module, **steps)
        self._merge = merge

    def merge(self, a: State, b: State) -> State:
        """Return the state of two streams that started from the same state."""
        return self._merge(self.module, a, b)


class RecurrentAdapter(Adapter):
    """Adapter for an encoder whose step takes the last state and returns an output and the next state.

    The encoding is the last output. `readout` raises ValueError for a stream without elements, which has no output.

    Parameters
    ----------
    module
        The encoder.
    step
        `(module, x, state) -> (encoding, state)` for a chunk `x` (`B x n_c x d`); the first state is None.
    one_by_one
        True if a step takes one element at a time (`B x 1 x d`).
    forward
        `(module, x) -> Tensor`: the module's own encoding of a whole set `x` (`B x n x d`), which laws compare with its
        stream. By default, a whole set is encoded as one chunk.
    """

    def __init__(
        self,
        module: nn.Module,
        step: Callable[[Encoder, Tensor, State], tuple[Tensor, State]],
        *,
        one_by_one: bool = False,
        forward: Callable[[Encoder, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(module)
        self._step, self._one_by_one, self._forward = step, one_by_one, forward

    def init_state(self, batch_size: int) -> JsonDict:
        """Return the state of empty streams."""
        return {"output": None, "state": None}

    def update(self, state: JsonDict, x: Tensor) -> JsonDict:
        """Return the state after the chunk `x` (`B x n_c x d`)."""
        if x.shape[1] == 0:
            return state
        chunks = [x[:, i : i + 1] for i in range(x.shape[1])] if self._one_by_one else [x]
        for chunk in chunks:
            output, memory = self._step(self.module, chunk, state["state"])
            state = {"output": output, "state": memory}
        return state

    def readout(self, state: JsonDict) -> Tensor:
        """Return the last output, `B x ...`."""
        if state["output"] is None:
            raise ValueError("a stream without elements has no output")
        output: Tensor = state["output"]
        return output

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoding of the whole set `x` (`B x n x d`)."""
        if self._forward is not None:
            return self._forward(self.module, x)
        return self.readout(self.update(self.init_state(x.shape[0]), x))


class StatefulAdapter(Adapter):
    """Adapter for an encoder that keeps its state in its own attributes and changes it there.

    Between the steps, a dict holds the attributes. Each step works on copies of them.

    Parameters
    ----------
    module
        The encoder.
    fields
        Names of the attributes that make up the state.
    reset
        `(module, batch_size)`: starts a stream; by default `module.reset()`.
    update
        `(module, x)`: adds the chunk `x` (`B x n_c x d`); by default `module.update(x)`.
    readout
        `(module) -> Tensor`: the encoding, `B x ...`; by default `module.compute()`.
    """

    def __init__(
        self,
        module: nn.Module,
        fields: Sequence[str],
        *,
        reset: Callable[[Encoder, int], State] = lambda module, batch_size: module.reset(),
        update: Callable[[Encoder, Tensor], State] = lambda module, x: module.update(x),
        readout: Callable[[Encoder], Tensor] = lambda module: module.compute(),
    ) -> None:
        super().__init__(module)
        self.fields = tuple(fields)
        self._reset, self._update, self._readout = reset, update, readout

    def init_state(self, batch_size: int) -> JsonDict:
        """Return the state of `batch_size` empty streams."""
        self._reset(self.module, batch_size)
        return self._collect_state()

    def update(self, state: JsonDict, x: Tensor) -> JsonDict:
        """Return the state after the chunk `x` (`B x n_c x d`)."""
        self._restore_state(state)
        self._update(self.module, x)
        return self._collect_state()

    def readout(self, state: JsonDict) -> Tensor:
        """Return the encoding, `B x ...`."""
        self._restore_state(state)
        return self._readout(self.module)

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoding of the whole set `x` (`B x n x d`)."""
        return self.readout(self.update(self.init_state(x.shape[0]), x))

    def _collect_state(self) -> JsonDict:
        return {name: _copied(getattr(self.module, name)) for name in self.fields}

    def _restore_state(self, state: JsonDict) -> None:
        for name, value in state.items():
            setattr(self.module, name, _copied(value))


class MergingStatefulAdapter(StatefulAdapter):
    """A `StatefulAdapter` for an encoder that can also merge two streams.

    Parameters
    ----------
    module
        The encoder.
    fields
        Names of the attributes that make up the state.
    merge
        `(module, other)`: adds the stream whose state is the dict `other` to that of the module; by default
        `module.merge_state(other)`.
    **steps
        The other arguments of `StatefulAdapter`.
    """

    def __init__(
        self,
        module: nn.Module,
        fields: Sequence[str],
        *,
        merge: Callable[[Encoder, JsonDict], State] = lambda module, other: module.merge_state(other),
        **steps: State,
    ) -> None:
        super().__init__(module, fields, **steps)
        self._merge = merge

    def merge(self, a: JsonDict, b: JsonDict) -> JsonDict:
        """Return the state of two streams that started from the same state."""
        self._restore_state(a)
        self._merge(self.module, {name: _copied(value) for name, value in b.items()})
        return self._collect_state()


class StreamByStreamAdapter(Adapter):
    """Adapter for a streaming encoder that handles one stream at a time: the state of a batch is a list of states.

    Parameters
    ----------
    module
        A streaming encoder, or an adapter that makes it one; it is called with chunks `1 x n_c x d`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(with_forward(module))

    def init_state(self, batch_size: int) -> list[State]:
        """Return the states of `batch_size` empty streams."""
        return [self.module.init_state(1) for _ in range(batch_size)]

    def update(self, state: list[State], x: Tensor) -> list[State]:
        """Return the states after the chunk `x` (`B x n_c x d`)."""
        return [self.module.update(stream, chunk[None]) for stream, chunk in zip(state, x, strict=True)]

    def readout(self, state: list[State]) -> Tensor:
        """Return the encoding, `B x ...`."""
        return torch.cat([self.module.readout(stream) for stream in state])

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoding of the whole set `x` (`B x n x d`)."""
        return torch.cat([self.module(elements[None]) for elements in x])


class MergingStreamByStreamAdapter(StreamByStreamAdapter):
    """A `StreamByStreamAdapter` for an encoder that can also merge two streams.

    Parameters
    ----------
    module
        A streaming encoder with `merge`, or an adapter that makes it one; it is called with chunks `1 x n_c x d`.
    """

    def merge(self, a: list[State], b: list[State]) -> list[State]:
        """Return the merged states, stream by stream, of two batches that started from the same states."""
        return [self.module.merge(left, right) for left, right in zip(a, b, strict=True)]


def _copied(value: State) -> State:
    """Return a copy that in-place operations do not affect; unlike `copy.copy`, it keeps the graph of a tensor."""
    return map_state(torch.clone, value if isinstance(value, Tensor) else copy.copy(value))
