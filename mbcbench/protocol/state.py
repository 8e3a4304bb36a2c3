"""States are values: pytrees (tuples, named tuples, lists, dicts, dataclasses) whose leaves are tensors.

A leaf that is no tensor (an int, a string, None) is kept as it is.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import safetensors.torch
import torch
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
    return [leaf for leaf in leaves(state) if isinstance(leaf, Tensor)]


def leaves(state: object) -> Iterator[object]:
    """The tensors and plain values of a state, in the order of its structure."""
    if isinstance(state, Mapping):
        parts: Iterable[object] = state.values()
    elif isinstance(state, list | tuple):
        parts = state
    elif is_dataclass(state) and not isinstance(state, type):
        parts = [getattr(state, f.name) for f in fields(state)]
    else:
        yield state
        return
    for part in parts:
        yield from leaves(part)


def nbytes(state: object) -> int:
    """Bytes that a state occupies: its tensors, and 8 for each plain value."""
    return sum(leaf.numel() * leaf.element_size() if isinstance(leaf, Tensor) else 8 for leaf in leaves(state))


def clone(state: State) -> State:
    """A copy that shares no memory with `state` and no graph."""
    return map_state(lambda t: t.detach().clone(), state)


def to_bytes(state: object) -> bytes:
    """A state as safetensors bytes: its tensors, and its structure and plain values as JSON in the metadata.

    Raises TypeError naming the leaf that is neither a tensor nor a plain value.
    """
    found: dict[str, Tensor] = {}
    skeleton = _skeleton(state, found)
    return safetensors.torch.save(found or {"": torch.empty(0)}, metadata={"state": json.dumps(skeleton)})


def from_bytes(data: bytes, like: State) -> State:
    """The state saved by `to_bytes`; its types (named tuples, dataclasses) are those of `like`, a fresh state."""
    saved = safetensors.torch.load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return _rebuilt(json.loads(header["__metadata__"]["state"]), like, saved)  # type: ignore[no-any-return]


def _skeleton(state: Any, found: dict[str, Tensor]) -> Any:
    if isinstance(state, Tensor):
        found[str(len(found))] = state.detach().contiguous().clone()
        return {"tensor": str(len(found) - 1)}
    if isinstance(state, Mapping):
        return {"fields": {key: _skeleton(leaf, found) for key, leaf in state.items()}}
    if is_dataclass(state) and not isinstance(state, type):
        return {"fields": {f.name: _skeleton(getattr(state, f.name), found) for f in fields(state)}}
    if isinstance(state, list | tuple):
        return {"items": [_skeleton(leaf, found) for leaf in state]}
    if state is None or isinstance(state, bool | int | float | str):
        return {"value": state}
    raise TypeError(f"a state may hold tensors and plain values, not {type(state).__name__}")


def _rebuilt(node: Any, like: Any, saved: Mapping[str, Tensor]) -> Any:
    if "tensor" in node:
        return saved[node["tensor"]]
    if "value" in node:
        return node["value"]
    if "fields" in node:
        parts = {key: _rebuilt(leaf, _part(like, key), saved) for key, leaf in node["fields"].items()}
        return type(like)(**parts) if is_dataclass(like) and not isinstance(like, type) else parts
    items = [_rebuilt(leaf, _part(like, at), saved) for at, leaf in enumerate(node["items"])]
    if isinstance(like, tuple):
        return type(like)(*items) if hasattr(like, "_fields") else tuple(items)
    return items


def _part(like: Any, key: Any) -> Any:
    """The part of a fresh state that a saved one corresponds to; None where the fresh state has no such part yet."""
    if is_dataclass(like):
        return getattr(like, key)
    try:
        return like[key]
    except (KeyError, IndexError, TypeError):
        return None
