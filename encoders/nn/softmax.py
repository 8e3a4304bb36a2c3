"""Softmax attention over a set as a state: exact under mini-batches, and safe from overflow.

A softmax over elements needs of them only the largest logit, and numerator and denominator relative to it
(arXiv 1805.02867). Shapes: `B` sets, `H` heads, `Q` queries, `n` elements, `e` numbers per value.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from . import fused_attention
from .networks import Affine


class SoftmaxState(NamedTuple):
    """The largest logit so far (`B x H x Q`; -inf before the first element), and relative to it the numerator
    (`B x H x Q x e`) and the denominator (`B x H x Q`)."""

    max_logit: Tensor
    numerator: Tensor
    denominator: Tensor


def empty_state(like: Tensor, *shape: int) -> SoftmaxState:
    """The state of no elements; `shape` is that of the numerator."""
    return SoftmaxState(like.new_full(shape[:-1], -torch.inf), like.new_zeros(shape), like.new_zeros(shape[:-1]))


def attend(logits: Tensor, values: Tensor, mask: Tensor | None = None) -> SoftmaxState:
    """The state of one chunk of n > 0 elements: `logits` `B x H x Q x n`, `values` `B x H x n x e`, `mask` `B x n`.

    The peak only shifts numerator and denominator alike: it carries no gradient.
    """
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None], -torch.inf)
    peak = logits.detach().amax(-1)
    weights = (logits - _finite(peak).unsqueeze(-1)).exp()
    return SoftmaxState(peak, weights @ values, weights.sum(-1))


def unchanged(logits: Tensor) -> Tensor:
    """The logits as they are: weights are their exponentials."""
    return logits


def attend_linear(
    q: Tensor,
    k: Affine,
    v: Affine,
    x: Tensor,
    scale: float,
    mask: Tensor | None = None,
    log_weights: Callable[[Tensor], Tensor] = unchanged,
) -> SoftmaxState:
    """`attend` for keys and values linear in `x` (`B x n x d`): logits q k(x)^T scale, `q` `B x H x Q x e`.

    log_weights: of the logits, `B x H x Q x n`, gives the logarithms of the weights.

    Where that is less work (`fused_attention.is_cheaper`), neither is computed: the logits are x (Wk^T q), and the
    values follow the sum over elements, (weights x) Wv^T.
    """
    _, heads, queries, width = q.shape
    key, value = (a.weight.view(heads, width, x.shape[2]) for a in (k, v))
    is_cheaper = fused_attention.is_cheaper(x.shape[1], x.shape[2], queries, width)
    if is_cheaper:
        P = (q @ key * scale).flatten(1, 2)
        logits = (P @ x.transpose(1, 2)).view(len(x), heads, queries, x.shape[1])
    else:
        logits = q @ (x.unsqueeze(1) @ key.transpose(1, 2)).transpose(2, 3) * scale
    if k.bias is not None:
        logits = logits + q @ k.bias.view(heads, width, 1) * scale
    logs = log_weights(logits)
    if is_cheaper:
        folded = attend(logs.flatten(1, 2).unsqueeze(1), x.unsqueeze(1), mask)
        peak, num, den = (part.reshape(len(x), heads, queries, *part.shape[3:]) for part in folded)
        state = SoftmaxState(peak, num @ value.transpose(1, 2), den)
    else:
        state = attend(logs, x.unsqueeze(1) @ value.transpose(1, 2), mask)
    if v.bias is None:
        return state
    return state._replace(numerator=state.numerator + state.denominator.unsqueeze(-1) * v.bias.view(heads, 1, width))


def merge(a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
    """The state of both parts; a part without elements has peak -inf and weighs nothing."""
    peak = torch.maximum(a.max_logit, b.max_logit)
    scale_a, scale_b = ((s.max_logit - _finite(peak)).exp() for s in (a, b))
    num = a.numerator * scale_a.unsqueeze(-1) + b.numerator * scale_b.unsqueeze(-1)
    return SoftmaxState(peak, num, a.denominator * scale_a + b.denominator * scale_b)


def attended_values(state: SoftmaxState) -> Tensor:
    """The attended values, `B x H x Q x e`; zeros for no elements."""
    return state.numerator / torch.where(state.denominator == 0, 1, state.denominator).unsqueeze(-1)


def _finite(peak: Tensor) -> Tensor:
    return torch.where(peak == -torch.inf, 0, peak)


CLAIMS = {
    "mbc.partition": "largest logit, numerator and denominator are all that a softmax over elements needs of them",
    "mbc.merge": "the maximum, and sums brought to the same maximum, are associative and commutative",
    "mbc.empty": "no elements have largest logit -inf, and weigh nothing",
    "symmetry.permutation": "maxima and sums do not see the order of elements",
}
