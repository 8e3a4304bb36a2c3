"""FSPool (arXiv 1906.02795): each feature is sorted over the set, then summed with learned weights of its rank.

    f_c(X) = sum_j w_c(r_j) h_(j)c,  h_(1)c >= h_(2)c >= ...,  r_j = (j - 1) / (n - 1)

w_c is piecewise linear on [0, 1]. An element's rank needs the whole set: no state of a fixed size will do.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers
from .nn.networks import element_network
from .nn.numpy_layers import array
from .nn.pooling import count_present, zero_absent


class FSPool(nn.Module):
    """A network per element, then featurewise sort pooling with `pieces` pieces: `B x n x d` to `B x dim`.

    An empty set encodes as zeros.
    """

    def __init__(self, dim_in: int, *, dim: int = 64, pieces: int = 20) -> None:
        super().__init__()
        self.phi = element_network(dim_in, dim)
        self.weight = nn.Parameter(torch.randn(dim, pieces + 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = self.phi(zero_absent(x, mask))
        if mask is not None:
            features = features.masked_fill(~mask.unsqueeze(2), -torch.inf)  # to the end of the order
        features = features.sort(1, descending=True).values
        number = count_present(x, mask)
        if mask is not None:
            present = torch.arange(x.shape[1], device=x.device) < number.unsqueeze(1)
            features = zero_absent(features, present)
        out: Tensor = (features * self.weights(number, x.shape[1])).sum(1)
        return out

    def weights(self, number: Tensor, n: int) -> Tensor:
        """w of the first n ranks in sets of the given sizes, `B x n x dim`."""
        pieces = self.weight.shape[1] - 1
        ranks = torch.arange(n, device=number.device, dtype=torch.float64)
        at = pieces * (ranks / (number - 1).clamp(min=1).unsqueeze(1)).clamp(max=1)
        left = at.floor().clamp(max=pieces - 1).long()
        share = (at - left).to(self.weight).unsqueeze(2)
        table = self.weight.t()
        return torch.lerp(table[left], table[left + 1], share)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The encoding of `x` (`B x n x d`), feature by feature, in NumPy."""
    assert isinstance(module, FSPool)
    weight = array(module.weight)
    knots = np.linspace(0, 1, weight.shape[1])
    out = np.zeros((len(x), len(weight)))
    for b, elements in enumerate(x):
        features = np.array([numpy_layers.element_network(module.phi, element) for element in elements])
        ranks = np.arange(len(features)) / max(len(features) - 1, 1)
        for c, w in enumerate(weight):
            column = sorted(features[:, c], reverse=True)
            out[b, c] = sum(np.interp(r, knots, w) * h for r, h in zip(ranks, column, strict=True))
    return out


FSPOOL = EncoderSpec(
    name="fspool",
    factory=FSPool,
    summary="Featurewise sort pooling after a network per element",
    paper="https://arxiv.org/abs/1906.02795",
    claims={"symmetry.permutation": "sorted features do not depend on the order of elements"},
    breaks={"mbc.partition": "an element is weighed by its rank, which is another one in a chunk than in the set"},
    reference=reference,
)
