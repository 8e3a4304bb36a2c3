"""The attention blocks of `mab.py` once more, query by query and head by head, in NumPy: what references use."""

import numpy as np
from torch import nn

from .mab import ISAB, MAB, PMA, SAB
from .numpy_layers import array, layer_norm, linear, softmax


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
