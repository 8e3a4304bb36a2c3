"""DeepSets made mini-batch consistent: a network per element, then a pool.

    f(X) = g_i phi(x_i),    phi = Linear, ReLU, Linear,    g in {sum, mean, max, min}

Paper: Zaheer et al., "Deep Sets", arXiv 1703.06114. The Slot Set Encoder paper (arXiv 2103.01615, Section C.3) compares
with this version, in which layers that depend on the whole set are replaced by a network per element;
`deepsets_original.py` has the published layers.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation, SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers
from .nn.networks import element_network, split_last_layer
from .nn.pooling import check_choice, combine, count_present, finalize, identity, pool, zero_absent


class PoolState(NamedTuple):
    """Pooled features of the elements seen so far.

    Attributes
    ----------
    value : Tensor
        Sum or extremum of the features, `B x dim`.
    number : Tensor
        Number of elements, `B`.
    """

    value: Tensor
    number: Tensor


class DeepSets(SetEncoder[PoolState]):
    """Pool the features of a network per element: `B x n x d` to `B x dim`.

    An empty set is encoded as zeros.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the network and of the encoding.
    pool : {"sum", "mean", "max", "min"}
        Aggregation g over elements.
    """

    def __init__(self, dim_in: int, *, dim: int = 64, pool: Aggregation = "mean") -> None:
        super().__init__()
        check_choice("pool", pool, AGGREGATIONS)
        self.dim, self.pool = dim, pool
        self.phi = element_network(dim_in, dim)

    def init_state(self, batch_size: int) -> PoolState:
        like = next(self.parameters())
        value = like.new_full((batch_size, self.dim), identity(self.pool))
        return PoolState(value, torch.zeros(batch_size, dtype=torch.int64, device=like.device))

    def update(self, state: PoolState, x: Tensor, mask: Tensor | None = None) -> PoolState:
        if x.shape[1] == 0:
            return state
        x, number = zero_absent(x, mask), count_present(x, mask)
        if self.pool in ("sum", "mean"):
            h, last = split_last_layer(self.phi, x)
            value = last.sum_of_outputs(pool("sum", h, mask), number)
        else:
            value = pool(self.pool, self.phi(x), mask)
        return self.merge(state, PoolState(value, number))

    def merge(self, a: PoolState, b: PoolState) -> PoolState:
        return PoolState(combine(self.pool, a.value, b.value), a.number + b.number)

    def readout(self, state: PoolState) -> Tensor:
        return finalize(self.pool, state.value, state.number)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) element by element in NumPy."""
    assert isinstance(module, DeepSets)
    out = np.zeros((len(x), module.dim))
    for b, elements in enumerate(x):
        features = [numpy_layers.element_network(module.phi, element) for element in elements]
        if features:
            out[b] = getattr(np, module.pool)(features, axis=0)
    return out


CLAIMS = {
    "mbc.partition": "the features of an element depend on it alone, and the state keeps what the pool needs of them",
    "mbc.merge": "sums, counts and elementwise extrema are associative and commutative",
    "mbc.empty": "an empty chunk leaves the state unchanged; an empty set is encoded as zeros",
    "symmetry.permutation": "sums, means and elementwise extrema do not depend on the order of elements",
}


def _spec(g: Aggregation) -> EncoderSpec:
    return EncoderSpec(
        name=f"deepsets-{g}",
        factory=DeepSets,
        summary=f"DeepSets, a network per element, then the {g}",
        paper="https://arxiv.org/abs/1703.06114",
        hyper={"pool": g},
        claims=CLAIMS,
        reference=reference,
    )


DEEPSETS_SUM = _spec("sum")
DEEPSETS_MEAN = _spec("mean")
DEEPSETS_MAX = _spec("max")
DEEPSETS_MIN = _spec("min")
