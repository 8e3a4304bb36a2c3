"""Copy modules, including those that hold tensors with a graph or functions that refer to the module."""

import copy
import functools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import CellType, FunctionType, MethodType
from typing import Any, TypeVar

import torch
from torch import nn

from mbcbench.protocol.state import tensors

Module = TypeVar("Module", bound=nn.Module)
_WITHOUT_GRAPHS = vars(nn.Module()).keys() - {"_buffers"}  # parameters are leaves of the graph
_Cached = functools._lru_cache_wrapper
_WITHOUT_REFERENCES = (type(None), bool, int, float, str, torch.dtype, torch.device)


def copy_module(module: Module) -> Module:
    """Return a deep copy of a module.

    A module may keep a result of its last call, such as attention weights, as an attribute. PyTorch refuses to copy a
    tensor with a graph, so the copy holds such values without their graph.

    A hook or an attribute may be a function defined in `__init__` that refers to `self`, directly or through another
    function. Python does not copy functions, so those of the copy are made again and refer to the copy.
    """
    memo: dict[int, Any] = {}
    for submodule in module.modules():
        memo.update(_copies_of_empty_dicts(submodule))
        for name in vars(submodule).keys() - _WITHOUT_GRAPHS:
            with_graph = [tensor for tensor in tensors(vars(submodule)[name]) if tensor.grad_fn is not None]
            memo.update({id(tensor): tensor.detach().clone() for tensor in with_graph})
    copied = copy.deepcopy(module, memo)
    originals = memo.pop(id(memo), [])  # keeps them alive, so that their identities stay unique
    _Rebinding(memo).rebind_copies()
    del originals
    return copied


def _copies_of_empty_dicts(module: nn.Module) -> dict[int, Any]:
    """Return copies by identity, as `copy.deepcopy` keeps them: of the hooks, a dozen dicts that are rarely in use.

    `copy.deepcopy` takes as long for an OrderedDict without entries as for the parameters of a layer.
    """
    return {
        id(value): type(value)() for value in vars(module).values() if type(value) in (dict, OrderedDict) and not value
    }


class _Rebinding:
    """Makes functions in a copy refer to the copy.

    Parameters
    ----------
    copies
        What was copied, by the identity of the original. Each function that is made again is added.
    """

    def __init__(self, copies: dict[int, Any]) -> None:
        self._copies = copies
        self._complete = {id(value) for value in copies.values() if not isinstance(value, tuple | MethodType)}

    def rebind_copies(self) -> None:
        """Make functions again in each object that was copied."""
        for holder in list(self._copies.values()):
            if not isinstance(holder, CellType | FunctionType):
                self._rebind_members(holder)

    def _rebound(self, value: Any) -> Any:
        """Return a value that refers to copies in place of the originals; the same one if it refers to none."""
        if id(value) in self._copies:
            return self._copies[id(value)]
        if not self._leads_to_original(value):
            return value
        if isinstance(value, FunctionType):
            return self._rebound_function(value)
        if type(value) in (list, dict, functools.partial):
            self._copies[id(value)] = new = copy.copy(value)
            self._rebind_members(new)
            return new
        return self._rebound_constant(value)

    def _rebound_constant(self, value: Any) -> Any:
        """Return a new value in place of one that cannot be changed."""
        items = [self._rebound(item) for item in _references(value)]
        if isinstance(value, tuple):
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if isinstance(value, MethodType):
            return MethodType(*items)
        if isinstance(value, _Cached):
            return functools.lru_cache(**value.cache_parameters())(*items)
        return weakref.ref(*items) if isinstance(value, weakref.ref) else value

    def _rebound_function(self, function: FunctionType) -> FunctionType:
        cells = tuple(self._new_cell(cell) for cell in function.__closure__ or ())
        new = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        self._copies[id(function)] = functools.update_wrapper(new, function)
        # Only now: functions may refer to each other.
        new.__defaults__ = self._rebound(function.__defaults__)
        new.__kwdefaults__ = self._rebound(function.__kwdefaults__)
        vars(new).pop("__wrapped__", None)
        vars(new).update({name: self._rebound(value) for name, value in vars(function).items()})
        for cell, new_cell in zip(function.__closure__ or (), cells, strict=True):
            for value in _contents(cell):
                new_cell.cell_contents = self._rebound(value)
        return new

    def _new_cell(self, cell: CellType) -> CellType:
        """Return the cell of the copy: functions that share a variable still do so."""
        new: CellType = self._copies.setdefault(id(cell), CellType())
        return new

    def _rebind_members(self, holder: Any) -> None:
        """Replace in place what a list, a dict, a partial function or the attributes of an object refer to."""
        if isinstance(holder, list):
            for number, item in enumerate(holder):
                holder[number] = self._rebound(item)
        elif isinstance(holder, dict):
            self._rebind_values(holder)
        elif isinstance(holder, functools.partial) and self._leads_to_original(_references(holder)):
            function, args, keywords = map(self._rebound, _references(holder))
            holder.__setstate__((function, args, keywords, vars(holder)))  # type: ignore[attr-defined] # not in typeshed
        attributes = getattr(holder, "__dict__", None)
        if isinstance(attributes, dict):
            self._rebind_values(attributes)

    def _rebind_values(self, values: dict[Any, Any]) -> None:
        for key, value in list(values.items()):
            if type(value) in _WITHOUT_REFERENCES or id(value) in self._complete:
                continue
            new = self._rebound(value)
            if new is not value:
                values[key] = new

    def _leads_to_original(self, value: Any) -> bool:
        """Return True if a value refers, directly or through functions, to an object that was copied."""
        visited: set[int] = set()
        pending = [value]
        while pending:
            value = pending.pop()
            if id(value) in self._copies:
                return True
            if id(value) not in visited and id(value) not in self._complete:
                visited.add(id(value))
                pending.extend(_references(value))
        return False


def _references(value: Any) -> Iterable[Any]:
    """Return what a function or a container refers to; nothing for other objects."""
    return next((references(value) for kind, references in _REFERENCES if isinstance(value, kind)), ())


def _references_of_function(function: FunctionType) -> list[Any]:
    cells = [content for cell in function.__closure__ or () for content in _contents(cell)]
    return [*cells, function.__defaults__, function.__kwdefaults__, *vars(function).values()]


def _contents(cell: CellType) -> list[Any]:
    """Return what a cell holds, or nothing if it is not assigned yet."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


_REFERENCES: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (FunctionType, _references_of_function),
    (MethodType, lambda method: (method.__func__, method.__self__)),
    (functools.partial, lambda partial: (partial.func, partial.args, partial.keywords)),
    (_Cached, lambda cached: (cached.__wrapped__,)),
    (weakref.ref, lambda reference: (reference(),)),
    (dict, dict.values),
    (list, iter),
    (tuple, iter),
)
