"""Pooling by multihead attention after a network per element, in one pass over the set.

    f(X) = MAB(seeds, phi(X))

Paper: Lee et al., "Set Transformer: A Framework for Attention-based Permutation-Invariant Neural Networks", arXiv
1810.00825 (PMA; `nn/mab.py` has the equation of a MAB).

Without self-attention among elements before it, PMA reads each element once and is mini-batch consistent.
"""

import numpy as np
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers, softmax
from .nn.mab import PMA
from .nn.networks import element_network, split_last_layer
from .nn.numpy_mab import attention_block
from .nn.pooling import zero_absent
from .nn.softmax import SoftmaxState


class SinglePassPMA(SetEncoder[SoftmaxState]):
    """Pool element features by learned seeds that attend to them: `B x n x d` to `B x seeds x dim`.

    An empty set adds nothing: its encoding depends on the seeds alone.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the features and of the encoding.
    heads : int
        Number of heads; must divide `dim`.
    seeds : int
        Number of seeds.
    layer_norm : bool
        Whether a LayerNorm follows the attention and the result.
    network : bool
        Whether there is a network per element. Without it the seeds attend to the elements themselves.
    """

    def __init__(
        self,
        dim_in: int,
        *,
        dim: int = 64,
        heads: int = 4,
        seeds: int = 1,
        layer_norm: bool = False,
        network: bool = True,
    ) -> None:
        super().__init__()
        self.phi = element_network(dim_in, dim) if network else None
        self.pma = PMA(dim, heads, seeds, layer_norm, dim_in=dim if network else dim_in)

    def init_state(self, batch_size: int) -> SoftmaxState:
        return self.pma.mab.init_state(self.pma.queries(batch_size))

    def update(self, state: SoftmaxState, x: Tensor, mask: Tensor | None = None) -> SoftmaxState:
        h, last = zero_absent(x, mask), None
        if self.phi is not None:
            h, last = split_last_layer(self.phi, h)
        return self.pma.mab.update(state, self.pma.queries(x.shape[0]), h, mask, last)

    def merge(self, a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
        return softmax.merge(a, b)

    def readout(self, state: SoftmaxState) -> Tensor:
        return self.pma.mab.readout(state, self.pma.queries(len(state.denominator)))


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) query by query in NumPy."""
    assert isinstance(module, SinglePassPMA)
    phi = module.phi
    features = x if phi is None else [numpy_layers.element_network(phi, elements) for elements in x]
    return np.stack([attention_block(module.pma, rows) for rows in features])


PMA_SINGLE_PASS = EncoderSpec(
    name="pma",
    factory=SinglePassPMA,
    summary="Pooling by multihead attention after a network per element, in one pass",
    paper="https://arxiv.org/abs/1810.00825",
    claims=softmax.CLAIMS,
    reference=reference,
)

PMA_BLOCK = EncoderSpec(
    name="pma-block",
    factory=SinglePassPMA,
    summary="Pooling by multihead attention of the elements themselves: the paper's PMA as a pooling layer",
    paper="https://arxiv.org/abs/1810.00825",
    hyper={"network": False},
    claims=softmax.CLAIMS,
    reference=reference,
)
