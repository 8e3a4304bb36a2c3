"""Top-k pooling: the k elements with the largest learned scores, in the order of their scores.

    h_i = phi(x_i),    s_i = w^T h_i,    row r of f(X) = sigmoid(s_(r)) h_(r),    s_(1) >= ... >= s_(k)

After: Gao and Ji, "Graph U-Nets", arXiv 1905.05178 (its gPool layer). The sigmoid passes a gradient to the scores.

The k best elements of a union are among the k best of its parts, so the encoder is mini-batch consistent.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers
from .nn.networks import element_network
from .nn.pooling import zero_absent


class TopState(NamedTuple):
    """The best elements seen so far.

    Attributes
    ----------
    scores : Tensor
        Scores in descending order, `B x k`; -inf where there are fewer elements.
    rows : Tensor
        Features, `B x k x dim`.
    """

    scores: Tensor
    rows: Tensor


class TopK(SetEncoder[TopState]):
    """Select the elements with the largest scores: `B x n x d` to `B x k x dim`.

    If a set has fewer than k elements, the last rows are zeros.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the features.
    k : int
        Number of elements to select.
    """

    def __init__(self, dim_in: int, *, dim: int = 64, k: int = 8) -> None:
        super().__init__()
        self.k, self.dim = k, dim
        self.phi = element_network(dim_in, dim)
        self.w = nn.Linear(dim, 1, bias=False)

    def init_state(self, batch_size: int) -> TopState:
        like = self.w.weight
        return TopState(like.new_full((batch_size, self.k), -torch.inf), like.new_zeros(batch_size, self.k, self.dim))

    def update(self, state: TopState, x: Tensor, mask: Tensor | None = None) -> TopState:
        rows = zero_absent(self.phi(zero_absent(x, mask)), mask)
        scores = self.w(rows).squeeze(2)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return self.merge(state, TopState(scores, rows))

    def merge(self, a: TopState, b: TopState) -> TopState:
        scores, rows = torch.cat([a.scores, b.scores], 1), torch.cat([a.rows, b.rows], 1)
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        return TopState(scores.gather(1, best), rows.gather(1, best.unsqueeze(2).expand(-1, -1, self.dim)))

    def readout(self, state: TopState) -> Tensor:
        return state.scores.sigmoid().unsqueeze(2) * state.rows


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) element by element in NumPy."""
    assert isinstance(module, TopK)
    out = np.zeros((len(x), module.k, module.dim))
    for b, elements in enumerate(x):
        features = [numpy_layers.element_network(module.phi, element) for element in elements]
        scored = sorted(((float(numpy_layers.linear(module.w, h)[0]), tuple(h)) for h in features), reverse=True)
        for r, (score, h) in enumerate(scored[: module.k]):
            out[b, r] = expit(score) * np.array(h)
    return out


TOP_K = EncoderSpec(
    name="top-k",
    factory=TopK,
    summary="The k elements of the largest learned score, gated by it",
    paper="https://arxiv.org/abs/1905.05178",
    claims={
        "mbc.partition": "the k best of a union are among the k best of its parts",
        "mbc.merge": "keeping the k best is associative and, without ties, commutative",
        "mbc.empty": "an empty chunk leaves the k best unchanged",
        "symmetry.permutation": "without ties between different elements, only the scores order the rows",
    },
    reference=reference,
)
