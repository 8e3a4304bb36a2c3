"""Adapters: encoders that are written to another convention, as the laws want them, in a few lines each.

An encoder whose methods already are `init_state`, `update`, `readout` (and `merge`) needs none: its state may be any
mixture of tuples, dicts and dataclasses of tensors.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.protocol.state import map_state


class StepsAdapter(nn.Module):
    """An encoder with steps of other names or another order of arguments, given as functions of the module.

    init_state: `(module, batch_size) -> state`. update: `(module, state, x) -> state`. readout: `(module, state) ->
    Tensor`. merge: `(module, a, b) -> state`, if there is one. forward: `(module, x) -> Tensor`, the module's own
    computation of a whole set; without it the steps are used, and nothing is learnt about the module's own.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        init_state: Callable[[Any, int], Any],
        update: Callable[[Any, Any, Tensor], Any],
        readout: Callable[[Any, Any], Tensor],
        merge: Callable[[Any, Any, Any], Any] | None = None,
        forward: Callable[[Any, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self._init_state, self._update, self._readout, self._forward = init_state, update, readout, forward
        self._merge = merge

    def init_state(self, batch_size: int) -> Any:
        return self._init_state(self.module, batch_size)

    def update(self, state: Any, x: Tensor) -> Any:
        return self._update(self.module, state, x)

    def readout(self, state: Any) -> Tensor:
        return self._readout(self.module, state)

    def __getattr__(self, name: str) -> Any:
        if name == "merge" and self.__dict__.get("_merge") is not None:  # absent where the module cannot merge
            return lambda a, b: self._merge(self.module, a, b)  # type: ignore[misc]
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        if self._forward is not None:
            return self._forward(self.module, x)
        return self.readout(self.update(self.init_state(x.shape[0]), x))


class StatefulAdapter(nn.Module):
    """An encoder that keeps its state on itself, in the attributes `fields`, and changes it there.

    reset: `(module, batch_size)`, begins a stream. update: `(module, x)`, takes a chunk. readout: `(module) ->
    Tensor`. Between the steps the attributes are carried as a dict, and each step works on a copy of them.
    """

    def __init__(
        self,
        module: nn.Module,
        fields: Sequence[str],
        *,
        reset: Callable[[Any, int], Any] = lambda module, batch_size: module.reset(),
        update: Callable[[Any, Tensor], Any] = lambda module, x: module.update(x),
        readout: Callable[[Any], Tensor] = lambda module: module.compute(),
    ) -> None:
        super().__init__()
        self.module = module
        self.fields = tuple(fields)
        self._reset, self._update, self._readout = reset, update, readout

    def init_state(self, batch_size: int) -> dict[str, Any]:
        self._reset(self.module, batch_size)
        return self._taken()

    def update(self, state: dict[str, Any], x: Tensor) -> dict[str, Any]:
        self._put(state)
        self._update(self.module, x)
        return self._taken()

    def readout(self, state: dict[str, Any]) -> Tensor:
        self._put(state)
        return self._readout(self.module)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(x.shape[0]), x))

    def _taken(self) -> dict[str, Any]:
        return {name: copy.copy(getattr(self.module, name)) for name in self.fields}

    def _put(self, state: dict[str, Any]) -> None:
        for name, value in map_state(torch.clone, state).items():  # a clone keeps the graph
            setattr(self.module, name, value)


class MaskAdapter(nn.Module):
    """An encoder of whole sets that is told otherwise which elements are present: an inverted mask, lengths, nothing.

    call: `(module, x, mask) -> Tensor`, where `mask` (`B x n`, boolean) is True where an element is present.
    """

    def __init__(self, module: nn.Module, call: Callable[[Any, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.module = module
        self._call = call

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        return self._call(self.module, x, present)


def pyg(aggregation: nn.Module) -> MaskAdapter:
    """An aggregation of PyTorch Geometric (`torch_geometric.nn.aggr`): `B x n x d` to `B x d_out`.

    The elements of all sets are laid out in one tensor, with the number of its set beside each.
    """
    return MaskAdapter(aggregation, _aggregate)


def _aggregate(aggregation: Any, x: Tensor, mask: Tensor) -> Tensor:
    index = torch.arange(len(x), device=x.device).repeat_interleave(mask.sum(1))
    out: Tensor = aggregation(x[mask], index=index, dim_size=len(x), dim=-2)
    return out
