"""The Slot Set Encoder, with a state that makes every aggregation g exact.

    q = Linear_q(LayerNorm(S)),  k = Linear_k(X),  v = Linear_v(X)
    M = k q^T / sqrt(d_hat),  attn = sigmoid(M) + 1e-8                     (eq. 3)
    W_ij = attn_ij / sum_l attn_il,  S_hat_j = g_i W_ij v(x_i)              (eq. 4)

Paper: Bruno, Willette, Lee and Hwang, "Mini-Batch Consistent Slot Set Encoder for Scalable Set Encoding", arXiv
2103.01615 (Algorithms 1 and 2).

W is normalised over slots, so for g = sum the sum of S_hat over slots is the sum of v(x_i), whatever the slots are:
with K = 1, or if a sum or mean over slots follows, the attention cancels.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation, SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import argmax_pooling, blocks, fused_attention, slot_weights
from .nn.numpy_layers import layer_norm, linear, to_numpy
from .nn.pooling import check_choice, combine, count_present, finalize, identity, zero_absent
from .nn.slots import DeterministicSlots, RandomSlots, distinct_slots


class SlotState(NamedTuple):
    """State of a stream.

    Attributes
    ----------
    slots : Tensor
        Slots as they were drawn, `B x K x h`.
    value : Tensor
        Sum or extremum of W_ij v(x_i) over the elements seen so far, `B x K x d_hat`.
    number : Tensor
        Number of elements, `B`.
    """

    slots: Tensor
    value: Tensor
    number: Tensor


class SlotSetEncoder(SetEncoder[SlotState]):
    """Encode a set by slots that share out its elements: `B x n x d` to `B x K x d_hat`.

    An empty set is encoded as zeros.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    num_slots : int
        Number of slots K. With random slots, the attribute may be changed after training (Section 2.3).
    slot_dim : int
        Width h of a slot.
    dim : int
        Width d_hat of queries, keys, values and the encoding.
    aggregate : {"sum", "mean", "max", "min"}
        Aggregation g over *elements*: max is max_i W_ij v(x_i) and mean is the sum over the number of elements. Both
        are exact for any partition; the aggregate of chunk sums that Algorithm 1 writes is not (`sse_literal.py`).
    slots : {"random", "deterministic"}
        Slots drawn once per stream (eq. 2) or parameters.
    bias : bool
        True to give q, k and v a bias, but for q with a softmax, where it cancels. The paper's code has no bias.
    attention : {"sigmoid", "softmax"}
        Sigmoid normalised over slots (eq. 3 and 4) or softmax over slots, which is as consistent.
    """

    blockwise = True

    def __init__(
        self,
        dim_in: int,
        *,
        num_slots: int = 16,
        slot_dim: int = 64,
        dim: int = 64,
        aggregate: Aggregation = "sum",
        slots: Literal["random", "deterministic"] = "random",
        bias: bool = False,
        attention: Literal["sigmoid", "softmax"] = "sigmoid",
    ) -> None:
        super().__init__()
        check_choice("aggregate", aggregate, AGGREGATIONS)
        check_choice("slots", slots, ("random", "deterministic"))
        check_choice("attention", attention, ("sigmoid", "softmax"))
        self.num_slots, self.dim, self.aggregate, self.attention = num_slots, dim, aggregate, attention
        self.slots = RandomSlots(slot_dim) if slots == "random" else DeterministicSlots(num_slots, slot_dim)
        # A bias common to all slots would add the same number to all logits of an element, which a softmax ignores.
        self.norm = nn.LayerNorm(slot_dim, bias=attention == "sigmoid")
        self.q = nn.Linear(slot_dim, dim, bias=bias and attention == "sigmoid")
        self.k = nn.Linear(dim_in, dim, bias=bias)
        self.v = nn.Linear(dim_in, dim, bias=bias)

    def init_state(self, batch_size: int) -> SlotState:
        return self.with_slots(self.slots(batch_size, self.num_slots))

    def with_slots(self, slots: Tensor) -> SlotState:
        """Return the state of empty streams with the given slots, `B x K x h`."""
        shape, dtype = (*slots.shape[:2], self.dim), blocks.accumulation_dtype(slots.dtype)
        value = slots.new_full(shape, identity(self.aggregate), dtype=dtype)
        return SlotState(slots, value, torch.zeros(len(slots), dtype=torch.int64, device=slots.device))

    def update(self, state: SlotState, x: Tensor, mask: Tensor | None = None) -> SlotState:
        if x.shape[1] == 0:
            return state
        value = self.aggregate_elements(state.slots, x, mask)
        return self.merge(state, SlotState(state.slots, value, count_present(x, mask)))

    def aggregate_elements(self, slots: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the sum or extremum of W_ij v(x_i) over the elements present, without keys and values if cheaper.

        Blocks are accumulated in at least float32, also under autocast.

        Parameters
        ----------
        slots : Tensor
            `B x K x h`.
        x : Tensor
            Elements, `B x n x d`, n > 0.
        mask : Tensor, optional
            `B x n`, True where an element is present.

        Returns
        -------
        Tensor
            `B x K x d_hat`.
        """
        with blocks.without_autocast(x.device.type):
            if self.aggregate in ("max", "min"):
                P, V = self.logit_matrix(slots), self.value_matrix()
                return argmax_pooling.weighted_extremum(self.aggregate, x, P, V, self.attention_rule(), mask)
            if not fused_attention.is_cheaper(x.shape[1], x.shape[2], slots.shape[1], self.dim):
                return self.aggregate_elements_directly(slots, x, mask)
            P = self.logit_matrix(slots)
            return fused_attention.fused_weighted_sum(x, P, self.attention_rule(), mask) @ self.value_matrix().T

    def aggregate_elements_directly(self, slots: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute `aggregate_elements` as eq. 3 and 4 are written, with a key, value and weights for each element."""
        x = zero_absent(x, mask).to(self.k.weight.dtype)
        q: Tensor = self.q(self.norm(distinct_slots(slots)))
        M: Tensor = self.k(x) @ q.transpose(1, 2) / math.sqrt(self.dim)
        W, v = self.attention_rule().weights(M.transpose(1, 2)), self.v(x)
        if self.aggregate in ("sum", "mean"):
            total: Tensor = W @ zero_absent(v, mask)
            return total
        terms: Tensor = W.unsqueeze(3) * v.unsqueeze(1)
        if mask is not None:
            terms = terms.masked_fill(~mask[:, None, :, None], identity(self.aggregate))
        extremum: Tensor = torch.amax(terms, 2) if self.aggregate == "max" else torch.amin(terms, 2)
        return extremum

    def attention_rule(self) -> slot_weights.AttentionRule:
        """Return the rule that turns logits into weights over slots."""
        return slot_weights.SlotSigmoid() if self.attention == "sigmoid" else slot_weights.SlotSoftmax()

    def logit_matrix(self, slots: Tensor) -> Tensor:
        """Return P = q [Wk bk] / sqrt(d_hat), with logits [X 1] P^T: `B x K x d`, or `B x K x (d+1)` with biases."""
        q: Tensor = self.q(self.norm(distinct_slots(slots))) / math.sqrt(self.dim)
        k = blocks.augmented_weight(self.k)
        return (q.to(k.dtype) @ k).expand(len(slots), -1, -1)

    def value_matrix(self) -> Tensor:
        """Return [Wv bv], `d_hat x d`, or `d_hat x (d+1)` with biases."""
        return blocks.augmented_weight(self.v)

    def merge(self, a: SlotState, b: SlotState) -> SlotState:
        return SlotState(a.slots, combine(self.aggregate, a.value, b.value), a.number + b.number)

    def readout(self, state: SlotState) -> Tensor:
        return finalize(self.aggregate, state.value, state.number).to(state.slots.dtype)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) by Algorithm 2, element by element, in NumPy."""
    assert isinstance(module, SlotSetEncoder)
    S = layer_norm(module.norm, to_numpy(module.init_state(1).slots[0]))
    q = linear(module.q, S)
    out = np.zeros((len(x), len(S), module.dim))
    for b, elements in enumerate(x):
        terms = []
        for element in elements:
            M = q @ linear(module.k, element) / math.sqrt(module.dim)
            A = np.exp(M - M.max()) if module.attention == "softmax" else expit(M) + slot_weights.SlotSigmoid.epsilon
            terms.append(np.outer(A / A.sum(), linear(module.v, element)))
        if terms:
            out[b] = getattr(np, module.aggregate)(terms, axis=0)
    return out


_PAPER = "https://arxiv.org/abs/2103.01615"
_CLAIMS = {
    "mbc.partition": "the term of an element depends on it and the slots only; the state keeps what g needs of it",
    "mbc.merge": "sums, counts and elementwise extrema are associative and commutative",
    "mbc.empty": "an empty chunk leaves the state unchanged; an empty set is encoded as zeros",
    "symmetry.permutation": "sums, means and extrema do not depend on the order of elements (Proposition 2.2)",
    "symmetry.slots": "each row is computed from its slot and a sum over slots (Proposition 2.2)",
    "symmetry.batch": "in eval() all sets get the same slots, and sets share nothing else",
}
NO_BIAS = "without biases, an element of zeros adds W v(0) = 0 to a sum; the hyper-parameter bias=True changes this"


def _spec(slots: Literal["random", "deterministic"], aggregate: Aggregation) -> EncoderSpec:
    suffix = "" if aggregate == "sum" else f"-{aggregate}"
    return EncoderSpec(
        name=f"sse-{slots}{suffix}",
        factory=SlotSetEncoder,
        summary=f"Slot Set Encoder, {slots} slots, {aggregate} over elements",
        paper=_PAPER,
        hyper={"slots": slots, "aggregate": aggregate},
        claims=_CLAIMS,
        breaks={"substance.elements": NO_BIAS} if aggregate == "sum" else {},
        # Random slots are exchangeable: concatenation would shuffle their columns from draw to draw.
        slot_readout="max",
        reference=reference,
    )


SSE_RANDOM = _spec("random", "sum")
SSE_RANDOM_MEAN = _spec("random", "mean")
SSE_RANDOM_MAX = _spec("random", "max")
SSE_RANDOM_MIN = _spec("random", "min")
SSE_DETERMINISTIC = _spec("deterministic", "sum")
SSE_DETERMINISTIC_MEAN = _spec("deterministic", "mean")
SSE_DETERMINISTIC_MAX = _spec("deterministic", "max")
SSE_DETERMINISTIC_MIN = _spec("deterministic", "min")

SSE_SOFTMAX_SLOTS = EncoderSpec(
    name="sse-softmax-slots",
    factory=SlotSetEncoder,
    summary="Slot Set Encoder, random slots, softmax over slots in place of the normalised sigmoid, sum over elements",
    paper=_PAPER,
    hyper={"attention": "softmax"},
    claims={
        **_CLAIMS,
        "mbc.partition": "a softmax over slots normalises each element on its own; the objection in Section 2.3 of the "
        "paper applies only to a softmax over elements",
    },
    breaks={"substance.elements": NO_BIAS},
    slot_readout="max",
    reference=reference,
)
