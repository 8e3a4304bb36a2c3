"""The attention blocks of `mab.py` in NumPy, query by query and head by head, for references."""

import numpy as np
from torch import nn

from .mab import ISAB, MAB, PMA, SAB
from .numpy_layers import layer_norm, linear, softmax, to_numpy


def mab(module: MAB, Q: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Apply a MAB to the queries `Q` (`m x d_q`) and the set `K` (`n x d_k`); return `m x dim`."""
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


def attention_block(module: nn.Module, rows: np.ndarray) -> np.ndarray:
    """Apply a SAB, ISAB or PMA to a set, `n x d`."""
    if isinstance(module, SAB):
        return mab(module.mab, rows, rows)
    if isinstance(module, ISAB):
        return mab(module.to_elements, rows, mab(module.to_points, to_numpy(module.points)[0], rows))
    assert isinstance(module, PMA)
    return mab(module.mab, to_numpy(module.seeds)[0], rows)
