"""Copy modules, also those that hold tensors with a graph."""

import copy
from typing import TypeVar

from torch import Tensor, nn

from mbcbench.protocol.state import tensors

Module = TypeVar("Module", bound=nn.Module)


def copy_module(module: Module) -> Module:
    """Return a deep copy of a module.

    A module may keep a result of its last call, such as attention weights, as an attribute. PyTorch refuses to copy a
    tensor with a graph, so the copy has these values without one.
    """
    memo: dict[int, Tensor] = {}
    for submodule in module.modules():
        for value in vars(submodule).values():
            with_graph = [tensor for tensor in tensors(value) if tensor.grad_fn is not None]
            memo.update({id(tensor): tensor.detach().clone() for tensor in with_graph})
    return copy.deepcopy(module, memo)
