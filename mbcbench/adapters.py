"""Adapters for encoders that follow another convention.

An encoder with the methods `init_state`, `update`, `readout` (and `merge`) needs no adapter: its state may be any
combination of tuples, dicts and dataclasses of tensors.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mbcbench.protocol.state import map_state
from mbcbench.types import Encoder, JsonDict, State


class StepsAdapter(nn.Module):
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
        `(module, x) -> Tensor`: the module's own encoding of a whole set `x` (`B x n x d`), which is then compared with
        its stream. Without it the steps are used.
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
        super().__init__()
        self.module = module
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


class StatefulAdapter(nn.Module):
    """Adapter for an encoder that keeps its state in its own attributes and changes it there.

    Between the steps the attributes are carried as a dict, and each step works on a copy of them.

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
        super().__init__()
        self.module = module
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


def _copied(value: State) -> State:
    """Return a copy that operations in place do not reach; unlike `copy.copy`, a clone of a tensor keeps its graph."""
    return map_state(torch.clone, value if isinstance(value, Tensor) else copy.copy(value))


class MaskAdapter(nn.Module):
    """Adapter for an encoder of whole sets with another mask convention: an inverted mask, lengths, or none.

    Parameters
    ----------
    module
        The encoder.
    call
        `(module, x, mask) -> Tensor`: the encoding of the elements of `x` (`B x n x d`) for which `mask` (`B x n`,
        boolean) is True.
    """

    def __init__(self, module: nn.Module, call: Callable[[Encoder, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.module = module
        self._call = call

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the encoding of the elements of `x` (`B x n x d`) that `mask` (`B x n`) marks as present."""
        present = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        return self._call(self.module, x, present)


def pyg(aggregation: nn.Module) -> MaskAdapter:
    """Adapt an aggregation of PyTorch Geometric.

    The elements of all sets are passed as one tensor, with the number of its set for each element.

    Parameters
    ----------
    aggregation
        A module of `torch_geometric.nn.aggr`.

    Returns
    -------
    MaskAdapter
        An encoder from `B x n x d` to `B x d_out`.
    """
    return MaskAdapter(aggregation, _aggregate)


def _aggregate(aggregation: Encoder, x: Tensor, mask: Tensor) -> Tensor:
    index = torch.arange(len(x), device=x.device).repeat_interleave(mask.sum(1))
    out: Tensor = aggregation(x[mask], index=index, dim_size=len(x), dim=-2)
    return out
