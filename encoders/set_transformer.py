"""The Set Transformer: attention among elements, then pooling by attention.

    f(X) = PMA(block(... block(X))),    block = ISAB or SAB

Paper: Lee et al., "Set Transformer: A Framework for Attention-based Permutation-Invariant Neural Networks", arXiv
1810.00825; `nn/mab.py` has the equations of the blocks.

Elements attend to all elements of the input, so encoding chunks on their own gives a different result (arXiv
2103.01615, Table 2).
"""

from functools import reduce
from typing import Literal

import numpy as np
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .nn.mab import ISAB, PMA, SAB
from .nn.numpy_mab import attention_block
from .nn.pooling import check_choice, zero_absent


class SetTransformer(nn.Module):
    """Apply attention blocks, then PMA: `B x n x d` to `B x seeds x dim`.

    An empty set adds nothing: its encoding depends on the seeds alone.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the blocks and of the encoding.
    heads : int
        Heads of all blocks; must divide `dim`.
    layers : int
        Number of attention blocks.
    attention : {"isab", "sab"}
        Attention through inducing points, O(n), or among all pairs of elements, O(n^2).
    inducing : int
        Number of inducing points of each ISAB.
    seeds : int
        Number of seeds of PMA.
    layer_norm : bool
        Whether blocks have LayerNorms.
    """

    def __init__(
        self,
        dim_in: int,
        *,
        dim: int = 64,
        heads: int = 4,
        layers: int = 2,
        attention: Literal["isab", "sab"] = "isab",
        inducing: int = 16,
        seeds: int = 1,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        check_choice("attention", attention, ("isab", "sab"))
        widths = [dim_in] + [dim] * (layers - 1)
        self.layers = nn.ModuleList(
            ISAB(width, dim, heads, inducing, layer_norm) if attention == "isab" else SAB(width, dim, heads, layer_norm)
            for width in widths
        )
        self.pma = PMA(dim, heads, seeds, layer_norm)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = zero_absent(x, mask)
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.pma(x, mask)
        return out


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) query by query in NumPy."""
    assert isinstance(module, SetTransformer)
    layers = [*module.layers, module.pma]
    return np.stack([reduce(lambda rows, layer: attention_block(layer, rows), layers, elements) for elements in x])


def _spec(name: str, summary: str, **hyper: str | int) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        factory=SetTransformer,
        summary=summary,
        paper="https://arxiv.org/abs/1810.00825",
        hyper=hyper,
        claims={"symmetry.permutation": "attention among elements is equivariant, and PMA invariant"},
        breaks={"mbc.partition": "in a chunk, elements attend to that chunk only, not to the whole set"},
        reference=reference,
    )


SET_TRANSFORMER = _spec("set-transformer", "Set Transformer: two ISAB blocks, then PMA", attention="isab")
SET_TRANSFORMER_SAB = _spec("set-transformer-sab", "Set Transformer: two SAB blocks, then PMA", attention="sab")
ISAB_PMA = _spec(
    "isab-pma",
    "One ISAB block, then PMA: the paper's Set Transformer as a pooling layer",
    attention="isab",
    layers=1,
)
