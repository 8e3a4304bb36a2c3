"""Plain poolings: an aggregation of the elements themselves, without a network of its own.

    f(X) = g_i x_i

This is the pooling layer that the Slot Set Encoder paper (arXiv 2103.01615) calls DeepSets where it compares poolings
behind the same element network.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation, SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .deepsets import CLAIMS, PoolState
from .nn.pooling import check_choice, combine, count_present, finalize, identity, pool, zero_absent


class PlainPooling(SetEncoder[PoolState]):
    """Pool the elements: `B x n x d` to `B x d`. It has no parameters.

    Parameters
    ----------
    dim_in : int
        Width d of the elements, which is also the width of the encoding.
    pool : {"sum", "mean", "max", "min"}
        The aggregation g. An empty set is encoded as zeros.
    """

    zero: Tensor

    def __init__(self, dim_in: int, *, pool: Aggregation = "mean") -> None:
        super().__init__()
        check_choice("pool", pool, AGGREGATIONS)
        self.dim, self.pool = dim_in, pool
        # A module without parameters does not know its device and dtype; this buffer moves with it.
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def init_state(self, batch_size: int) -> PoolState:
        value = self.zero.new_full((batch_size, self.dim), identity(self.pool))
        return PoolState(value, torch.zeros(batch_size, dtype=torch.int64, device=self.zero.device))

    def update(self, state: PoolState, x: Tensor, mask: Tensor | None = None) -> PoolState:
        if x.shape[1] == 0:
            return state
        value = pool(self.pool, zero_absent(x, mask), mask)
        return self.merge(state, PoolState(value, count_present(x, mask)))

    def merge(self, a: PoolState, b: PoolState) -> PoolState:
        return PoolState(combine(self.pool, a.value, b.value), a.number + b.number)

    def readout(self, state: PoolState) -> Tensor:
        return finalize(self.pool, state.value, state.number)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Return the encoding of `x` (`B x n x d`), set by set, in NumPy."""
    assert isinstance(module, PlainPooling)
    out = np.zeros((len(x), module.dim))
    for b, elements in enumerate(x):
        if len(elements):
            out[b] = getattr(np, module.pool)(elements, axis=0)
    return out


_AFFINE = {"substance.attention": "a sum of the elements is linear in them, and so is their mean"}
_BREAKS = {
    "sum": {**_AFFINE, "substance.elements": "an element of zeros adds nothing to a sum"},
    "mean": _AFFINE,
}


def _spec(g: Aggregation) -> EncoderSpec:
    return EncoderSpec(
        name=g,
        factory=PlainPooling,
        summary=f"The {g} of the elements, without a network: the paper's DeepSets as a pooling layer",
        paper="https://arxiv.org/abs/1703.06114",
        hyper={"pool": g},
        claims=CLAIMS,
        breaks=_BREAKS.get(g, {}),
        reference=reference,
    )


SUM = _spec("sum")
MEAN = _spec("mean")
MAX = _spec("max")
MIN = _spec("min")
