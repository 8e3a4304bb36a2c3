"""The hierarchical Slot Set Encoder, in two readings.

    f(X) = SSE_T(... SSE_2(SSE_1(X)))                                       (eq. 6)

Paper: Bruno, Willette, Lee and Hwang, "Mini-Batch Consistent Slot Set Encoder for Scalable Set Encoding", arXiv
2103.01615 (Section 2.4).

Level by level, each level runs after the level below has seen the whole set: consistent. Chunk by chunk, the whole
stack encodes each chunk and the results are aggregated: not consistent, because SSE_2 is not linear in the output of
SSE_1. With K_T = 1, as the paper sets it, the attention of every level cancels for g = sum, and both readings reduce to
a matrix times sum_i x_i.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, cast

import numpy as np
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.types import Hyper

from . import sse
from .sse import NO_BIAS, SlotSetEncoder, SlotState


class HierarchyState(NamedTuple):
    """State of a stream.

    Attributes
    ----------
    first : SlotState
        State of level 1.
    between : tuple of Tensor
        Slots of levels 2 to T - 1, `B x K_t x h` each.
    slots : Tensor
        Slots of level T, `B x K_T x h`.
    """

    first: SlotState
    between: tuple[Tensor, ...]
    slots: Tensor


class HierarchicalSlotSetEncoder(SetEncoder[HierarchyState]):
    """Encode a set by a stack of Slot Set Encoders, level by level: `B x n x d` to `B x K_T x dim`.

    Level 1 streams. The read-out runs the other levels, each over the slots of the level below.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    num_slots : sequence of int
        Numbers of slots (K_1, ..., K_T), T >= 2.
    dim : int
        Width of every level and of the encoding.
    **level
        Other arguments of SlotSetEncoder, the same for every level.
    """

    blockwise = True

    def __init__(self, dim_in: int, *, num_slots: Sequence[int] = (32, 16), dim: int = 64, **level: Any) -> None:
        super().__init__()
        if len(num_slots) < 2:
            raise ValueError(f"num_slots={num_slots!r} is not a hierarchy; give at least two levels, such as (32, 16)")
        widths = [dim_in] + [dim] * (len(num_slots) - 1)
        self.stack = nn.ModuleList(
            SlotSetEncoder(width, num_slots=k, dim=dim, **level) for width, k in zip(widths, num_slots, strict=True)
        )

    @property
    def levels(self) -> list[SlotSetEncoder]:
        """Encoders, from the elements upwards."""
        return cast(list[SlotSetEncoder], list(self.stack))

    def init_state(self, batch_size: int) -> HierarchyState:
        first, *above = (level.init_state(batch_size) for level in self.levels)
        return HierarchyState(first, tuple(state.slots for state in above[:-1]), above[-1].slots)

    def update(self, state: HierarchyState, x: Tensor, mask: Tensor | None = None) -> HierarchyState:
        return state._replace(first=self.levels[0].update(state.first, x, mask))

    def merge(self, a: HierarchyState, b: HierarchyState) -> HierarchyState:
        return a._replace(first=self.levels[0].merge(a.first, b.first))

    def readout(self, state: HierarchyState) -> Tensor:
        out = self.levels[0].readout(state.first)
        for level, slots in zip(self.levels[1:], (*state.between, state.slots), strict=True):
            out = level.readout(level.update(level.with_slots(slots), out))
        return out


class PerChunkHierarchy(nn.Module):
    """Encode a chunk by the whole stack: a plain f, whose results some g aggregates over chunks.

    Parameters are those of HierarchicalSlotSetEncoder.
    """

    def __init__(self, dim_in: int, **hyper: Any) -> None:
        super().__init__()
        self.hierarchy = HierarchicalSlotSetEncoder(dim_in, **hyper)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.hierarchy(x, mask)
        return out


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`), each level by Algorithm 2 in NumPy."""
    stack = module.hierarchy if isinstance(module, PerChunkHierarchy) else module
    assert isinstance(stack, HierarchicalSlotSetEncoder)
    return reduce(lambda rows, level: sse.reference(level, rows), stack.levels, x)


_CLAIMS = {
    "mbc.partition": "level 1 keeps an exact aggregate over elements, and the other levels run in the read-out only",
    "symmetry.permutation": "level 1 does not depend on the order of elements, and the others read level 1 only",
    "symmetry.slots": "the slots of the last level are permuted like those of a Slot Set Encoder (Proposition 2.2)",
}
_LINEAR = "weights sum to one over slots: with one slot in the last level, only the sum over elements is left"


def _spec(
    name: str,
    summary: str,
    *,
    factory: type[nn.Module] = HierarchicalSlotSetEncoder,
    hyper: Hyper | None = None,
    deliberately_wrong: bool = False,
    claims: Mapping[str, str],
    breaks: Mapping[str, str],
) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        factory=factory,
        summary=summary,
        paper="https://arxiv.org/abs/2103.01615",
        hyper=hyper or {},
        slot_readout="max",
        reference=reference,
        deliberately_wrong=deliberately_wrong,
        claims=claims,
        breaks=breaks,
    )


SSE_HIERARCHICAL = _spec(
    "sse-hierarchical",
    "Hierarchical Slot Set Encoder, 32 then 16 slots, aggregated level by level",
    claims=_CLAIMS,
    breaks={"substance.elements": NO_BIAS},
)
SSE_HIERARCHICAL_K1 = _spec(
    "sse-hierarchical-k1",
    "Hierarchical Slot Set Encoder ending in one slot, as the paper writes it: linear sum pooling",
    hyper={"num_slots": (32, 16, 1)},
    claims=_CLAIMS,
    breaks={
        "substance.slots": _LINEAR,
        "substance.attention": _LINEAR,
        "substance.parameters": _LINEAR,
        "substance.elements": NO_BIAS,
    },
)
SSE_HIERARCHICAL_PER_CHUNK = _spec(
    "sse-hierarchical-per-chunk",
    "Hierarchical Slot Set Encoder, the whole stack run on each chunk",
    factory=PerChunkHierarchy,
    deliberately_wrong=True,
    claims={"symmetry.permutation": _CLAIMS["symmetry.permutation"]},
    breaks={
        "mbc.partition": "the second level is not linear in the slots of the first, of which each chunk gives a part",
        "substance.elements": NO_BIAS,
    },
)
