"""The Slot Set Encoder with g over *chunks*, as Algorithm 1 and eq. 1 of arXiv 2103.01615 write it.

    Z = g(f(X_1), ..., f(X_p)),  f(X_c) = W^T v(X_c)

Eq. 4 sums over the elements of a chunk whatever g is; only g=sum then agrees with f(X). The literal mean is the
unweighted mean of these sums. `sse-mean-of-chunk-means` is the kinder reading, f the mean over a chunk's elements:
it passes every split into equal chunks and fails on all others.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation, SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from . import sse
from .nn.pooling import check_choice, combine, count_present, finalize, identity
from .sse import NO_BIAS, SlotSetEncoder


class LiteralState(NamedTuple):
    """The slots of the stream (`B x K x h`), the running aggregate over chunk encodings (`B x K x d_hat`),
    and the number of chunks that held elements (`B`)."""

    slots: Tensor
    value: Tensor
    chunks: Tensor


class LiteralSlotSetEncoder(SetEncoder[LiteralState]):
    """Chunk encodings f aggregated by `g`: `B x n x d` to `B x K x d_hat`.

    within: what f does over the elements of a chunk, `sum` (eq. 4) or `mean`. Chunks without elements are passed over.
    Other arguments are those of SlotSetEncoder.
    """

    def __init__(self, dim_in: int, *, g: Aggregation = "mean", within: Aggregation = "sum", **hyper: Any) -> None:
        super().__init__()
        check_choice("g", g, AGGREGATIONS)
        self.g = g
        self.f = SlotSetEncoder(dim_in, aggregate=within, **hyper)

    def init_state(self, batch_size: int) -> LiteralState:
        start = self.f.init_state(batch_size)
        return LiteralState(start.slots, torch.full_like(start.value, identity(self.g)), start.number)

    def update(self, state: LiteralState, x: Tensor, mask: Tensor | None = None) -> LiteralState:
        Z = self.f.readout(self.f.update(self.f.with_slots(state.slots), x, mask))
        chunks = (count_present(x, mask) > 0).long()
        Z = torch.where(chunks[:, None, None] > 0, Z, identity(self.g))
        return self.merge(state, LiteralState(state.slots, Z, chunks))

    def merge(self, a: LiteralState, b: LiteralState) -> LiteralState:
        return LiteralState(a.slots, combine(self.g, a.value, b.value), a.chunks + b.chunks)

    def readout(self, state: LiteralState) -> Tensor:
        return finalize(self.g, state.value, state.chunks).to(state.slots.dtype)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The encoding of `x` (`B x n x d`) in one chunk: f by Algorithm 2 in NumPy."""
    assert isinstance(module, LiteralSlotSetEncoder)
    return sse.reference(module.f, x)


_CLAIMS = {
    "mbc.order": "g does not see the order of chunks",
    "mbc.merge": "sums, counts of chunks and extrema are associative and commutative",
    "symmetry.permutation": "a chunk's sum does not see the order of its elements",
}
# What says that the stream equals the set: of encodings, gradients, in train(), at any size and at any scale.
_BROKEN = (
    "mbc.partition",
    "mbc.gradient",
    "mbc.partial_gradient",
    "mbc.train",
    "mbc.large",
    "mbc.program",
    "numerics.scale",
)


def _spec(name: str, summary: str, reason: str, **hyper: Aggregation) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        factory=LiteralSlotSetEncoder,
        summary=summary,
        paper="https://arxiv.org/abs/2103.01615",
        hyper=hyper,
        claims=_CLAIMS,
        breaks=dict.fromkeys(_BROKEN, reason) | ({} if "within" in hyper else {"substance.elements": NO_BIAS}),
        slot_readout="max",
        reference=reference,
    )


def _extremum(g: Aggregation) -> EncoderSpec:
    reason = f"the {g} of sums over chunks is not the sum over the set, nor the {g} over elements"
    summary = f"Slot Set Encoder, the {g} over chunk encodings, as Algorithm 1 writes"
    return _spec(f"sse-literal-{g}", summary, reason, g=g)


SSE_LITERAL_MEAN = _spec(
    "sse-literal-mean",
    "Slot Set Encoder, the unweighted mean of chunk encodings, as Algorithm 1 writes",
    "the mean of p chunk sums is the sum over the set divided by p: it depends on the number of chunks",
    g="mean",
)
SSE_LITERAL_MAX = _extremum("max")
SSE_LITERAL_MIN = _extremum("min")
SSE_MEAN_OF_CHUNK_MEANS = _spec(
    "sse-mean-of-chunk-means",
    "Slot Set Encoder, the unweighted mean of means over chunks",
    "the mean of chunk means is the mean over the set only where all chunks are of one size",
    g="mean",
    within="mean",
)
