"""An encoder that keeps its inputs, and what a law says about an encoder."""

import torch
from torch import Tensor, nn

from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.verify.helpers import WIDTH

EPS = torch.finfo(torch.float64).eps


class Recording(nn.Module):
    """The sum of the elements; keeps its inputs."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def pool(self, x: Tensor) -> Tensor:
        return x.sum(1)

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x)
        return self.pool(x)


def example_data(*sizes: int, seed: int = 1, batch_size: int = 2) -> ExampleData:
    return ExampleData(Example(sizes=sizes, kinds=(0,) * batch_size, seed=seed), WIDTH)


def law_says(law: str, subject: Subject, data: ExampleData) -> Comparison:
    with torch.no_grad():
        return get_law(law).check(subject, data)
