"""Copy modules, including those that hold tensors with a graph."""

import copy
from typing import TypeVar

from torch import Tensor, nn

from mbcbench.protocol.state import tensors

Module = TypeVar("Module", bound=nn.Module)
_WITHOUT_GRAPHS = vars(nn.Module()).keys() - {"_buffers"}  # parameters are leaves of the graph


def copy_module(module: Module) -> Module:
    """Return a deep copy of a module.

    A module may keep a result of its last call, such as attention weights, as an attribute. PyTorch refuses to copy a
    tensor with a graph, so the copy holds such values without their graph.
    """
    memo: dict[int, Tensor] = {}
    for submodule in module.modules():
        for name in vars(submodule).keys() - _WITHOUT_GRAPHS:
            with_graph = [tensor for tensor in tensors(vars(submodule)[name]) if tensor.grad_fn is not None]
            memo.update({id(tensor): tensor.detach().clone() for tensor in with_graph})
    return copy.deepcopy(module, memo)
