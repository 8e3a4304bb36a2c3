"""States are values: pytrees (tuples, named tuples, lists, dicts, dataclasses) whose leaves are tensors.

A leaf that is no tensor (an int, a string, None) is kept as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import safetensors.torch
from torch import Tensor

State = TypeVar("State")


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """A state of the same structure with `function` applied to each tensor."""
    return _map(function, state)  # type: ignore[no-any-return]


def _map(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(_map(function, leaf) for leaf in state))
    if isinstance(state, list | tuple):
        return type(state)(_map(function, leaf) for leaf in state)
    if isinstance(state, Mapping):
        return {key: _map(function, leaf) for key, leaf in state.items()}
    if is_dataclass(state) and not isinstance(state, type):
        return replace(state, **{f.name: _map(function, getattr(state, f.name)) for f in fields(state) if f.init})
    return state


def tensors(state: object) -> list[Tensor]:
    """The tensors of a state, in the order of its structure."""
    found: list[Tensor] = []

    def keep(leaf: Tensor) -> Tensor:
        found.append(leaf)
        return leaf

    map_state(keep, state)
    return found


def nbytes(state: object) -> int:
    """Bytes that the tensors of a state occupy."""
    return sum(t.numel() * t.element_size() for t in tensors(state))


def clone(state: State) -> State:
    """A copy that shares no memory with `state` and no graph."""
    return map_state(lambda t: t.detach().clone(), state)


def to_bytes(state: object) -> bytes:
    """The tensors of a state as safetensors bytes; the structure is not saved (see `from_bytes`)."""
    named = {str(i): t.detach().contiguous().clone() for i, t in enumerate(tensors(state))}
    return safetensors.torch.save(named)


def from_bytes(data: bytes, like: State) -> State:
    """The state saved by `to_bytes`, in the structure of `like` (a fresh state will do)."""
    saved = safetensors.torch.load(data)
    order: Iterator[int] = iter(range(len(saved)))
    return map_state(lambda _: saved[str(next(order))], like)
