"""Softmax attention over a set as a state: exact for any partition into chunks, and safe from overflow.

For logits l_i and values v_i, a stream keeps (Milakov and Gimelshein, arXiv 1805.02867)

    m = max_i l_i,    numerator = sum_i exp(l_i - m) v_i,    denominator = sum_i exp(l_i - m),

and reads out numerator / denominator. Shapes: `B` sets, `H` heads, `Q` queries, `n` elements, `e` numbers per value.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .fused_attention import is_cheaper
from .networks import Affine

LogWeights = Callable[[Tensor], Tensor]


class SoftmaxState(NamedTuple):
    """Softmax attention over the elements seen so far.

    Attributes
    ----------
    max_logit : Tensor
        Largest logit, `B x H x Q`; -inf before the first element.
    numerator : Tensor
        Sum of exp(logit - max_logit) times the value, `B x H x Q x e`.
    denominator : Tensor
        Sum of exp(logit - max_logit), `B x H x Q`.
    """

    max_logit: Tensor
    numerator: Tensor
    denominator: Tensor


def empty_state(like: Tensor, *shape: int) -> SoftmaxState:
    """Return the state of an empty set, in the dtype and on the device of `like`; `shape` is the numerator's."""
    return SoftmaxState(like.new_full(shape[:-1], -torch.inf), like.new_zeros(shape), like.new_zeros(shape[:-1]))


def attend(logits: Tensor, values: Tensor, mask: Tensor | None = None) -> SoftmaxState:
    """Return the state of one chunk of n > 0 elements.

    Parameters
    ----------
    logits : Tensor
        `B x H x Q x n`.
    values : Tensor
        `B x H x n x e`.
    mask : Tensor, optional
        `B x n`, True where an element is present.
    """
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None], -torch.inf)
    # Numerator and denominator scale alike with exp(-m), so their ratio does not depend on m: m needs no gradient.
    max_logit = logits.detach().amax(-1)
    weights = (logits - _zero_if_empty(max_logit).unsqueeze(-1)).exp()
    return SoftmaxState(max_logit, weights @ values, weights.sum(-1))


def attend_linear(
    q: Tensor,
    key: Affine,
    value: Affine,
    x: Tensor,
    scale: float,
    mask: Tensor | None = None,
    log_weights: LogWeights | None = None,
) -> SoftmaxState:
    """Return the state of one chunk whose keys and values are affine in its elements.

    The logits are `scale * q key(x)^T`, and the weights their exponentials or those of `log_weights(logits)`.

    Parameters
    ----------
    q : Tensor
        Queries, `B x H x Q x e`.
    key, value : Affine
        Maps from `d` to `H e` numbers.
    x : Tensor
        Elements, `B x n x d`, n > 0, without NaN where `mask` is False.
    scale : float
        Factor of the logits.
    mask : Tensor, optional
        `B x n`, True where an element is present.
    log_weights : callable, optional
        Maps logits (`B x H x Q x n`) to logarithms of weights of the same shape.
    """
    heads, queries, width = q.shape[1:]
    Wk, Wv = (layer.weight.view(heads, width, x.shape[2]) for layer in (key, value))

    def finish_logits(logits: Tensor) -> Tensor:
        if key.bias is not None:
            logits = logits + q @ key.bias.view(heads, width, 1) * scale
        return logits if log_weights is None else log_weights(logits)

    attend_to = _attend_to_elements if is_cheaper(x.shape[1], x.shape[2], queries, width) else _attend_to_projections
    state = attend_to(q, Wk, Wv, x, scale, mask, finish_logits)
    if value.bias is None:
        return state
    # sum_i w_i (Wv x_i + bv) = Wv (sum_i w_i x_i) + (sum_i w_i) bv
    bias = state.denominator.unsqueeze(-1) * value.bias.view(heads, 1, width)
    return state._replace(numerator=state.numerator + bias)


def _attend_to_elements(
    q: Tensor, Wk: Tensor, Wv: Tensor, x: Tensor, scale: float, mask: Tensor | None, finish_logits: LogWeights
) -> SoftmaxState:
    """Attend without keys and values: q (Wk x)^T = (q Wk) x^T, and Wv is taken out of the sum over elements."""
    B, heads, queries, _ = q.shape
    P = (q @ Wk * scale).flatten(1, 2)
    logits = finish_logits((P @ x.transpose(1, 2)).view(B, heads, queries, x.shape[1]))
    state = attend(logits.flatten(1, 2).unsqueeze(1), x.unsqueeze(1), mask)
    max_logit, numerator, denominator = (part.reshape(B, heads, queries, *part.shape[3:]) for part in state)
    return SoftmaxState(max_logit, numerator @ Wv.transpose(1, 2), denominator)


def _attend_to_projections(
    q: Tensor, Wk: Tensor, Wv: Tensor, x: Tensor, scale: float, mask: Tensor | None, finish_logits: LogWeights
) -> SoftmaxState:
    """Attend with a key and a value for each element.

    One product for all heads and sets: a small product for each of them takes up to 20 times as long.
    """
    heads, width = Wk.shape[:2]
    keys, values = ((x @ W.flatten(0, 1).T).view(*x.shape[:2], heads, width).transpose(1, 2) for W in (Wk, Wv))
    return attend(finish_logits(q @ keys.transpose(2, 3) * scale), values, mask)


def merge(a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
    """Return the state of both parts; a part without elements has the largest logit -inf and no weight."""
    max_logit = torch.maximum(a.max_logit, b.max_logit)
    scale_a, scale_b = ((part.max_logit - _zero_if_empty(max_logit)).exp() for part in (a, b))
    numerator = a.numerator * scale_a.unsqueeze(-1) + b.numerator * scale_b.unsqueeze(-1)
    return SoftmaxState(max_logit, numerator, a.denominator * scale_a + b.denominator * scale_b)


def attended_values(state: SoftmaxState) -> Tensor:
    """Return the attended values, `B x H x Q x e`; zeros for an empty set."""
    return state.numerator / torch.where(state.denominator == 0, 1, state.denominator).unsqueeze(-1)


def _zero_if_empty(max_logit: Tensor) -> Tensor:
    """Return `max_logit` with 0 in place of -inf, because -inf - -inf is NaN."""
    return torch.where(max_logit == -torch.inf, 0, max_logit)


CLAIMS = {
    "mbc.partition": "a softmax over elements needs their largest logit, numerator and denominator only",
    "mbc.merge": "maxima, and sums relative to a common maximum, are associative and commutative",
    "mbc.empty": "no elements have the largest logit -inf and no weight",
    "symmetry.permutation": "maxima and sums do not depend on the order of elements",
}
