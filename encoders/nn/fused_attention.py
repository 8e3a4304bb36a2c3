"""Slot attention without keys and values: what `sse.py` computes, block by block.

With [X 1] the elements and a column of ones, the logits are [X 1] P^T for P = q [Wk bk] / sqrt(d_hat), and

    sum_i W_ik v(x_i) = (W^T [X 1]) [Wv bv]^T,

so an element costs 2 K d multiplications in place of 2 d d_hat + 2 K d_hat. Elements are read in blocks that stay in
cache, and the gradient computes each block's weights again: nothing as long as the set is written or kept. On CUDA
devices a Triton kernel does the same in one pass (`triton_attention.py`), where Triton is installed and the sizes fit;
MBCBENCH_TRITON=0 in the environment forbids it.
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
from .pooling import zero_absent
from .slot_weights import AttentionRule

TRANSPOSE_BELOW_WIDTH = 16  # numbers of an element: with fewer, products are faster that add to a transposed sum


def is_cheaper(n: int, d: int, slots: int, dim: int) -> bool:
    """Whether folding takes no more multiplications than keys and values: 2 K d for each of n elements and 2 K d d_hat
    for a set, in place of 2 d d_hat + 2 K d_hat for each element. It does not for sets of few elements."""
    return slots * d * (n + dim) <= n * dim * (d + slots)


def fused_weighted_sum(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None = None) -> Tensor:
    """W^T [X 1], `B x K x d` or `B x K x (d+1)` as `P` is, and added up in its type; `x` is `B x n x d`."""
    if x.shape[0] * x.shape[1] * sum(P.shape[1:]) <= blocks.BLOCK_SCALARS // 2:
        return _weighted_sum_at_once(x, P, rule, mask)
    if not torch.is_grad_enabled():
        return _weighted_sum_without_graph(x, P, rule, mask)
    folded: Tensor = _FusedWeightedSum.apply(x, P, rule, mask)  # type: ignore[no-untyped-call]
    return folded


def _weighted_sum_at_once(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    X = blocks.augmented_elements(x, mask, P)
    return rule.weights(P @ X.transpose(1, 2)) @ X


def _weighted_sum_without_graph(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    triton = _triton_for("forward", x, P, rule)
    if triton is None:
        return _weighted_sum_by_blocks(x, P, rule, mask)
    total: Tensor = triton.weighted_sum(x, P, rule, mask)
    return total


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
    """`_weighted_sum_at_once` without a graph, block by block, and without a copy of X beside its column of ones."""
    Q, b = blocks.split_bias(P, x.shape[2])
    out, total = _zeros(Q), torch.zeros_like(b)
    shape = blocks.block_shape(x, sum(P.shape[1:]))
    workspace = P.new_empty(math.prod(shape) * P.shape[1])
    for sets, found in blocks.iter_blocks(x, mask, P.dtype, shape):
        Qs, bs, outs, totals = (t[sets] for t in (Q, b, out, total))
        for X, present, _ in found:
            W = rule.weights_(
                blocks.affine_product(Qs, bs, X, blocks.reuse(workspace, len(X), Qs.shape[1], X.shape[1]))
            )
            outs.baddbmm_(W, X)
            if bs.numel():
                totals.baddbmm_(W, _ones(X, present))
    return torch.cat([out, total], 2)


class _FusedWeightedSum(torch.autograd.Function):
    """`_weighted_sum_by_blocks` and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, P, mask)
        ctx.rule = rule
        return _weighted_sum_without_graph(x, P, rule, mask)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, P, mask = ctx.saved_tensors
        (dU,) = grads
        if torch.is_grad_enabled():  # a gradient of this gradient may be asked for
            out = _weighted_sum_at_once(x, P, ctx.rule, mask)
            wanted = [t for t, needed in zip((x, P), ctx.needs_input_grad, strict=False) if needed]
            pulled = iter(torch.autograd.grad(out, wanted, dU, create_graph=True))
            return *(next(pulled) if needed else None for needed in ctx.needs_input_grad[:2]), None, None
        triton = _triton_for("backward", x, P, ctx.rule)
        if triton is not None:
            dx, dP = triton.weighted_sum_backward(x, P, ctx.rule, mask, dU, needs_dx=ctx.needs_input_grad[0])
            return dx, dP, None, None
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        K, d = P.shape[1], x.shape[2]
        Q, b = blocks.split_bias(torch.cat([dU, P], 1), d)  # one product: the gradients for the weights, and the logits
        dQ, db = _zeros(Q[:, K:]), torch.zeros_like(b[:, K:])
        shape = blocks.block_shape(x, P.shape[2] + 2 * K + (0 if dx is None else P.shape[2]))
        workspace = P.new_empty(math.prod(shape) * 3 * K)
        for sets, found in blocks.iter_blocks(x, mask, P.dtype, shape):
            Qs, bs, dQs, dbs = (t[sets] for t in (Q, b, dQ, db))
            for X, present, place in found:
                W_dW_M = blocks.reuse(workspace, len(X), 3 * K, X.shape[1])
                blocks.affine_product(Qs, bs, X, W_dW_M[:, K:])
                W, dW, M = torch.split(W_dW_M, K, 1)
                ctx.rule.backward_(M, dW, W, needs_weights=dx is not None)
                dM = dW
                dQs.baddbmm_(dM, X)
                if bs.numel():
                    dbs.baddbmm_(dM, _ones(X, present))
                if dx is not None:
                    dx[sets, place] = zero_absent(W_dW_M[:, : 2 * K].transpose(1, 2) @ Qs, present)
        return dx, torch.cat([dQ, db], 2), None, None


def _zeros(Q: Tensor) -> Tensor:
    """Zeros in the shape of Q, to which products of weights and elements are added."""
    B, K, d = Q.shape
    return Q.new_zeros(B, d, K).transpose(1, 2) if d < min(TRANSPOSE_BELOW_WIDTH, K) else Q.new_zeros(B, K, d)


def _ones(X: Tensor, present: Tensor | None) -> Tensor:
    """A column of a one for each element of a block, zeros where they are absent: `B x n x 1`."""
    return X.new_ones(*X.shape[:2], 1) if present is None else present.unsqueeze(2).to(X.dtype)
