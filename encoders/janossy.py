"""Janossy pooling of pairs: the mean of a network over all ordered pairs of elements.

    f(X) = mean over i != j of rho(x_i, x_j),    rho(a, b) = Linear(relu(W_1 a + W_2 b))

Paper: Murphy, Srinivasan, Rao and Ribeiro, "Janossy Pooling: Learning Deep Permutation-Invariant Functions for
Variable-Size Inputs", arXiv 1811.01900 (k = 2). As there, a tuple with too few elements is padded with zeros:
f({x}) = rho(x, 0) and f({}) = rho(0, 0).
"""

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from mbcbench.protocol.spec import EncoderSpec

from .nn.numpy_layers import linear
from .nn.pooling import count_present, zero_absent

_ROWS_AT_ONCE = 8  # of the n x n table of pairs, so that memory grows with n and not with n^2


class Janossy(nn.Module):
    """Average a network over ordered pairs of elements: `B x n x d` to `B x dim` in O(n^2) time.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the network and of the encoding.
    """

    def __init__(self, dim_in: int, *, dim: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(dim_in, dim)
        self.second = nn.Linear(dim_in, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = zero_absent(x, mask)
        number = count_present(x, mask).unsqueeze(1)
        a, b = self.first(x), self.second(x)
        padded = self.first(x.sum(1)).relu()  # in a set of at most one element, the sum is that element or zero
        if mask is not None:  # relu(-inf) = 0: a pair with an absent element adds nothing
            a, b = (t.masked_fill(~mask.unsqueeze(2), -torch.inf) for t in (a, b))
        # rho's last layer is linear: apply it once to the mean instead of to each pair.
        sort = mask is None and torch.is_grad_enabled() and a.dtype in (torch.float32, torch.float64)
        total: Tensor = _SortedSum.apply(a, b) if sort else _sum_over_pairs(a, b)  # type: ignore[no-untyped-call]
        hidden = total / (number * (number - 1)).clamp(min=1)
        out: Tensor = self.out(torch.where(number < 2, padded, hidden))
        return out


def _sum_over_pairs(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of relu(a_i + b_j) over i != j, `B x dim`."""
    total = -(a + b).relu().sum(1)
    for rows in a.split(_ROWS_AT_ONCE, 1):  # type: ignore[no-untyped-call]
        total = total + (rows.unsqueeze(2) + b.unsqueeze(1)).relu().sum((1, 2))
    return total


class _SortedSum(torch.autograd.Function):
    """`_sum_over_pairs` in O(n log n) time, for training.

    relu(a_i + b_j) is a_i + b_j where a_i > -b_j, and 0 elsewhere. The sum over pairs is therefore the sum of a_i c_i
    and b_j d_j, where c_i and d_j, the numbers of positive pairs of an element, are also the gradients. Sorting gives
    these numbers. The terms cancel more than those of `_sum_over_pairs`, so encodings without a gradient do not use
    this.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor, b: Tensor) -> Tensor:
        a, b = (t.detach().transpose(1, 2).contiguous() for t in (a, b))
        count_a, count_b = _count_positive(a, b), _count_positive(b, a)
        same = a + b  # the pairs i = j, which do not count
        total = (a * count_a).sum(-1) + (b * count_b).sum(-1) - same.relu().sum(-1)
        is_positive = (same > 0).to(a.dtype)
        ctx.save_for_backward(count_a - is_positive, count_b - is_positive)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        count_a, count_b = ctx.saved_tensors
        gradient = gradient.unsqueeze(-1)
        return (gradient * count_a).transpose(1, 2), (gradient * count_b).transpose(1, 2)


def _count_positive(a: Tensor, b: Tensor) -> Tensor:
    """Return for each element a_i of the last axis the number of b_j with a_i + b_j > 0."""
    not_positive = torch.searchsorted(b.sort(-1).values, -a, right=True)
    return (b.shape[-1] - not_positive).to(a.dtype)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) pair by pair in NumPy."""
    assert isinstance(module, Janossy)

    def rho(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return linear(module.out, np.maximum(linear(module.first, a) + linear(module.second, b), 0))

    zero = np.zeros(x.shape[2])
    out = []
    for elements in x:
        pairs = list(itertools.permutations(elements, 2)) or [(*elements, zero, zero)[:2]]
        out.append(np.mean([rho(a, b) for a, b in pairs], axis=0))
    return np.stack(out)


JANOSSY = EncoderSpec(
    name="janossy",
    factory=Janossy,
    summary="Janossy pooling: the mean of a network over ordered pairs of elements",
    paper="https://arxiv.org/abs/1811.01900",
    claims={"symmetry.permutation": "the mean runs over all ordered pairs"},
    breaks={"mbc.partition": "pairs of elements from different chunks are never formed"},
    reference=reference,
)
