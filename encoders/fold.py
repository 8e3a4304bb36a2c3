"""Slot attention without keys and values: what `sse.py` computes, block by block.

With [X 1] the elements and a column of ones, the logits are [X 1] P^T for P = q [Wk bk] / sqrt(d_hat), and

    sum_i W_ik v(x_i) = (W^T [X 1]) [Wv bv]^T,

so an element costs 2 K d multiplications in place of 2 d d_hat + 2 K d_hat. Elements are read in blocks that stay in
cache, and the gradient computes each block's weights again: nothing as long as the set is written or kept.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from mbcbench.encoder import Aggregation

from .pooling import hide, identity

BLOCK = 2**19  # numbers: a block's elements and weights stay in cache
POINT = 4  # numbers of an element: with no more, products are faster on elements that lie in columns
THIN = 16  # numbers of an element: with fewer, products are faster that add to a transposed sum
TILE = 128  # elements among which a winner is looked for one by one
FEW = 8 * TILE  # elements that are looked at one by one as they come


class Attention(Protocol):
    """Weights over slots, each element's on its own. Logits and weights are `B x K x n`."""

    def weights(self, M: Tensor) -> Tensor:
        """W, by differentiable operations."""

    def weigh(self, M: Tensor) -> Tensor:
        """W in the place of M, without a graph."""

    def pull(self, M: Tensor, dW: Tensor, W: Tensor, wanted: bool) -> None:
        """In the place of dW, the gradient for W, that for M; in the place of W, if `wanted`, W. M is lost."""


class SlotSigmoid:
    """A = sigmoid(M) + 1e-8, W = A / (sum of A over slots): eq. 3 and 4 of arXiv 2103.01615."""

    epsilon = 1e-8

    def weights(self, M: Tensor) -> Tensor:
        A = M.sigmoid() + self.epsilon
        return A / A.sum(1, keepdim=True)

    def weigh(self, M: Tensor) -> Tensor:
        A = M.sigmoid_().add_(self.epsilon)
        return A.div_(A.sum(1, keepdim=True))

    def pull(self, M: Tensor, dW: Tensor, W: Tensor, wanted: bool) -> None:
        sigmoid = M.sigmoid_()
        A = torch.add(sigmoid, self.epsilon, out=W)
        total = A.sum(1, keepdim=True)
        dA = dW.sub_(A.mul_(dW).sum(1, keepdim=True).div_(total)).div_(total)
        torch.ops.aten.sigmoid_backward.grad_input(dA, sigmoid, grad_input=dW)
        if wanted:
            torch.add(sigmoid, self.epsilon, out=W).div_(total)


class SlotSoftmax:
    """W = softmax of M over slots."""

    def weights(self, M: Tensor) -> Tensor:
        return M.softmax(1)

    def weigh(self, M: Tensor) -> Tensor:
        return M.softmax(1)

    def pull(self, M: Tensor, dW: Tensor, W: Tensor, wanted: bool) -> None:
        torch.softmax(M, 1, out=W)
        dW.sub_(torch.mul(W, dW, out=M).sum(1, keepdim=True)).mul_(W)


def accumulated(dtype: torch.dtype) -> torch.dtype:
    """The type that numbers of `dtype` are summed in: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def columns(linear: nn.Linear) -> Tensor:
    """The matrix that [X 1] is multiplied with, `out x d` or, with a bias, `out x (d+1)`."""
    weight = linear.weight if linear.bias is None else torch.cat([linear.weight, linear.bias.unsqueeze(1)], 1)
    return weight.to(accumulated(weight.dtype))


def elements(x: Tensor, mask: Tensor | None, P: Tensor) -> Tensor:
    """`x` in the type of `P`, zeros where absent, with a column of ones where `P` has one more column than `x`."""
    x = x.to(P.dtype)
    return hide(x if x.shape[2] == P.shape[2] else pad(x, (0, 1), value=1.0), mask)


def pays(n: int, d: int, slots: int, dim: int) -> bool:
    """Whether folding takes no more multiplications than keys and values: 2 K d for each of n elements and 2 K d d_hat
    for a set, in place of 2 d d_hat + 2 K d_hat for each element. It does not for sets of few elements."""
    return slots * d * (n + dim) <= n * dim * (d + slots)


def fold(x: Tensor, P: Tensor, attention: Attention, mask: Tensor | None = None) -> Tensor:
    """W^T [X 1], `B x K x d` or `B x K x (d+1)` as `P` is; `x` is `B x n x d`. Added up in float32 at least."""
    P = P.to(accumulated(P.dtype))
    device = x.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return _folded(x, P, attention, mask)
    with torch.autocast(device, enabled=False):  # it would have blocks added up in sixteen bits
        return _folded(x, P, attention, mask)


def _folded(x: Tensor, P: Tensor, attention: Attention, mask: Tensor | None) -> Tensor:
    if x.shape[0] * x.shape[1] * sum(P.shape[1:]) <= BLOCK // 2:
        return _fold_at_once(x, P, attention, mask)
    if not torch.is_grad_enabled():
        return _fold_by_blocks(x, P, attention, mask)
    folded: Tensor = _Fold.apply(x, P, attention, mask)  # type: ignore[no-untyped-call]
    return folded


def _fold_at_once(x: Tensor, P: Tensor, attention: Attention, mask: Tensor | None) -> Tensor:
    X = elements(x, mask, P)
    return attention.weights(P @ X.transpose(1, 2)) @ X


def _fold_by_blocks(x: Tensor, P: Tensor, attention: Attention, mask: Tensor | None) -> Tensor:
    """`_fold_at_once` without a graph, block by block, and without a copy of X beside its column of ones."""
    Q, b = _apart(P, x.shape[2])
    out, total = _zeros(Q), torch.zeros_like(b)
    size = _size(x, sum(P.shape[1:]))
    room = P.new_empty(math.prod(size) * P.shape[1])
    for sets, blocks in _blocks(x, mask, P.dtype, size):
        Qs, bs, outs, totals = (t[sets] for t in (Q, b, out, total))
        for X, present, _ in blocks:
            W = _weights(X, Qs, bs, attention, room)
            outs.baddbmm_(W, X)
            if bs.numel():
                totals.baddbmm_(W, _ones(X, present))
    return torch.cat([out, total], 2)


class _Fold(torch.autograd.Function):
    """`_fold_by_blocks` and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, P: Tensor, attention: Attention, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, P, mask)
        ctx.attention = attention
        return _fold_by_blocks(x, P, attention, mask)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, P, mask = ctx.saved_tensors
        (dU,) = grads
        if torch.is_grad_enabled():  # a gradient of this gradient may be asked for
            out = _fold_at_once(x, P, ctx.attention, mask)
            wanted = [t for t, needed in zip((x, P), ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(out, wanted, dU, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:2]), None, None
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        K, d = P.shape[1], x.shape[2]
        Q, b = _apart(torch.cat([dU, P], 1), d)  # one product: the gradients for the weights, and the logits
        dQ, db = _zeros(Q[:, K:]), torch.zeros_like(b[:, K:])
        size = _size(x, P.shape[2] + 2 * K + (0 if dx is None else P.shape[2]))
        room = P.new_empty(math.prod(size) * 3 * K)
        for sets, blocks in _blocks(x, mask, P.dtype, size):
            Qs, bs, dQs, dbs = (t[sets] for t in (Q, b, dQ, db))
            for X, present, place in blocks:
                W_dW_M = _view(room, len(X), 3 * K, X.shape[1])
                _product(Qs, bs, X, W_dW_M[:, K:])
                W, dW, M = torch.split(W_dW_M, K, 1)
                ctx.attention.pull(M, dW, W, wanted=dx is not None)
                dM = dW
                dQs.baddbmm_(dM, X)
                if bs.numel():
                    dbs.baddbmm_(dM, _ones(X, present))
                if dx is not None:
                    dx[sets, place] = hide(W_dW_M[:, : 2 * K].transpose(1, 2) @ Qs, present)
        return dx, torch.cat([dQ, db], 2), None, None


def _apart(P: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """What X alone is multiplied with, `B x K x d`, and what is added for each element, `B x K x (0 or 1)`."""
    return P[..., :d], P[..., d:]


def _zeros(Q: Tensor) -> Tensor:
    """Zeros in the shape of Q, to which products of weights and elements are added."""
    B, K, d = Q.shape
    return Q.new_zeros(B, d, K).transpose(1, 2) if d < min(THIN, K) else Q.new_zeros(B, K, d)


def _view(room: Tensor, *shape: int) -> Tensor:
    """The first of the memory of `room` as a tensor of another shape."""
    return room[: math.prod(shape)].view(shape)


def _weights(X: Tensor, Q: Tensor, b: Tensor, attention: Attention, room: Tensor) -> Tensor:
    """W, `B x K x n`, without a graph and in the memory of `room`."""
    return attention.weigh(_product(Q, b, X, _view(room, len(X), Q.shape[1], X.shape[1])))


def _product(Q: Tensor, b: Tensor, X: Tensor, out: Tensor) -> Tensor:
    """Q X^T + b, where there is one, in the place of `out`."""
    Xt = X.transpose(1, 2)
    return torch.baddbmm(b, Q, Xt, out=out) if b.numel() else torch.bmm(Q, Xt, out=out)


def _ones(X: Tensor, present: Tensor | None) -> Tensor:
    """A column of a one for each element of a block, zeros where they are absent: `B x n x 1`."""
    return X.new_ones(*X.shape[:2], 1) if present is None else present.unsqueeze(2).to(X.dtype)


def extremum(
    g: Aggregation, x: Tensor, P: Tensor, V: Tensor, attention: Attention, mask: Tensor | None = None
) -> Tensor:
    """The max or min over elements of W_ik v(x_i), `B x K x d_hat`, for v(X) = [X 1] V^T.

    The winners are found without a graph; keys, values and gradients are those of the winners alone. Of equals, the
    first wins.
    """
    index = _winners(x, P, V if g == "max" else -V, attention, mask)
    present = None if mask is None else mask.any(1)[:, None, None]
    if x.shape[1] > index[0].numel():
        rows = index.flatten(1)
        x = x.gather(1, rows.unsqueeze(2).expand(-1, -1, x.shape[2]))
        mask = None if mask is None else mask.gather(1, rows)
        index = torch.arange(rows.shape[1], device=x.device).view(index.shape[1:]).expand_as(index)
    X = elements(x, mask, P)
    value = attention.weights(P @ X.transpose(1, 2)).gather(2, index) * (X @ V.T).gather(1, index)
    return value if present is None else value.where(present, value.new_tensor(identity(g)))


@torch.no_grad()
def _winners(x: Tensor, P: Tensor, V: Tensor, attention: Attention, mask: Tensor | None) -> Tensor:
    """Which element of each set has the largest W_ik v(x_i), `B x K x d_hat`; a NaN is the largest."""
    best = P.new_full((*P.shape[:2], V.shape[0]), -torch.inf)
    index = torch.zeros(best.shape, dtype=torch.int64, device=x.device)
    look = _look_at_all if x.shape[1] <= FEW else _look_by_tiles
    (Q, b), c = _apart(P, x.shape[2]), V[:, x.shape[2] :]
    size = _size(x, sum(P.shape[1:]) + V.shape[0])
    room = P.new_empty(math.prod(size) * P.shape[1])
    for sets, blocks in _blocks(x, mask, P.dtype, size):
        Qs, bs, bests, indices = (t[sets] for t in (Q, b, best, index))
        for X, present, place in blocks:
            W = _weights(X, Qs, bs, attention, room)
            v = linear(X, V[:, : x.shape[2]], c.flatten() if c.numel() else None)
            look(W, v, None if present is None else ~present, place.start, bests, indices)
    return index


def _look_at_all(W: Tensor, v: Tensor, absent: Tensor | None, start: int, best: Tensor, index: Tensor) -> None:
    """Put the block's winners in the place of what is smaller in `best`, and where they are in `index`."""
    top, near = _maxima(W, v, absent)
    better = _greater(top, best)
    index.copy_((start + near).where(better, index))
    best.copy_(top.where(better, best))


def _look_by_tiles(W: Tensor, v: Tensor, absent: Tensor | None, start: int, best: Tensor, index: Tensor) -> None:
    """The same, looking only into the tiles that hold a winner: most blocks of a long set have few."""
    top, tile = _tops(W, v, absent).max(0)
    better = _greater(top, best)
    s, k, c = (at.unsqueeze(1) for at in better.nonzero(as_tuple=True))
    near = (TILE * tile[s, k, c] + torch.arange(TILE, device=v.device)).clamp(max=v.shape[1] - 1)
    terms = W[s, k, near] * v[s, near, c]
    if absent is not None:
        terms = terms.masked_fill(absent[s, near], -torch.inf)
    index[better] = start + near.gather(1, terms.argmax(1, keepdim=True)).squeeze(1)
    best.copy_(top.where(better, best))


def _greater(a: Tensor, b: Tensor) -> Tensor:
    """Where `a` is greater than `b`; a NaN is greater than any number."""
    return (a > b) | (a.isnan() & ~b.isnan())


def _products(W: Tensor, v: Tensor, absent: Tensor | None) -> Iterator[Tensor]:
    """W_ik v(x_i), a few slots at a time: `B x slots x n x d_hat`."""
    slots = max(1, BLOCK // 8 // v.numel())
    for some in torch.split(W, slots, 1):
        product = some.unsqueeze(3) * v.unsqueeze(1)
        yield product if absent is None else product.masked_fill_(absent[:, None, :, None], -torch.inf)


def _maxima(W: Tensor, v: Tensor, absent: Tensor | None) -> tuple[Tensor, Tensor]:
    """The largest W_ik v(x_i), `B x K x d_hat`, and which elements' they are."""
    values, places = zip(*(product.max(2) for product in _products(W, v, absent)), strict=True)
    return torch.cat(values, 1), torch.cat(places, 1)


def _tops(W: Tensor, v: Tensor, absent: Tensor | None) -> Tensor:
    """The largest W_ik v(x_i) within each `TILE` elements, a few slots at a time: `tiles x B x K x d_hat`."""
    out = []
    for j in range(0, v.shape[1], TILE):
        tile = slice(j, j + TILE)
        products = _products(W[..., tile], v[:, tile], None if absent is None else absent[:, tile])
        out.append(torch.cat([product.amax(2) for product in products], 1))
    return torch.stack(out)


def _size(x: Tensor, numbers: int) -> tuple[int, int]:
    """How many sets and how many elements of each make a block that fills `BLOCK` with `numbers` for each element.

    As many elements of a set as fit, and then as many sets: a power of two, as chunks often are.
    """
    size = 2 ** round(math.log2(max(1, BLOCK // numbers)))
    m = max(1, min(x.shape[1], size))
    return max(1, min(x.shape[0], size // m)), m


def _blocks(
    x: Tensor, mask: Tensor | None, dtype: torch.dtype, size: tuple[int, int]
) -> Iterator[tuple[slice, Iterator[tuple[Tensor, Tensor | None, slice]]]]:
    """Sets, and of these block after block: elements in `dtype`, their part of the mask, their place.

    A pass in their order brings elements into cache: the products read with strides, for which they would wait longer.
    Points are laid in columns by it.
    """
    b, m = size
    for i in range(0, x.shape[0], b):
        sets = slice(i, i + b)
        yield sets, _blocks_of(x[sets], None if mask is None else mask[sets], dtype, m)


def _blocks_of(
    x: Tensor, mask: Tensor | None, dtype: torch.dtype, m: int
) -> Iterator[tuple[Tensor, Tensor | None, slice]]:
    masks = itertools.repeat(None) if mask is None else torch.split(mask, m, 1)
    for j, found, present in zip(range(0, x.shape[1], m), torch.split(x, m, 1), masks, strict=False):
        X = hide(found.to(dtype), present)
        if X.shape[2] <= POINT:
            X = X.transpose(1, 2).contiguous().transpose(1, 2)
        elif not X.is_cuda:
            X.sum()
        yield X, present, slice(j, j + m)
