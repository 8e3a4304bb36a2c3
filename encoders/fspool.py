"""FSPool: each feature is sorted over the set, then summed with learned weights of its rank.

    f_c(X) = sum_j w_c(r_j) h_(j)c,    h_(1)c >= h_(2)c >= ...,    r_j = (j - 1) / (n - 1)

w_c is piecewise linear on [0, 1], and h_i = phi(x_i).

Paper: Zhang, Hare and Prügel-Bennett, "FSPool: Learning Set Representations with Featurewise Sort Pooling", arXiv
1906.02795.

The rank of an element needs the whole set, so no state of a fixed size is enough.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers
from .nn.networks import element_network
from .nn.numpy_layers import to_numpy
from .nn.pooling import count_present, zero_absent


class FSPool(nn.Module):
    """Sort each feature over the set and sum it with weights of its rank: `B x n x d` to `B x dim`.

    An empty set is encoded as zeros.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the features and of the encoding.
    pieces : int
        Number of linear pieces of w_c.
    """

    def __init__(self, dim_in: int, *, dim: int = 64, pieces: int = 20) -> None:
        super().__init__()
        self.phi = element_network(dim_in, dim)
        self.weight = nn.Parameter(torch.randn(dim, pieces + 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = self.phi(zero_absent(x, mask))
        if mask is not None:
            features = features.masked_fill(~mask.unsqueeze(2), -torch.inf)  # sorts absent elements to the end
        features = features.sort(1, descending=True).values
        number = count_present(x, mask)
        if mask is not None:
            present = torch.arange(x.shape[1], device=x.device) < number.unsqueeze(1)
            features = zero_absent(features, present)
        out: Tensor = (features * self.rank_weights(number, x.shape[1])).sum(1)
        return out

    def rank_weights(self, number: Tensor, n: int) -> Tensor:
        """Return w at the first `n` ranks, `B x n x dim`, for sets of `number` (`B`) elements."""
        pieces = self.weight.shape[1] - 1
        ranks = torch.arange(n, device=number.device, dtype=torch.float64)
        position = pieces * (ranks / (number - 1).clamp(min=1).unsqueeze(1)).clamp(max=1)
        left = position.floor().clamp(max=pieces - 1).long()
        fraction = (position - left).to(self.weight).unsqueeze(2)
        knots = self.weight.t()
        return torch.lerp(knots[left], knots[left + 1], fraction)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) feature by feature in NumPy."""
    assert isinstance(module, FSPool)
    weight = to_numpy(module.weight)
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
    breaks={"mbc.partition": "the weight of an element depends on its rank, which differs between chunk and set"},
    reference=reference,
)
