"""Attention blocks of the Set Transformer (arXiv 1810.00825), as in its published code, less a bias that has no effect.

    MAB(Q, K) = O + relu(Linear(O)),  O = q + heads of softmax(q k^T / sqrt(dim)) v

q, k and v are linear in Q, K and K; the scale is that of the full width, not of a head's, and the residual is the
projected query. With `layer_norm`, a LayerNorm follows O and the result.
"""

import math

import torch
from torch import Tensor, nn

from .networks import Affine, as_affine, compose_or_apply
from .softmax import SoftmaxState, attend_linear, attended_values, empty_state, merge


def split_heads(x: Tensor, heads: int) -> Tensor:
    """`B x n x d` to `B x H x n x d/H`."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """`B x H x n x d/H` to `B x n x d`."""
    return x.transpose(1, 2).flatten(2)


class MAB(nn.Module):
    """Multihead attention block: queries `B x m x d_q` attend to a set `B x n x d_k`, giving `B x m x dim`.

    The set may come in chunks: `start`, then `absorb` each, then `finish`; `forward` is derived from these.
    An empty set adds nothing to the queries.
    """

    def __init__(self, dim_q: int, dim_k: int, dim: int, heads: int, layer_norm: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim={dim} is not a multiple of heads={heads}")
        self.dim, self.heads = dim, heads
        self.fc_q, self.fc_v = nn.Linear(dim_q, dim), nn.Linear(dim_k, dim)
        # A bias of the keys adds the same to all logits of a query, which the softmax does not see.
        self.fc_k = nn.Linear(dim_k, dim, bias=False)
        self.fc_o = nn.Linear(dim, dim)
        self.norm_0 = nn.LayerNorm(dim) if layer_norm else nn.Identity()
        self.norm_1 = nn.LayerNorm(dim) if layer_norm else nn.Identity()

    def init_state(self, Q: Tensor) -> SoftmaxState:
        return empty_state(self.fc_q.weight, Q.shape[0], self.heads, Q.shape[1], self.dim // self.heads)

    def update(
        self, state: SoftmaxState, Q: Tensor, K: Tensor, mask: Tensor | None = None, last: Affine | None = None
    ) -> SoftmaxState:
        """Add the keys `K`, zero where `mask` is False; `last`: linear layer still to be applied to `K`."""
        if K.shape[1] == 0:
            return state
        q = split_heads(self.fc_q(Q), self.heads)
        k, v = as_affine(self.fc_k), as_affine(self.fc_v)
        if last is not None:
            K, (k, v) = compose_or_apply(K, last, k, v)
        return merge(state, attend_linear(q, k, v, K, 1 / math.sqrt(self.dim), mask))

    def readout(self, state: SoftmaxState, Q: Tensor) -> Tensor:
        attended = self.norm_0(self.fc_q(Q) + join_heads(attended_values(state)))
        out: Tensor = self.norm_1(attended + self.fc_o(attended).relu())
        return out

    def forward(self, Q: Tensor, K: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.update(self.init_state(Q), Q, K, mask), Q)


class SAB(nn.Module):
    """Set attention block: elements attend to all elements, `B x n x dim_in` to `B x n x dim`."""

    def __init__(self, dim_in: int, dim: int, heads: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.mab = MAB(dim_in, dim_in, dim, heads, layer_norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.mab(x, x, mask)
        return out


class ISAB(nn.Module):
    """Induced set attention block: elements attend to `inducing` points that have attended to all elements."""

    def __init__(self, dim_in: int, dim: int, heads: int, inducing: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.points = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, inducing, dim)))
        self.to_points = MAB(dim, dim_in, dim, heads, layer_norm)
        self.to_elements = MAB(dim_in, dim, dim, heads, layer_norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        summary = self.to_points(self.points.expand(x.shape[0], -1, -1), x, mask)
        out: Tensor = self.to_elements(x, summary)
        return out


class PMA(nn.Module):
    """Pooling by multihead attention: `seeds` queries attend to the set, `B x n x dim` to `B x seeds x dim`."""

    def __init__(self, dim: int, heads: int, seeds: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.seeds = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, seeds, dim)))
        self.mab = MAB(dim, dim, dim, heads, layer_norm)

    def queries(self, batch_size: int) -> Tensor:
        return self.seeds.expand(batch_size, -1, -1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.mab(self.queries(x.shape[0]), x, mask)
        return out
