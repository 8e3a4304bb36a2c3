"""Extrema over elements of W_ik v(x_i), as the Slot Set Encoder computes for g = max and min, in two steps.

1. Without a graph and block by block, find the element that wins for each slot and channel: first the maximum of each
   tile of elements, then, only in tiles that improve the maximum, its index.
2. Compute keys, values and gradients of the winners only: at most K d_hat elements, however long the set is. This is
   exact because an extremum passes its gradient to the winner alone.
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

TILE_ELEMENTS = 32  # the maximum (without its index) over a tile is a vectorised reduction of contiguous rows
MIN_TILED_ELEMENTS = 4 * TILE_ELEMENTS  # shorter sets and rests of blocks are searched without tiles


def weighted_extremum(
    g: Aggregation, x: Tensor, P: Tensor, V: Tensor, rule: AttentionRule, mask: Tensor | None = None
) -> Tensor:
    """Return the max or min over elements of W_ik v(x_i), for W = rule([X 1] P^T) and v(X) = [X 1] V^T.

    Of equal elements, the first wins and receives the gradient.

    Parameters
    ----------
    g : {"max", "min"}
        Extremum.
    x : Tensor
        Elements, `B x n x d`, n > 0.
    P : Tensor
        Logit matrix, `B x K x d` or `B x K x (d+1)`.
    V : Tensor
        Value matrix, `d_hat x d` or `d_hat x (d+1)`.
    rule : AttentionRule
        Maps logits to weights over slots.
    mask : Tensor, optional
        `B x n`, True where an element is present.

    Returns
    -------
    Tensor
        `B x K x d_hat`; for sets without elements the identity of `g`, an infinity.
    """
    index = _argmax(x, P, V if g == "max" else -V, rule, mask)
    has_elements = None if mask is None else mask.any(1)[:, None, None]
    winners = index.flatten(1)
    if x.shape[1] > winners.shape[1]:  # keep only the winners
        x = x.gather(1, winners.unsqueeze(2).expand(-1, -1, x.shape[2]))
        mask = None if mask is None else mask.gather(1, winners)
        index = torch.arange(winners.shape[1], device=x.device).view(index.shape[1:]).expand_as(index)
    X = blocks.augmented_elements(x, mask, P)
    extremum = rule.weights(P @ X.transpose(1, 2)).gather(2, index) * (X @ V.T).gather(1, index)
    return extremum if has_elements is None else extremum.where(has_elements, extremum.new_tensor(identity(g)))


@torch.no_grad()
def _argmax(x: Tensor, P: Tensor, V: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    """Return the index of the element with the largest W_ik v(x_i), `B x K x d_hat`; NaN counts as largest."""
    K, dim = P.shape[1], V.shape[0]
    best = P.new_full((len(P), K, dim), -torch.inf)
    index = torch.zeros(best.shape, dtype=torch.int64, device=x.device)
    (Q, b), (Wv, bv) = blocks.split_bias(P, x.shape[2]), blocks.split_bias(V.unsqueeze(0), x.shape[2])
    shape = blocks.block_shape(x, sum(P.shape[1:]) + dim)
    size = math.prod(shape)
    slots_at_once = max(1, min(K, blocks.block_scalars(x.device) // (size * dim)))
    for_W, for_v, for_products = (P.new_empty(size * width) for width in (K, dim, slots_at_once * dim))
    for sets, elements in blocks.iter_blocks(x, mask, P, shape):
        Qs, bs, bests, indices = (t[sets] for t in (Q, b, best, index))
        for X, present, place in elements:
            M = blocks.affine_product(Qs, bs, X, blocks.reuse(for_W, len(X), K, X.shape[1]))
            v = blocks.affine_product(X, bv.mT, Wv.expand(len(X), -1, -1), blocks.reuse(for_v, *X.shape[:2], dim))
            absent = None if present is None else ~present
            _update_argmax(_Terms(rule.weights_(M), v, absent, place.start, for_products), bests, indices)
    return index


class _Terms(NamedTuple):
    """Factors of W_ik v(x_i) for consecutive elements.

    Attributes
    ----------
    W : Tensor
        Weights, `B x K x n`.
    v : Tensor
        Values, `B x n x d_hat`.
    absent : Tensor or None
        `B x n`.
    start : int
        Position of the first element in the set.
    workspace : Tensor
        Memory for products of at least one slot.
    """

    W: Tensor
    v: Tensor
    absent: Tensor | None
    start: int
    workspace: Tensor

    def part(self, begin: int, end: int) -> "_Terms":
        """Return the terms of the elements from `begin` to `end`."""
        absent = None if self.absent is None else self.absent[:, begin:end]
        return _Terms(self.W[..., begin:end], self.v[:, begin:end], absent, self.start + begin, self.workspace)

    def products(self) -> Iterator[Tensor]:
        """Yield W_ik v(x_i) for as many slots as fit, `B x slots x n x d_hat`; each overwrites the one before."""
        B, n, dim = self.v.shape
        slots_at_once = max(1, len(self.workspace) // self.v.numel())
        for weights in torch.split(self.W, slots_at_once, 1):
            out = blocks.reuse(self.workspace, B, weights.shape[1], n, dim)
            product = torch.mul(weights.unsqueeze(3), self.v.unsqueeze(1), out=out)
            yield product if self.absent is None else product.masked_fill_(self.absent[:, None, :, None], -torch.inf)


def _update_argmax(terms: _Terms, best: Tensor, index: Tensor) -> None:
    """Update the largest products so far, `best` (`B x K x d_hat`), and their positions, `index`, in place."""
    n = terms.v.shape[1]
    tiled = 0 if n < MIN_TILED_ELEMENTS else n - n % TILE_ELEMENTS
    if tiled:
        _update_argmax_by_tiles(terms.part(0, tiled), best, index)
    if tiled < n:
        _update_argmax_exhaustively(terms.part(tiled, n), best, index)


def _update_argmax_exhaustively(terms: _Terms, best: Tensor, index: Tensor) -> None:
    """Search all elements for maxima and their positions at once."""
    maxima = [product.max(2) for product in terms.products()]
    largest, position = (torch.cat(parts, 1) for parts in zip(*maxima, strict=True))
    better = _is_greater(largest, best)
    index.copy_((terms.start + position).where(better, index))
    best.copy_(largest.where(better, best))


def _update_argmax_by_tiles(terms: _Terms, best: Tensor, index: Tensor) -> None:
    """Search the maximum of each tile, then only tiles with a new maximum for its position.

    In a long set, most blocks hold few new maxima: the position of the rest is never computed.
    """
    tile_maxima = torch.cat([_in_tiles(product, 2).amax(3) for product in terms.products()], 1)
    largest, tile = tile_maxima.max(2)
    better = _is_greater(largest, best)
    s, k, c = better.nonzero(as_tuple=True)  # set, slot and channel of each new maximum
    t = tile[s, k, c]
    product = _in_tiles(terms.W, 2)[s, k, t] * _in_tiles(terms.v, 1).transpose(2, 3)[s, t, c]
    if terms.absent is not None:
        product.masked_fill_(_in_tiles(terms.absent, 1)[s, t], -torch.inf)
    index[better] = terms.start + TILE_ELEMENTS * t + product.argmax(1)
    best.copy_(largest.where(better, best))


def _in_tiles(t: Tensor, dim: int) -> Tensor:
    """Return a view of `t` with the dimension of elements split in two: tiles, and elements of a tile."""
    return t.view(*t.shape[:dim], -1, TILE_ELEMENTS, *t.shape[dim + 1 :])


def _is_greater(a: Tensor, b: Tensor) -> Tensor:
    """Return where `a` > `b`, with NaN greater than any number: a NaN must reach the encoding."""
    return (a > b) | (a.isnan() & ~b.isnan())
