"""Common layers in NumPy, written independently of PyTorch, for the reference implementations of encoders."""

import numpy as np
from torch import Tensor, nn


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a parameter as a NumPy array."""
    return np.asarray(tensor.detach().cpu().numpy())


def linear(module: nn.Linear, rows: np.ndarray) -> np.ndarray:
    """Apply a linear layer to rows, or to one row."""
    out = np.asarray(rows @ to_numpy(module.weight).T)
    return out if module.bias is None else np.asarray(out + to_numpy(module.bias))


def layer_norm(module: nn.Module, rows: np.ndarray) -> np.ndarray:
    """Apply a LayerNorm, or an Identity in its place, to rows."""
    if isinstance(module, nn.Identity):
        return rows
    assert isinstance(module, nn.LayerNorm)
    scaled = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + module.eps)
    out = np.asarray(scaled * to_numpy(module.weight))
    return out if module.bias is None else np.asarray(out + to_numpy(module.bias))


def element_network(module: nn.Sequential, rows: np.ndarray) -> np.ndarray:
    """Apply a network built by `networks.element_network` to rows, or to one row."""
    first, _, last = module
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return linear(last, np.maximum(linear(first, rows), 0))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of a vector."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())
