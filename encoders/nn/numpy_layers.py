"""Common layers once more in NumPy, for the references that encoders are compared with."""

import numpy as np
from torch import Tensor, nn


def array(tensor: Tensor) -> np.ndarray:
    """A parameter as a NumPy array."""
    return np.asarray(tensor.detach().cpu().numpy())


def linear(module: nn.Linear, rows: np.ndarray) -> np.ndarray:
    """`module` applied to rows, or to a single row."""
    out = np.asarray(rows @ array(module.weight).T)
    return out if module.bias is None else np.asarray(out + array(module.bias))


def layer_norm(module: nn.Module, rows: np.ndarray) -> np.ndarray:
    """`module`, a LayerNorm or an Identity, applied to rows."""
    if isinstance(module, nn.Identity):
        return rows
    assert isinstance(module, nn.LayerNorm)
    scaled = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + module.eps)
    out = np.asarray(scaled * array(module.weight))
    return out if module.bias is None else np.asarray(out + array(module.bias))


def element_network(module: nn.Sequential, row: np.ndarray) -> np.ndarray:
    """`networks.element_network` applied to one element, or to rows."""
    first, _, last = module
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return linear(last, np.maximum(linear(first, row), 0))


def softmax(logits: np.ndarray) -> np.ndarray:
    """The softmax of a vector."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())
