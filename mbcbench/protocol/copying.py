"""Copy modules, including those that hold tensors with a graph or functions that refer to the module."""

import copy
from collections.abc import MutableMapping
from types import CellType, FunctionType
from typing import Any, TypeVar

from torch import nn

from mbcbench.protocol.state import tensors

Module = TypeVar("Module", bound=nn.Module)
_WITHOUT_GRAPHS = vars(nn.Module()).keys() - {"_buffers"}  # parameters are leaves of the graph


def copy_module(module: Module) -> Module:
    """Return a deep copy of a module.

    A module may keep a result of its last call, such as attention weights, as an attribute. PyTorch refuses to copy a
    tensor with a graph, so the copy holds such values without their graph.

    A hook or an attribute may be a function defined in `__init__` that refers to `self`. Python does not copy
    functions, so those of the copy are made again and refer to the copy.
    """
    memo: dict[int, Any] = {}
    for submodule in module.modules():
        for name in vars(submodule).keys() - _WITHOUT_GRAPHS:
            with_graph = [tensor for tensor in tensors(vars(submodule)[name]) if tensor.grad_fn is not None]
            memo.update({id(tensor): tensor.detach().clone() for tensor in with_graph})
    copied = copy.deepcopy(module, memo)
    for submodule in copied.modules():
        attributes = vars(submodule)
        hooks = [value for name, value in attributes.items() if name.endswith("hooks")]
        for functions in (attributes, *hooks):
            if isinstance(functions, MutableMapping):
                _rebind_functions(functions, memo)
    return copied


def _rebind_functions(functions: MutableMapping[Any, Any], memo: dict[int, Any]) -> None:
    """Replace functions whose closures hold an object that was copied; `memo` has the copies by identity."""
    for key, function in list(functions.items()):
        if isinstance(function, FunctionType) and any(id(value) in memo for value in _closure(function)):
            functions[key] = _rebind(function, memo)


def _rebind(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    cells = tuple(CellType(memo.get(id(value), value)) for value in _closure(function))
    new = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def _closure(function: FunctionType) -> list[Any]:
    """Return the values that a function refers to, or none if one of them is not assigned yet."""
    try:
        return [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:
        return []
