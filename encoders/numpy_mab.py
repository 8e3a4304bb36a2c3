"""The attention blocks of `mab.py` once more, query by query and head by head, in NumPy: what references use."""

import numpy as np
from torch import nn

from .mab import ISAB, MAB, PMA, SAB


def layer_norm(module: nn.Module, rows: np.ndarray) -> np.ndarray:
    """`module`, a LayerNorm or an Identity, applied to rows."""
    if isinstance(module, nn.Identity):
        return rows
    assert isinstance(module, nn.LayerNorm)
    scaled = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + module.eps)
    return np.asarray(scaled * array(module.weight) + array(module.bias))


def array(tensor: object) -> np.ndarray:
    """A parameter as a NumPy array."""
    return np.asarray(tensor.detach().cpu().numpy())  # type: ignore[attr-defined]


def linear(module: nn.Linear, rows: np.ndarray) -> np.ndarray:
    """`module` applied to rows."""
    out = np.asarray(rows @ array(module.weight).T)
    return out if module.bias is None else np.asarray(out + array(module.bias))


def softmax(logits: np.ndarray) -> np.ndarray:
    """The softmax of a vector."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def mab(module: MAB, Q: np.ndarray, K: np.ndarray) -> np.ndarray:
    """MAB of one set: `m x d_q` and `n x d_k` to `m x dim`."""
    q, k, v = linear(module.fc_q, Q), linear(module.fc_k, K), linear(module.fc_v, K)
    width = module.dim // module.heads
    out = q.copy()
    for head in range(module.heads):
        columns = slice(head * width, (head + 1) * width)
        for i in range(len(q)):
            weights = softmax(k[:, columns] @ q[i, columns] / np.sqrt(module.dim))
            out[i, columns] += sum(w * row for w, row in zip(weights, v[:, columns], strict=True))
    out = layer_norm(module.norm_0, out)
    return layer_norm(module.norm_1, out + np.maximum(linear(module.fc_o, out), 0))


def block(module: nn.Module, rows: np.ndarray) -> np.ndarray:
    """A SAB, ISAB or PMA of one set, `n x d`."""
    if isinstance(module, SAB):
        return mab(module.mab, rows, rows)
    if isinstance(module, ISAB):
        return mab(module.to_elements, rows, mab(module.to_points, array(module.points)[0], rows))
    assert isinstance(module, PMA)
    return mab(module.mab, array(module.seeds)[0], rows)
