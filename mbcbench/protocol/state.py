"""States as values: trees of tuples, named tuples, lists, dicts and dataclasses whose leaves are tensors.

A leaf that is not a tensor (a number, a string, None) is kept as it is. `torch.utils._pytree` is private, and treats a
dataclass that is not registered as a leaf, so the walk is written here.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor

State = TypeVar("State")


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Return a state of the same structure with `function` applied to each tensor."""
    return _map(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, state)  # type: ignore[no-any-return]


def replace_leaves(state: State, values: Mapping[int, object]) -> State:
    """Return a state of the same structure with other values for some leaves, which are counted in their order."""
    numbers = count()
    return _map(lambda leaf: values.get(next(numbers), leaf), state)  # type: ignore[no-any-return]


def _map(function: Callable[[Any], object], state: Any) -> Any:
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(_map(function, leaf) for leaf in state))
    if isinstance(state, list | tuple):
        return type(state)(_map(function, leaf) for leaf in state)
    if isinstance(state, Mapping):
        return _with_values(state, {key: _map(function, leaf) for key, leaf in state.items()})
    if _is_dataclass_instance(state):
        return _with_values(state, {f.name: _map(function, getattr(state, f.name)) for f in fields(state)})
    return function(state)


def _with_values(like: Any, values: dict[Any, Any]) -> Any:
    """Return a mapping or dataclass of the type of `like` with these values, or a dict if `like` is neither.

    A dataclass is copied instead of built, since a field need not be an argument of its constructor. A copied
    mapping keeps its attributes besides the items, such as the factory of a defaultdict.
    """
    if _is_dataclass_instance(like):
        changed = copy.copy(like)
        for name, value in values.items():
            object.__setattr__(changed, name, value)  # also if it is frozen
        return changed
    if isinstance(like, MutableMapping):
        changed = copy.copy(like)
        changed.clear()
        changed.update(values)
        return changed
    return values


def tensors(state: object) -> list[Tensor]:
    """Return the tensors of a state, in the order of its structure."""
    return [leaf for leaf in leaves(state) if isinstance(leaf, Tensor)]


def leaves(state: object) -> Iterator[object]:
    """Yield the tensors and plain values of a state, in the order of its structure."""
    for _, leaf in named_leaves(state):
        yield leaf


def named_leaves(state: object, path: str = "state") -> Iterator[tuple[str, object]]:
    """Yield path and value of each leaf, the path as written in Python: `state.moments[1]['count']`."""
    children: Iterable[tuple[str, object]]
    if isinstance(state, Mapping):
        children = ((f"[{key!r}]", child) for key, child in state.items())
    elif isinstance(state, tuple) and hasattr(state, "_fields"):
        children = ((f".{name}", child) for name, child in zip(state._fields, state, strict=True))
    elif isinstance(state, list | tuple):
        children = ((f"[{number}]", child) for number, child in enumerate(state))
    elif is_dataclass(state) and not isinstance(state, type):
        children = ((f".{f.name}", getattr(state, f.name)) for f in fields(state))
    else:
        yield path, state
        return
    for name, child in children:
        yield from named_leaves(child, path + name)


def nbytes(state: object) -> int:
    """Return the size of a state in bytes: that of its tensors, and 8 for each plain value."""
    return sum(leaf.numel() * leaf.element_size() if isinstance(leaf, Tensor) else 8 for leaf in leaves(state))


def clone(state: State) -> State:
    """Return a copy that shares no memory and no graph with `state`."""
    return map_state(lambda t: t.detach().clone(), state)


def to_bytes(state: object) -> bytes:
    """Return a state as safetensors bytes, with its structure and plain values as JSON in the metadata.

    Raises TypeError naming the type of a leaf that is neither a tensor nor a plain value.
    """
    saved: dict[str, Tensor] = {}
    structure = _to_json(state, saved)
    # safetensors needs at least one tensor.
    return safetensors.torch.save(saved or {"": torch.empty(0)}, metadata={"state": json.dumps(structure)})


def from_bytes(data: bytes, like: State) -> State:
    """Return the state saved by `to_bytes`, with the types (named tuples, dataclasses) of the fresh state `like`."""
    saved = safetensors.torch.load(data)
    # A safetensors file begins with the length of its JSON header, which `load` does not return.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return _from_json(json.loads(header["__metadata__"]["state"]), like, saved)  # type: ignore[no-any-return]


def write_file(state: object, path: Path) -> None:
    """Write a state as `to_bytes` does, without a copy of it in memory. Its tensors must not share memory."""
    saved: dict[str, Tensor] = {}
    structure = _to_json(state, saved, copies=False)
    safetensors.torch.save_file(saved or {"": torch.empty(0)}, path, metadata={"state": json.dumps(structure)})


def read_file(path: Path, like: State) -> State:
    """Return the state that `write_file` wrote, as `from_bytes` does."""
    with safetensors.safe_open(path, "pt") as file:
        structure = json.loads(file.metadata()["state"])
        saved = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 # it is not a mapping
    return _from_json(structure, like, saved)  # type: ignore[no-any-return]


def _to_json(state: Any, saved: dict[str, Tensor], *, copies: bool = True) -> dict[str, Any]:
    """Return the structure as JSON. A tensor is put into `saved` and replaced by its key."""
    if isinstance(state, Tensor):
        key, tensor = str(len(saved)), state.detach().contiguous()
        saved[key] = tensor.clone() if copies else tensor
        return {"tensor": key}
    if isinstance(state, Mapping):
        return {"fields": {key: _to_json(leaf, saved, copies=copies) for key, leaf in state.items()}}
    if _is_dataclass_instance(state):
        return {"fields": {f.name: _to_json(getattr(state, f.name), saved, copies=copies) for f in fields(state)}}
    if isinstance(state, list | tuple):
        return {"items": [_to_json(leaf, saved, copies=copies) for leaf in state]}
    if state is None or isinstance(state, bool | int | float | str):
        return {"value": state}
    raise TypeError(f"a state may hold tensors and plain values, not {type(state).__name__}")


def _from_json(node: dict[str, Any], like: Any, saved: Mapping[str, Tensor]) -> Any:
    if "tensor" in node:
        return saved[node["tensor"]]
    if "value" in node:
        return node["value"]
    if "fields" in node:
        values = {key: _from_json(child, _child(like, key), saved) for key, child in node["fields"].items()}
        return _with_values(like, values)
    items = [_from_json(child, _child(like, number), saved) for number, child in enumerate(node["items"])]
    if isinstance(like, tuple):
        return type(like)(*items) if hasattr(like, "_fields") else tuple(items)
    return items


def _child(like: Any, key: Any) -> Any:
    """Return the part of a fresh state under a key, or None if the fresh state has no such part."""
    if is_dataclass(like):
        return getattr(like, key)
    try:
        return like[key]
    except (KeyError, IndexError, TypeError):
        return None


def _is_dataclass_instance(state: object) -> bool:
    return is_dataclass(state) and not isinstance(state, type)
