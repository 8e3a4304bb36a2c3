"""Weights: parameters that grow in training, whatever they are called."""

import torch
from torch import Tensor, nn

from mbcbench.verify.weights import weight_names
from tests.verify.helpers import WIDTH, subject_of


class Bare(nn.Module):
    """Has parameters of no layer, each used in another way."""

    def __init__(self, dim_in: int = WIDTH) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(dim_in, 4), nn.LayerNorm(4)
        self.matrix, self.vector = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))
        self.summed, self.averaged = nn.Parameter(torch.randn(1, 1, 4)), nn.Parameter(torch.randn(4))
        self.offset, self.gain = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
        self.temperature, self.log_spread = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(4, 4))
        self.seeds, self.bias_of_product = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.randn(4))
        self.cell, self.unused = nn.GRUCell(4, 4), nn.Parameter(torch.randn(4))

    def logits(self, h: Tensor) -> list[Tensor]:
        return [
            h @ self.matrix @ self.vector,
            (h * self.summed).sum(-1),
            (h * self.averaged).mean((1, 2), keepdim=True)[..., 0],
            torch.addmm(self.bias_of_product, h[:, 0], self.log_spread.exp())[:, :1],
        ]

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.layer(x)) * self.gain * self.temperature + self.offset
        queries = self.seeds @ self.layer.weight @ x.new_ones(x.shape[2], 1)
        state = self.cell(h.sum(1), h[:, 0])
        return sum(self.logits(h), start=queries.sum() + state.sum(1, keepdim=True))


def test_weights_are_what_features_are_multiplied_by_in_a_product() -> None:
    torch.manual_seed(0)
    bare = Bare()
    assert weight_names(bare, torch.randn(2, 3, WIDTH)) == {
        "layer.weight", "matrix", "vector", "summed", "averaged", "cell.weight_ih", "cell.weight_hh",
    }  # fmt: skip


class Composed(nn.Module):
    """Computes its factors from parameters."""

    def __init__(self, dim_in: int = WIDTH) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.weight_norm(nn.Linear(dim_in, 4))
        self.query, self.log_scale = nn.Parameter(torch.randn(4)), nn.Parameter(torch.zeros(4))
        self.log_spread = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x).sum(1)
        return torch.stack([h @ (self.query * self.log_scale.exp()), h @ self.log_spread.exp()], 1)


def test_a_factor_made_of_parameters_grows_with_one_of_them() -> None:
    torch.manual_seed(0)
    assert weight_names(Composed(), torch.randn(2, 3, WIDTH)) == {"layer.parametrizations.weight.original0", "query"}


def test_only_weights_are_scaled() -> None:
    subject = subject_of(Bare)
    scaled = dict(subject.with_weights(10.0).module.named_parameters())
    for name, parameter in subject.module.named_parameters():
        factor = 10 if name in weight_names(subject.module, torch.ones(2, 3, WIDTH, dtype=torch.float64)) else 1
        assert torch.equal(scaled[name], factor * parameter), name
