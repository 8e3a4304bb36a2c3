"""Attention blocks of the Set Transformer (arXiv 1810.00825), as in its published code.

    MAB(Q, K) = O + relu(Linear(O)),    O = q + concat over heads of softmax(q k^T / sqrt(dim)) v

q, k and v are linear in Q, K and K. As in that code, the scale is that of the full width, not of a head's, and the
residual is the projected query. With `layer_norm`, a LayerNorm follows O and the result. One parameter is left out: the
bias of the keys, which has no effect.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .networks import Affine, as_affine, compose_or_apply
from .softmax import SoftmaxState, attend_linear, attended_values, empty_state, merge


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Reshape `B x n x d` to `B x H x n x d/H`."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Reshape `B x H x n x d/H` to `B x n x d`."""
    return x.transpose(1, 2).flatten(2)


class MAB(nn.Module):
    """Multihead attention block: queries `B x m x d_q` attend to a set `B x n x d_k`; the result is `B x m x dim`.

    The set may come in chunks: `init_state`, then `update` with each, then `readout`. `forward` is derived from these.
    An empty set adds nothing to the queries.

    Parameters
    ----------
    dim_q, dim_k : int
        Widths of queries and elements.
    dim : int
        Width of the result.
    heads : int
        Number of heads; must divide `dim`.
    layer_norm : bool
        Whether a LayerNorm follows the attention and the result.
    """

    def __init__(self, dim_q: int, dim_k: int, dim: int, heads: int, layer_norm: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim={dim} is not a multiple of heads={heads}")
        self.dim, self.heads = dim, heads
        self.fc_q, self.fc_v = nn.Linear(dim_q, dim), nn.Linear(dim_k, dim)
        # A bias of the keys would add the same number to all logits of a query, which does not change a softmax.
        self.fc_k = nn.Linear(dim_k, dim, bias=False)
        self.fc_o = nn.Linear(dim, dim)
        self.norm_0 = nn.LayerNorm(dim) if layer_norm else nn.Identity()
        self.norm_1 = nn.LayerNorm(dim) if layer_norm else nn.Identity()

    def init_state(self, Q: Tensor) -> SoftmaxState:
        """Return the state of an empty set for the queries `Q`."""
        return empty_state(self.fc_q.weight, Q.shape[0], self.heads, Q.shape[1], self.dim // self.heads)

    def update(
        self, state: SoftmaxState, Q: Tensor, K: Tensor, mask: Tensor | None = None, last: Affine | None = None
    ) -> SoftmaxState:
        """Add a chunk to the state.

        Parameters
        ----------
        state : SoftmaxState
            State for the same queries.
        Q : Tensor
            Queries, `B x m x d_q`.
        K : Tensor
            Chunk, `B x n x d_k`, without NaN where `mask` is False.
        mask : Tensor, optional
            `B x n`, True where an element is present.
        last : Affine, optional
            Linear layer still to be applied to `K`.
        """
        if K.shape[1] == 0:
            return state
        q = split_heads(self.fc_q(Q), self.heads)
        k, v = as_affine(self.fc_k), as_affine(self.fc_v)
        if last is not None:
            K, (k, v) = compose_or_apply(K, last, k, v)
        return merge(state, attend_linear(q, k, v, K, 1 / math.sqrt(self.dim), mask))

    def readout(self, state: SoftmaxState, Q: Tensor) -> Tensor:
        """Return the result for the queries `Q`, `B x m x dim`."""
        return self._finish(self.fc_q(Q) + join_heads(attended_values(state)))

    def forward(self, Q: Tensor, K: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.update(self.init_state(Q), Q, K, mask), Q)

    def attend_at_once(self, Q: Tensor, K: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the result of `forward`, faster in training; for blocks that never stream.

        PyTorch's fused attention stores no `B x H x m x n` logits for the gradient. It is not used with a mask, since
        it gives NaN for a set without elements, nor without a gradient, since its FLOPs on the CPU are not counted.
        """
        if mask is not None or K.shape[1] == 0 or not torch.is_grad_enabled():
            return self.forward(Q, K, mask)
        projected = self.fc_q(Q)
        q, k, v = (split_heads(x, self.heads) for x in (projected, self.fc_k(K), self.fc_v(K)))
        attended = join_heads(scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(self.dim)))
        return self._finish(projected + attended)

    def _finish(self, residual: Tensor) -> Tensor:
        """Return the result for the sum of queries and attended values."""
        attended = self.norm_0(residual)
        out: Tensor = self.norm_1(attended + self.fc_o(attended).relu())
        return out


class SAB(nn.Module):
    """Set attention block, MAB(X, X): elements attend to all elements, `B x n x dim_in` to `B x n x dim`.

    Parameters are those of MAB.
    """

    def __init__(self, dim_in: int, dim: int, heads: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.mab = MAB(dim_in, dim_in, dim, heads, layer_norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.mab.attend_at_once(x, x, mask)


class ISAB(nn.Module):
    """Induced set attention block, MAB(X, MAB(I, X)): elements attend to points that have attended to all elements.

    It maps `B x n x dim_in` to `B x n x dim` in O(n) time. `inducing` is the number of learned points I; other
    parameters are those of MAB.
    """

    def __init__(self, dim_in: int, dim: int, heads: int, inducing: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.points = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, inducing, dim)))
        self.to_points = MAB(dim, dim_in, dim, heads, layer_norm)
        self.to_elements = MAB(dim_in, dim, dim, heads, layer_norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        summary = self.to_points.attend_at_once(self.points.expand(x.shape[0], -1, -1), x, mask)
        return self.to_elements.attend_at_once(x, summary)


class PMA(nn.Module):
    """Pooling by multihead attention, MAB(S, X): learned seeds attend to the set.

    It maps `B x n x dim` to `B x seeds x dim`. `seeds` is the number of seeds S, `dim_in` the width of the elements
    if it is not `dim`; other parameters are those of MAB.
    """

    def __init__(
        self, dim: int, heads: int, seeds: int, layer_norm: bool = False, *, dim_in: int | None = None
    ) -> None:
        super().__init__()
        self.seeds = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, seeds, dim)))
        self.mab = MAB(dim, dim_in or dim, dim, heads, layer_norm)

    def queries(self, batch_size: int) -> Tensor:
        """Return the seeds for each set, `B x seeds x dim`."""
        return self.seeds.expand(batch_size, -1, -1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.mab(self.queries(x.shape[0]), x, mask)
        return out
