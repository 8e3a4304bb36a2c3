"""A parameter is dead if no example gives it a gradient, neither with perturbed weights nor as built."""

import pytest
import torch
from torch import Tensor, nn

import mbcbench

LAW = "substance.parameters"


class SaturatingSlots(nn.Module):
    """Attention over two slots, which perturbed weights may saturate until q and the norm receive no gradient."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.slots, self.norm = nn.Parameter(torch.randn(2, dim_in)), nn.LayerNorm(dim_in, bias=False)
        self.q, self.k, self.v = (nn.Linear(dim_in, 4, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.einsum("kd,bnd->bkn", self.q(self.norm(self.slots)), self.k(x)).softmax(1)
        weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-8)
        return torch.einsum("bkn,bnd->bkd", weights, self.v(x))


class UnusedLayer(SaturatingSlots):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.forgotten = nn.Linear(dim_in, 4)


@pytest.mark.parametrize("seed", range(6))
def test_a_softmax_that_perturbed_weights_saturate_has_no_dead_parameter(seed: int) -> None:
    assert mbcbench.check(SaturatingSlots, laws=[LAW], dim_in=4, seed=seed)["status"].tolist() == ["pass"]


def test_a_layer_that_is_not_called_is_dead() -> None:
    result = mbcbench.check(UnusedLayer, laws=[LAW], dim_in=4)
    assert result["status"].tolist() == ["fail"]
    assert "no gradient: forgotten.weight, forgotten.bias" in str(result["detail.text"].iloc[0])
