"""Slot attention without keys, values or stored weights: the fused kernel of the Slot Set Encoder.

With [X 1] the elements and a column of ones, the logits of eq. 3 (arXiv 2103.01615) are M = [X 1] P^T for
P = q [Wk bk] / sqrt(d_hat), and the weighted sum of eq. 4 is

    W^T v(X) = (W^T [X 1]) [Wv bv]^T.

An element then takes 2 K d multiplications in place of 2 d d_hat + 2 K d_hat. `fused_weighted_sum` computes
W^T [X 1] block by block: neither logits nor weights of the whole set exist at any time. The backward pass computes
each block's weights again: another product with a block in cache costs less than writing the weights of all elements
to memory and reading them back, and the memory for gradients does not grow with the set.

On a CUDA device a Triton kernel does the same in one pass (`triton_attention.py`), if Triton is installed and the sizes
fit. `MBCBENCH_TRITON=0` in the environment disables it.
"""

import functools
import importlib.util
import math
import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import blocks
from .slot_weights import AttentionRule

# Below this width, accumulate into a transposed sum, whose rows of K numbers are longer than d: it takes 8 to 17 % less
# time for d = 3, but 8 to 18 % more for d = 24 (Intel Xeon, one thread).
TRANSPOSE_BELOW_WIDTH = 16


def is_cheaper(n: int, d: int, slots: int, dim: int) -> bool:
    """Return True if attention without keys and values takes no more multiplications than with them.

    Without, it takes 2 K d for each of n elements and 2 K d d_hat for the set; with them, 2 d d_hat + 2 K d_hat for
    each element. Keys and values win for sets of few elements.

    Parameters
    ----------
    n : int
        Elements of a set.
    d : int
        Width of an element.
    slots : int
        Slots K, or queries of a head.
    dim : int
        Width d_hat of keys and values.
    """
    return slots * d * (n + dim) <= n * dim * (d + slots)


def fused_weighted_sum(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None = None) -> Tensor:
    """Return W^T [X 1] for the weights W = rule(M) of the logits M = [X 1] P^T.

    Parameters
    ----------
    x : Tensor
        Elements, `B x n x d`, of any floating dtype.
    P : Tensor
        Logit matrix, `B x K x d`, or `B x K x (d+1)` to append the column of ones; at least float32.
    rule : AttentionRule
        Maps logits to weights over slots.
    mask : Tensor, optional
        `B x n`, True where an element is present.

    Returns
    -------
    Tensor
        Weighted sum in the shape and dtype of `P`. It can be differentiated twice with respect to `x` and `P`.
    """
    if x.shape[0] * x.shape[1] * sum(P.shape[1:]) <= blocks.BLOCK_SCALARS // 2:
        return _weighted_sum_at_once(x, P, rule, mask)
    if not torch.is_grad_enabled():
        return _weighted_sum_without_graph(x, P, rule, mask)
    out: Tensor = _FusedWeightedSum.apply(x, P, rule, mask)  # type: ignore[no-untyped-call]
    return out


def _weighted_sum_at_once(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    X = blocks.augmented_elements(x, mask, P)
    return rule.weights(P @ X.transpose(1, 2)) @ X


def _weighted_sum_without_graph(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    triton = _triton_for("forward", x, P, rule)
    if triton is None:
        return _weighted_sum_by_blocks(x, P, rule, mask)
    weighted_sum: Tensor = triton.weighted_sum(x, P, rule, mask)
    return weighted_sum


def _triton_for(kernel: str, x: Tensor, P: Tensor, rule: AttentionRule) -> ModuleType | None:
    """Return `triton_attention` on a CUDA device where Triton is installed and its `kernel` takes these sizes."""
    if not x.is_cuda or not _has_triton():
        return None
    from . import triton_attention

    return triton_attention if triton_attention.supports(kernel, x, P, rule) else None


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None and os.environ.get("MBCBENCH_TRITON") != "0"


def _weighted_sum_by_blocks(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    """Compute `_weighted_sum_at_once` without a graph and without a copy of X for its column of ones."""
    sums = (
        split.sum(_sum_blocks(split.view(x), split.repeat(P), rule, split.view_mask(mask)))
        for split in blocks.split_among_threads(x)
    )
    return functools.reduce(torch.add, sums)


def _sum_blocks(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    Q, b = blocks.split_bias(P, x.shape[2])
    weighted_sum, total_weight = _zeros_for_sum(Q), torch.zeros_like(b)
    shape = blocks.block_shape(x, sum(P.shape[1:]))
    workspace = P.new_empty(math.prod(shape) * P.shape[1])
    for sets, elements in blocks.iter_blocks(x, mask, P, shape):
        Qs, bs, sums, totals = (t[sets] for t in (Q, b, weighted_sum, total_weight))
        for X, present, _ in elements:
            buffer = blocks.reuse(workspace, len(X), Qs.shape[1], X.shape[1])
            W = rule.weights_(blocks.affine_product(Qs, bs, X, buffer))
            sums.baddbmm_(W, X)
            if bs.numel():
                totals.baddbmm_(W, _ones(X, present))
    return torch.cat([weighted_sum, total_weight], 2)


class _FusedWeightedSum(torch.autograd.Function):
    """`_weighted_sum_by_blocks` with a gradient that is computed block by block too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, P, mask)
        ctx.rule = rule
        return _weighted_sum_without_graph(x, P, rule, mask)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, P, mask = ctx.saved_tensors
        (dU,) = grads
        needs_dx, needs_dP = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # create_graph=True: a second derivative may follow
            return *_differentiable_gradients(x, P, ctx.rule, mask, dU, needs_dx, needs_dP), None, None
        triton = _triton_for("backward", x, P, ctx.rule)
        if triton is not None:
            return *triton.weighted_sum_backward(x, P, ctx.rule, mask, dU, needs_dx=needs_dx), None, None
        return *_gradients_by_blocks(x, P, ctx.rule, mask, dU, needs_dx), None, None


def _differentiable_gradients(
    x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None, dU: Tensor, needs_dx: bool, needs_dP: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return dL/dx and dL/dP, for the gradient dU of the weighted sum U, with a graph of their own."""
    inputs = [t for t, needed in ((x, needs_dx), (P, needs_dP)) if needed]
    U = _weighted_sum_at_once(x, P, rule, mask)
    gradients = iter(torch.autograd.grad(U, inputs, dU, create_graph=True))
    return next(gradients) if needs_dx else None, next(gradients) if needs_dP else None


def _gradients_by_blocks(
    x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None, dU: Tensor, needs_dx: bool
) -> tuple[Tensor | None, Tensor]:
    """Return dL/dx (if needed) and dL/dP for the gradient dU, `B x K x d` or `B x K x (d+1)`, of the weighted sum.

    With weights and logits as `K x n`, the transposes of the paper's, U = W [X 1] and M = P [X 1]^T, hence

        dW = dU [X 1]^T,    dM = backward of the rule,    dP = dM [X 1],    dX = W^T dU + dM^T P.

    The logits M and dW are one product of [P; dU] with the block, and dX is one product of [W; dM] with [dU; P]: half
    as many passes over the block. W and dM therefore replace M and dW. No other buffer lies between those of two sets,
    as the library shares a product among threads better if its result is contiguous.
    """
    dx = torch.empty_like(x) if needs_dx else None
    dP = (
        split.sum(
            _sum_block_gradients(
                split.view(x),
                split.repeat(P),
                rule,
                split.view_mask(mask),
                split.repeat(dU),
                None if dx is None else split.view(dx),
            )
        )
        for split in blocks.split_among_threads(x)
    )
    return dx, functools.reduce(torch.add, dP)


def _sum_block_gradients(
    x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None, dU: Tensor, dx: Tensor | None
) -> Tensor:
    """Return dL/dP, and write dL/dx to `dx`."""
    K, d = P.shape[1], x.shape[2]
    needs_dx = dx is not None
    P_dU, bias = blocks.split_bias(torch.cat([P, dU], 1), d)
    dU_P = P_dU.roll(K, 1)
    dQ, db = _zeros_for_sum(P_dU[:, :K]), torch.zeros_like(bias[:, :K])
    shape = blocks.block_shape(x, P.shape[2] + 2 * K + (P.shape[2] if needs_dx else 0))
    workspace, scratch = (P.new_empty(math.prod(shape) * rows) for rows in (2 * K, K))
    for sets, elements in blocks.iter_blocks(x, mask, P, shape):
        P_dUs, dU_Ps, biases, dQs, dbs = (t[sets] for t in (P_dU, dU_P, bias, dQ, db))
        for X, present, place in elements:
            M_dW = blocks.reuse(workspace, len(X), 2 * K, X.shape[1])
            blocks.affine_product(P_dUs, biases, X, M_dW)
            M, dW = M_dW[:, :K], M_dW[:, K:]
            rule.backward_(M, dW, blocks.reuse(scratch, *M.shape), needs_weights=needs_dx)
            W_dM, dM = M_dW, dW  # overwritten in place
            dQs.baddbmm_(dM, X)
            if biases.numel():
                dbs.baddbmm_(dM, _ones(X, present))
            if dx is not None:
                _write_product(W_dM.transpose(1, 2), dU_Ps, dx[sets, place])
                if present is not None:
                    dx[sets, place].masked_fill_(~present.unsqueeze(2), 0)
    return torch.cat([dQ, db], 2)


def _write_product(A: Tensor, B: Tensor, out: Tensor) -> None:
    """Write A B to `out`, without a copy if that has the same dtype."""
    if out.dtype == A.dtype:
        torch.bmm(A, B, out=out)
    else:
        out.copy_(A @ B)


def _zeros_for_sum(Q: Tensor) -> Tensor:
    """Return zeros in the shape of `Q` (`B x K x d`), laid out for adding products of weights and elements."""
    B, K, d = Q.shape
    if d < min(TRANSPOSE_BELOW_WIDTH, K):
        return Q.new_zeros(B, d, K).transpose(1, 2)
    return Q.new_zeros(B, K, d)


def _ones(X: Tensor, present: Tensor | None) -> Tensor:
    """Return the column of ones of a block, `b x m x 1`, with zeros where elements are absent."""
    return X.new_ones(*X.shape[:2], 1) if present is None else present.unsqueeze(2).to(X.dtype)
