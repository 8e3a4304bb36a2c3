"""Encoders that keep what they are called with, and what a law says about an encoder."""

from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean

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


class RecordingMasks(Mean):
    """Keeps copies of the masks of sets and of chunks."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.masks: list[tuple[str, Any]] = []

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.masks.append(("chunk", mask if mask is None else mask.tolist()))
        return super().update(state, x, mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.masks.append(("set", mask if mask is None else mask.tolist()))
        return self.readout(super().update(self.init_state(len(x)), x, mask))


def law_says(law: str, subject: Subject, data: ExampleData) -> Comparison:
    with torch.no_grad():
        return get_law(law).check(subject, data)
