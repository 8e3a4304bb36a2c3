"""Gradients of sets with padding."""

import torch
from torch import Tensor, nn

from mbcbench.verify.example import Example, ExampleData
from suites.laws.masked_gradients import _MAX_PARAMETERS, _gradients


class Wide(nn.Module):
    """A sum of features, of which there are many."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Linear(3, 30_000, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x).sum(1)
        return out


def test_of_a_large_model_few_parameters_stand_for_all() -> None:
    module, data = Wide(), ExampleData(Example(sizes=(2,), kinds=(0, 3), seed=0), 3)
    (on_elements,), on_parameters, batch_size = _gradients(module, [data.x], lambda chunks: module(chunks[0]), data)
    assert (on_elements.shape, batch_size) == (data.x.shape, 2)
    assert _MAX_PARAMETERS // 2 < len(on_parameters) <= _MAX_PARAMETERS
    assert bool((on_parameters != 0).any())
