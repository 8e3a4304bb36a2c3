"""A parameter is dead if no example gives it a gradient, neither with perturbed weights nor as built."""

import re

import pytest
import torch
from torch import Tensor, nn

import mbcbench

LAW = "substance.parameters"


class SaturatingSlots(nn.Module):
    """Attention over two slots, which perturbed weights may saturate until q, k and the slots receive no gradient.

    The bias of the norm adds the same logit to both slots, and cancels.
    """

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.slots, self.norm = nn.Parameter(torch.randn(2, dim_in)), nn.LayerNorm(dim_in)
        self.q, self.k, self.v = (nn.Linear(dim_in, 4, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.einsum("kd,bnd->bkn", self.q(self.norm(self.slots)), self.k(x)).softmax(1)
        weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-8)
        return torch.einsum("bkn,bnd->bkd", weights, self.v(x))


class UnusedLayer(SaturatingSlots):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.forgotten = nn.Linear(dim_in, 4)


def dead(encoder: type[nn.Module], seed: int) -> str:
    """Return the names of the parameters that the law calls dead."""
    result = mbcbench.check(encoder, laws=[LAW], dim_in=4, seed=seed)
    assert result["status"].tolist() == ["fail"]
    (names,) = re.findall("no gradient: (.*)", str(result["detail.text"].iloc[0]))
    return str(names)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_what_perturbed_weights_saturate_is_not_dead(seed: int) -> None:
    assert dead(SaturatingSlots, seed) == "norm.bias"


def test_a_layer_that_is_not_called_is_dead() -> None:
    assert dead(UnusedLayer, 0) == "norm.bias, forgotten.weight, forgotten.bias"
