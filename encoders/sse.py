"""The Slot Set Encoder (arXiv 2103.01615, Algorithms 1 and 2), with a state that makes every g exact.

    q = Linear_q(LayerNorm(S)),  k = Linear_k(X),  v = Linear_v(X)
    A = sigmoid(k q^T / sqrt(d_hat)) + 1e-8,  W = A / (sum of A over slots),  S_hat = g_i W_ik v(x_i)

W is normalised over slots, hence the sum of S_hat over slots under g=sum is the sum of v(x_i), whatever the slots:
with K=1, or with a sum or mean over slots behind it, the attention cancels.
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
from .nn.numpy_layers import array, layer_norm, linear
from .nn.pooling import check_choice, combine, count_present, finalize, identity, zero_absent
from .nn.slots import DeterministicSlots, RandomSlots


class SlotState(NamedTuple):
    """The slots of the stream as they were drawn (`B x K x h`), the running aggregate over elements
    (`B x K x d_hat`), and the number of elements (`B`)."""

    slots: Tensor
    value: Tensor
    number: Tensor


class SlotSetEncoder(SetEncoder[SlotState]):
    """Attention of elements over slots, aggregated by `g` over elements: `B x n x d` to `B x K x d_hat`.

    num_slots: K; with random slots the attribute may be changed after training (Section 2.3).
    slot_dim: h. dim: d_hat. slots: `random` (eq. 2, drawn once per stream) or `deterministic` (parameters).
    aggregate: g, taken over *elements*: max is max_i W_ik v(x_i), which is exact for any partition, where the
    extremum over chunk sums that Algorithm 1 writes is not; mean is the total over the number of elements.
    bias: whether q, k and v have one. The paper calls them linear projections and its code has none: the default.
    attention: `sigmoid` normalised over slots (eq. 3 and 4), or a `softmax` over slots, which is as consistent.
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
        # What all slots share adds the same to all logits of an element, which a softmax over slots does not see.
        self.norm = nn.LayerNorm(slot_dim, bias=attention == "sigmoid")
        self.q = nn.Linear(slot_dim, dim, bias=bias and attention == "sigmoid")
        self.k = nn.Linear(dim_in, dim, bias=bias)
        self.v = nn.Linear(dim_in, dim, bias=bias)

    def init_state(self, batch_size: int) -> SlotState:
        return self.with_slots(self.slots(batch_size, self.num_slots))

    def with_slots(self, slots: Tensor) -> SlotState:
        """The state of empty streams that have the given slots (`B x K x h`)."""
        shape, dtype = (*slots.shape[:2], self.dim), blocks.accumulation_dtype(slots.dtype)
        value = slots.new_full(shape, identity(self.aggregate), dtype=dtype)
        return SlotState(slots, value, torch.zeros(len(slots), dtype=torch.int64, device=slots.device))

    def update(self, state: SlotState, x: Tensor, mask: Tensor | None = None) -> SlotState:
        if x.shape[1] == 0:
            return state
        return self.merge(
            state, SlotState(state.slots, self.aggregate_elements(state.slots, x, mask), count_present(x, mask))
        )

    def aggregate_elements(self, slots: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The sum or extremum over the elements present of W_ik v(x_i), `B x K x d_hat`; n > 0. Autocast or not, in
        float32 at least where elements are read in blocks."""
        with blocks.without_autocast(x.device.type):
            if self.aggregate not in ("sum", "mean"):
                return argmax_pooling.weighted_extremum(
                    self.aggregate, x, self.logit_matrix(slots), self.value_matrix(), self.attention_rule(), mask
                )
            if not fused_attention.is_cheaper(x.shape[1], x.shape[2], slots.shape[1], self.dim):
                return self.aggregate_elements_directly(slots, x, mask)
            return (
                fused_attention.fused_weighted_sum(x, self.logit_matrix(slots), self.attention_rule(), mask)
                @ self.value_matrix().T
            )

    def aggregate_elements_directly(self, slots: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`aggregate_elements` as the equations are written, with keys, values and weights of all elements."""
        x = zero_absent(x, mask).to(self.k.weight.dtype)
        M: Tensor = self.k(x) @ self.q(self.norm(slots)).transpose(1, 2) / math.sqrt(self.dim)
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
        """How logits become weights over slots."""
        return slot_weights.SlotSigmoid() if self.attention == "sigmoid" else slot_weights.SlotSoftmax()

    def logit_matrix(self, slots: Tensor) -> Tensor:
        """P, of which the logits are [X 1] P^T: `B x K x d`, or with biases `B x K x (d+1)`."""
        q: Tensor = self.q(self.norm(slots)) / math.sqrt(self.dim)
        k = blocks.augmented_weight(self.k)
        return q.to(k.dtype) @ k

    def value_matrix(self) -> Tensor:
        """[Wv bv], `d_hat x d` or, with a bias, `d_hat x (d+1)`."""
        return blocks.augmented_weight(self.v)

    def merge(self, a: SlotState, b: SlotState) -> SlotState:
        return SlotState(a.slots, combine(self.aggregate, a.value, b.value), a.number + b.number)

    def readout(self, state: SlotState) -> Tensor:
        return finalize(self.aggregate, state.value, state.number).to(state.slots.dtype)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The encoding of `x` (`B x n x d`) by Algorithm 2, element by element, in NumPy."""
    assert isinstance(module, SlotSetEncoder)
    S = layer_norm(module.norm, array(module.init_state(1).slots[0]))
    q = linear(module.q, S)
    out = np.zeros((len(x), len(S), module.dim))
    for b, elements in enumerate(x):
        parts = []
        for element in elements:
            M = q @ linear(module.k, element) / math.sqrt(module.dim)
            A = np.exp(M - M.max()) if module.attention == "softmax" else expit(M) + slot_weights.SlotSigmoid.epsilon
            parts.append(np.outer(A / A.sum(), linear(module.v, element)))
        if parts:
            out[b] = getattr(np, module.aggregate)(parts, axis=0)
    return out


_PAPER = "https://arxiv.org/abs/2103.01615"
_CLAIMS = {
    "mbc.partition": "each element's term depends on it and the slots alone; the state keeps what g needs of them",
    "mbc.merge": "sums, counts and elementwise extrema are associative and commutative",
    "mbc.empty": "an empty chunk leaves the state as it is; an empty set encodes as zeros",
    "symmetry.permutation": "sums, means and elementwise extrema do not see the order of elements (Proposition 2.2)",
    "symmetry.slots": "each slot's row is computed from that slot, and a sum over slots (Proposition 2.2)",
    "symmetry.batch": "in eval() all sets are given the same slots, and nothing is shared between sets",
}


NO_BIAS = "without biases an element of zeros adds W v(0) = 0 to a sum; hyper-parameter bias=True lifts this"


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
        # Slots that are drawn anew are exchangeable: concatenating them would shuffle columns from draw to draw.
        slot_readout="max" if slots == "random" else "concat",
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
        "mbc.partition": "a softmax over slots normalises each element on its own; what Section 2.3 of the paper says "
        "against it holds for a softmax over elements only",
    },
    breaks={"substance.elements": NO_BIAS},
    slot_readout="max",
    reference=reference,
)
