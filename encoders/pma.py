"""Pooling by multihead attention (arXiv 1810.00825) after a network per element, in one pass.

    f(X) = MAB(seeds, phi(X))

Without self-attention among elements before it, PMA needs each element once: it is mini-batch consistent.
"""

import numpy as np
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers, softmax
from .nn.mab import PMA
from .nn.networks import element_network, split_last_layer
from .nn.numpy_mab import block
from .nn.pooling import zero_absent
from .nn.softmax import SoftmaxState


class SinglePassPMA(SetEncoder[SoftmaxState]):
    """`B x n x d` to `B x seeds x dim`; an empty set encodes as the seeds do."""

    def __init__(self, dim_in: int, *, dim: int = 64, heads: int = 4, seeds: int = 1, layer_norm: bool = False) -> None:
        super().__init__()
        self.phi = element_network(dim_in, dim)
        self.pma = PMA(dim, heads, seeds, layer_norm)

    def init_state(self, batch_size: int) -> SoftmaxState:
        return self.pma.mab.init_state(self.pma.queries(batch_size))

    def update(self, state: SoftmaxState, x: Tensor, mask: Tensor | None = None) -> SoftmaxState:
        h, last = split_last_layer(self.phi, zero_absent(x, mask))
        return self.pma.mab.update(state, self.pma.queries(x.shape[0]), h, mask, last)

    def merge(self, a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
        return softmax.merge(a, b)

    def readout(self, state: SoftmaxState) -> Tensor:
        return self.pma.mab.readout(state, self.pma.queries(state.denominator.shape[0]))


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The encoding of `x` (`B x n x d`), query by query, in NumPy."""
    assert isinstance(module, SinglePassPMA)
    return np.stack([block(module.pma, numpy_layers.element_network(module.phi, elements)) for elements in x])


PMA_SINGLE_PASS = EncoderSpec(
    name="pma",
    factory=SinglePassPMA,
    summary="Pooling by multihead attention after a network per element, in one pass",
    paper="https://arxiv.org/abs/1810.00825",
    claims=softmax.CLAIMS,
    reference=reference,
)
