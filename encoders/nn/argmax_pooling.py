"""The extremum over elements of W_ik v(x_i): what `sse.py` computes for g = max and min, in two steps.

First the winners are found, block by block and without a graph: the largest products among each few elements, then,
within those few alone, whose they are. Then keys, values and gradients are computed of the winners alone.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.protocol.encoder import Aggregation

from . import blocks
from .pooling import identity
from .slot_weights import AttentionRule

TILE_ELEMENTS = 32  # elements among which a winner is looked for one by one
MIN_TILED_ELEMENTS = 4 * TILE_ELEMENTS  # elements of which all are


def weighted_extremum(
    g: Aggregation, x: Tensor, P: Tensor, V: Tensor, rule: AttentionRule, mask: Tensor | None = None
) -> Tensor:
    """The max or min over elements of W_ik v(x_i), `B x K x d_hat`, for v(X) = [X 1] V^T.

    The winners are found without a graph; keys, values and gradients are those of the winners alone. Of equals, the
    first wins.
    """
    index = _argmax(x, P, V if g == "max" else -V, rule, mask)
    present = None if mask is None else mask.any(1)[:, None, None]
    if x.shape[1] > index[0].numel():
        rows = index.flatten(1)
        x = x.gather(1, rows.unsqueeze(2).expand(-1, -1, x.shape[2]))
        mask = None if mask is None else mask.gather(1, rows)
        index = torch.arange(rows.shape[1], device=x.device).view(index.shape[1:]).expand_as(index)
    X = blocks.augmented_elements(x, mask, P)
    value = rule.weights(P @ X.transpose(1, 2)).gather(2, index) * (X @ V.T).gather(1, index)
    return value if present is None else value.where(present, value.new_tensor(identity(g)))


@torch.no_grad()
def _argmax(x: Tensor, P: Tensor, V: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    """Which element of each set has the largest W_ik v(x_i), `B x K x d_hat`; a NaN is the largest."""
    best = P.new_full((*P.shape[:2], V.shape[0]), -torch.inf)
    index = torch.zeros(best.shape, dtype=torch.int64, device=x.device)
    (Q, b), (Wv, bv) = blocks.split_bias(P, x.shape[2]), blocks.split_bias(V.unsqueeze(0), x.shape[2])
    shape = blocks.block_shape(x, sum(P.shape[1:]) + len(V))
    n, K, dim = math.prod(shape), P.shape[1], len(V)
    slots = max(1, min(K, blocks.BLOCK_SCALARS // (n * dim)))  # whose products are in memory at a time
    of_W, of_v, of_products = (P.new_empty(n * numbers) for numbers in (K, dim, slots * dim))
    for sets, found in blocks.iter_blocks(x, mask, P.dtype, shape):
        Qs, bs, bests, indices = (t[sets] for t in (Q, b, best, index))
        for X, present, place in found:
            M = blocks.affine_product(Qs, bs, X, blocks.reuse(of_W, len(X), K, X.shape[1]))
            v = blocks.affine_product(X, bv.mT, Wv.expand(len(X), -1, -1), blocks.reuse(of_v, *X.shape[:2], dim))
            absent = None if present is None else ~present
            _update_argmax(_Terms(rule.weights_(M), v, absent, place.start, of_products), bests, indices)
    return index


class _Terms(NamedTuple):
    """What W_ik v(x_i) are made of, for the elements of sets from `start` on: W, `B x K x n`, and v, `B x n x d_hat`;
    `absent` is `B x n`, and `workspace` memory for products."""

    W: Tensor
    v: Tensor
    absent: Tensor | None
    start: int
    workspace: Tensor

    def part(self, begin: int, end: int) -> "_Terms":
        """The terms of some of the elements."""
        absent = None if self.absent is None else self.absent[:, begin:end]
        return _Terms(self.W[..., begin:end], self.v[:, begin:end], absent, self.start + begin, self.workspace)

    def products(self) -> Iterator[Tensor]:
        """W_ik v(x_i), a few slots at a time: `B x slots x n x d_hat`, each in the place of those before."""
        slots = max(1, len(self.workspace) // self.v.numel())
        for some in torch.split(self.W, slots, 1):
            B, n, dim = self.v.shape
            out = blocks.reuse(self.workspace, B, some.shape[1], n, dim)
            product = torch.mul(some.unsqueeze(3), self.v.unsqueeze(1), out=out)
            yield product if self.absent is None else product.masked_fill_(self.absent[:, None, :, None], -torch.inf)


def _update_argmax(terms: _Terms, best: Tensor, index: Tensor) -> None:
    """Put winners in the place of what is smaller in `best`, `B x K x d_hat`, and where they are in `index`."""
    n = terms.v.shape[1]
    whole = 0 if n < MIN_TILED_ELEMENTS else n - n % TILE_ELEMENTS
    if whole:
        _update_argmax_by_tiles(terms.part(0, whole), best, index)
    if whole < n:
        _update_argmax_exhaustively(terms.part(whole, n), best, index)


def _update_argmax_exhaustively(terms: _Terms, best: Tensor, index: Tensor) -> None:
    """`_update_argmax` at each element."""
    found = [product.max(2) for product in terms.products()]
    top, near = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    better = _greater(top, best)
    index.copy_((terms.start + near).where(better, index))
    best.copy_(top.where(better, best))


def _update_argmax_by_tiles(terms: _Terms, best: Tensor, index: Tensor) -> None:
    """`_update_argmax` only into the tiles that hold a winner: most blocks of a long set have few."""
    tops = torch.cat([_in_tiles(product, 2).amax(3) for product in terms.products()], 1)
    top, tile = tops.max(2)
    better = _greater(top, best)
    s, k, c = better.nonzero(as_tuple=True)
    t = tile[s, k, c]
    product = _in_tiles(terms.W, 2)[s, k, t] * _in_tiles(terms.v, 1).transpose(2, 3)[s, t, c]
    if terms.absent is not None:
        product.masked_fill_(_in_tiles(terms.absent, 1)[s, t], -torch.inf)
    index[better] = terms.start + TILE_ELEMENTS * t + product.argmax(1)
    best.copy_(top.where(better, best))


def _in_tiles(t: Tensor, dim: int) -> Tensor:
    """`t` with a dimension of elements made two: tiles, and the elements of each."""
    return t.view(*t.shape[:dim], -1, TILE_ELEMENTS, *t.shape[dim + 1 :])


def _greater(a: Tensor, b: Tensor) -> Tensor:
    """Where `a` is greater than `b`; a NaN is greater than any number."""
    return (a > b) | (a.isnan() & ~b.isnan())
