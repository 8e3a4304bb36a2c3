"""Mean and variance of features over a set, by the parallel update of Chan, Golub and LeVeque.

For two parts a and b with number n, mean and sum of squared deviations M2:

    n = n_a + n_b,    delta = mean_b - mean_a
    mean = mean_a + delta n_b / n,    M2 = M2_a + M2_b + delta^2 n_a n_b / n

Paper: Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37 (1983).

E[h^2] - E[h]^2 would also be consistent in exact arithmetic, but loses all digits if the mean is large.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers
from .nn.networks import element_network
from .nn.pooling import check_choice, count_present, zero_absent


class MomentState(NamedTuple):
    """Moments of the features of the elements seen so far.

    Attributes
    ----------
    number : Tensor
        Number of elements, `B`.
    mean : Tensor
        Mean of the features, `B x e`.
    m2 : Tensor
        Sum of squared deviations from the mean, `B x e`.
    """

    number: Tensor
    mean: Tensor
    m2: Tensor


class Moments(SetEncoder[MomentState]):
    """Compute moments of the features of a network per element: `B x n x d` to `B x dim`.

    An empty set is encoded as zeros.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the encoding.
    statistics : {"variance", "both"}
        Population variance of `dim` features, or means of dim / 2 features followed by their variances.
    """

    def __init__(self, dim_in: int, *, dim: int = 64, statistics: Literal["variance", "both"] = "both") -> None:
        super().__init__()
        check_choice("statistics", statistics, ("variance", "both"))
        if statistics == "both" and dim % 2:
            raise ValueError(f"dim={dim} is odd; give an even width: one half are means, the other variances")
        self.statistics = statistics
        self.features = dim // 2 if statistics == "both" else dim
        # A variance does not depend on the bias of the last layer.
        self.phi = element_network(dim_in, self.features, last_bias=statistics == "both")

    def init_state(self, batch_size: int) -> MomentState:
        zeros = next(self.parameters()).new_zeros(batch_size, self.features)
        return MomentState(torch.zeros(batch_size, dtype=torch.int64, device=zeros.device), zeros, zeros)

    def update(self, state: MomentState, x: Tensor, mask: Tensor | None = None) -> MomentState:
        if x.shape[1] == 0:
            return state
        h, number = zero_absent(self.phi(zero_absent(x, mask)), mask), count_present(x, mask)
        mean = h.sum(1) / number.clamp(min=1).unsqueeze(1)
        m2 = zero_absent(h - mean.unsqueeze(1), mask).square().sum(1)
        return self.merge(state, MomentState(number, mean, m2))

    def merge(self, a: MomentState, b: MomentState) -> MomentState:
        number = a.number + b.number
        fraction = (b.number.to(a.mean.dtype) / number.clamp(min=1)).unsqueeze(1)  # n_b / n
        delta = b.mean - a.mean
        m2 = a.m2 + b.m2 + delta.square() * fraction * a.number.unsqueeze(1)
        return MomentState(number, a.mean + delta * fraction, m2)

    def readout(self, state: MomentState) -> Tensor:
        variance = state.m2 / state.number.clamp(min=1).unsqueeze(1)
        return variance if self.statistics == "variance" else torch.cat([state.mean, variance], 1)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) in NumPy, in two passes."""
    assert isinstance(module, Moments)
    out = []
    for elements in x:
        features = [numpy_layers.element_network(module.phi, element) for element in elements]
        mean = sum(features) / len(features)
        variance = sum((h - mean) ** 2 for h in features) / len(features)
        out.append(variance if module.statistics == "variance" else np.concatenate([mean, variance]))
    return np.stack(out)


_CLAIMS = {
    "mbc.partition": "number, mean and squared deviations of two parts give those of their union exactly",
    "mbc.merge": "the parallel update is associative and commutative",
    "mbc.empty": "a part without elements has the fraction n_b / n = 0",
    "symmetry.permutation": "sums do not depend on the order of elements",
}
_PAPER = "https://doi.org/10.1080/00031305.1983.10483115"

MOMENTS = EncoderSpec(
    name="moments",
    factory=Moments,
    summary="Mean and variance of a network per element",
    paper=_PAPER,
    claims=_CLAIMS,
    reference=reference,
)
VARIANCE = EncoderSpec(
    name="variance",
    factory=Moments,
    summary="Variance of a network per element",
    paper=_PAPER,
    hyper={"statistics": "variance"},
    claims=_CLAIMS,
    reference=reference,
)
