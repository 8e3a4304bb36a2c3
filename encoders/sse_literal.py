"""The Slot Set Encoder with g over *chunks*, as its paper writes it.

    Z = g(f(X_1), ..., f(X_p))      (eq. 1),      f(X_c) = W^T v(X_c)      (eq. 4)

Paper: Bruno, Willette, Lee and Hwang, "Mini-Batch Consistent Slot Set Encoder for Scalable Set Encoding", arXiv
2103.01615 (Algorithm 1).

Eq. 4 sums over the elements of a chunk, whatever g is, so only g = sum agrees with f(X). The literal mean is the
unweighted mean of these sums. `sse-mean-of-chunk-means` is a more charitable reading, in which f is the mean over the
elements of a chunk: it is exact for chunks of equal size, and for no others.
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
    """State of a stream.

    Attributes
    ----------
    slots : Tensor
        Slots of the stream, `B x K x h`.
    value : Tensor
        Aggregate of the chunk encodings so far, `B x K x d_hat`.
    chunks : Tensor
        Number of chunks with elements, `B`.
    """

    slots: Tensor
    value: Tensor
    chunks: Tensor


class LiteralSlotSetEncoder(SetEncoder[LiteralState]):
    """Aggregate the encodings of chunks by g: `B x n x d` to `B x K x d_hat`.

    Chunks without elements are skipped, for each set on its own.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    g : {"sum", "mean", "max", "min"}
        Aggregation over chunks.
    within : {"sum", "mean", "max", "min"}
        Aggregation f over the elements of a chunk; `sum` is eq. 4.
    **hyper
        Other arguments of SlotSetEncoder.
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
    """Encode `x` (`B x n x d`) as one chunk, by Algorithm 2 in NumPy."""
    assert isinstance(module, LiteralSlotSetEncoder)
    return sse.reference(module.f, x)


_CLAIMS = {
    "mbc.order": "g does not depend on the order of chunks",
    "mbc.merge": "sums, counts of chunks and extrema are associative and commutative",
    "symmetry.permutation": "the sum over a chunk does not depend on the order of its elements",
}
# Laws by which a stream equals the set: its encoding, gradients, train mode, any size and any scale.
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
        deliberately_wrong=True,
    )


def _extremum(g: Aggregation) -> EncoderSpec:
    reason = f"the {g} of sums over chunks is neither the sum over the set nor the {g} over elements"
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
    "the mean of chunk means is the mean over the set only if all chunks have the same size",
    g="mean",
    within="mean",
)
