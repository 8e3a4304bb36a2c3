"""States as values: trees of tuples, named tuples, lists, dicts and dataclasses whose leaves are tensors.

A leaf that is not a tensor (a number, a string, None) is kept as it is. `torch.utils._pytree` is private, and treats a
dataclass that is not registered as a leaf, so the walk is written here.
"""

import copy
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from itertools import count
from pathlib import Path
from types import ModuleType
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

    Raises TypeError naming the type of a leaf or key that cannot be saved.
    """
    saved: dict[str, Tensor] = {}
    structure = _to_json(state, saved)
    # safetensors needs at least one tensor.
    return safetensors.torch.save(saved or {"": torch.empty(0)}, metadata={"state": json.dumps(structure)})


def from_bytes(data: bytes, like: State) -> State:
    """Return the state saved by `to_bytes`, also by an earlier version.

    A fresh state `like` has the types of named tuples, dataclasses and mappings. Types that it does not have are found
    by their names among those that are loaded; nothing is imported, and no constructor is called.
    """
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
        return _tensor_to_json(state, saved, copies=copies)
    if isinstance(state, Mapping):
        nodes = {key: _to_json(leaf, saved, copies=copies) for key, leaf in state.items()}
        if all(type(key) is str for key in nodes):
            return {"fields": nodes}
        return {"pairs": [[_key_to_json(key), node] for key, node in nodes.items()]}
    if _is_dataclass_instance(state):
        nodes = {f.name: _to_json(getattr(state, f.name), saved, copies=copies) for f in fields(state)}
        return {"fields": nodes, "type": _type_name(type(state))}
    if isinstance(state, list | tuple):
        kind = _type_name(type(state)) if _is_named(type(state)) else "list" if isinstance(state, list) else "tuple"
        return {"items": [_to_json(leaf, saved, copies=copies) for leaf in state], "type": kind}
    if state is None or isinstance(state, bool | int | float | str):
        return {"value": state}
    raise TypeError(f"a state may hold tensors and plain values, not {type(state).__name__}")


def _tensor_to_json(tensor: Tensor, saved: dict[str, Tensor], *, copies: bool) -> dict[str, Any]:
    """Put a tensor into `saved`, a complex one as its real and imaginary parts, which safetensors can hold."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"a state may hold dense tensors of numbers, not {tensor.dtype} in {tensor.layout}")
    key, is_complex = str(len(saved)), tensor.is_complex()
    tensor = tensor.detach()
    tensor = (torch.view_as_real(tensor.resolve_conj()) if is_complex else tensor).contiguous()
    saved[key] = tensor.clone() if copies else tensor
    return {"tensor": key, "complex": True} if is_complex else {"tensor": key}


def _key_to_json(key: Any) -> Any:
    """Return a key of a mapping as JSON, in which only a tuple is a list."""
    if isinstance(key, tuple):
        return [_key_to_json(part) for part in key]
    if key is None or isinstance(key, bool | int | float | str):
        return key
    raise TypeError(f"a dict of a state may have plain values and tuples of them as keys, not {type(key).__name__}")


def _from_json(node: dict[str, Any], like: Any, saved: Mapping[str, Tensor]) -> Any:
    if "tensor" in node:
        tensor = saved[node["tensor"]]
        return _as_complex(tensor) if node.get("complex") else tensor
    if "value" in node:
        return node["value"]
    if "pairs" in node:
        pairs = [(_key_from_json(key), child) for key, child in node["pairs"]]
        return _with_values(like, {key: _from_json(child, _child(like, key), saved) for key, child in pairs})
    if "fields" in node:
        values = {key: _from_json(child, _child(like, key), saved) for key, child in node["fields"].items()}
        return _restore_fields(values, node.get("type"), like)
    items = [_from_json(child, _child(like, number), saved) for number, child in enumerate(node["items"])]
    return _restore_items(items, node.get("type"), like)


def _restore_fields(values: dict[str, Any], name: str | None, like: Any) -> Any:
    """Return a mapping, or the dataclass of that name; a file of an earlier version does not tell them apart."""
    cls = _type_of_name(name, like) if name is not None else type(like)
    if cls is type(like) or not is_dataclass(cls) or {f.name for f in fields(cls)} != values.keys():
        return _with_values(like, values)
    return _with_values(object.__new__(cls), values)


def _restore_items(items: list[Any], name: str | None, like: Any) -> Any:
    """Return a list, a tuple or the named tuple of that name; a file of an earlier version does not tell them apart."""
    if name == "list":
        return items
    cls: Any = tuple if name == "tuple" else type(like) if name is None else _type_of_name(name, like) or type(like)
    if _is_named(cls):
        if len(items) != len(cls._fields):
            raise ValueError(f"it has {len(items)} values for {cls.__name__}, which has {len(cls._fields)}")
        return tuple.__new__(cls, items)
    return tuple(items) if issubclass(cls, tuple) or name is not None else items


def _type_name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _type_of_name(name: str, like: Any) -> Any:
    """Return the named tuple or dataclass of a name: that of `like`, or one that is loaded, or None.

    Attributes are looked up in dictionaries, which runs no code.
    """
    if name == _type_name(type(like)):
        return type(like)
    module, _, path = name.partition(":")
    value: Any = sys.modules.get(module)
    for part in path.split("."):
        value = vars(value).get(part) if isinstance(value, type | ModuleType) else None
    is_container = isinstance(value, type) and (_is_named(value) or is_dataclass(value))
    return value if is_container and not hasattr(value, "__del__") else None


def _is_named(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _key_from_json(key: Any) -> Any:
    return tuple(_key_from_json(part) for part in key) if isinstance(key, list) else key


def _as_complex(tensor: Tensor) -> Tensor:
    if tensor.dtype not in (torch.float16, torch.float32, torch.float64) or tensor.shape[-1:] != (2,):
        raise ValueError(f"a tensor of {tensor.dtype} with shape {tuple(tensor.shape)} has no real and imaginary parts")
    return torch.view_as_complex(tensor)


def _child(like: Any, key: Any) -> Any:
    """Return the part of a fresh state that a saved one corresponds to, or None if the fresh state has no such part."""
    if _is_dataclass_instance(like):
        return getattr(like, key, None) if key in {f.name for f in fields(like)} else None
    if isinstance(like, Mapping):
        return like.get(key)
    try:
        return like[key]
    except (KeyError, IndexError, TypeError):
        return None


def _is_dataclass_instance(state: object) -> bool:
    return is_dataclass(state) and not isinstance(state, type)
