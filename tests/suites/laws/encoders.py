"""Encoders for tests of single laws: encodings from a table, and a record of what a law gives an encoder."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import Mean

DOUBLE, SINGLE, BRAIN = torch.float64, torch.float32, torch.bfloat16
Given = tuple[Tensor, Tensor | None, Tensor]  # elements, mask and weights
Rows = Sequence[Sequence[float]]  # encodings of the sets of a batch, one after the other


class Recording(Mean):
    """Keeps what it is given, with the mask and the factor of its weights."""

    given: ClassVar[list[Given]] = []

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        self.given.append((x.detach().double(), mask, self.phi.weight.detach().double()))
        return super().part(x, mask)


class Tabulated(nn.Module):
    """Encodes sets as numbers from a table, which has a row for each set of a batch and depends on the precision."""

    def __init__(self, whole: Mapping[torch.dtype, Rows]) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return look_up(self.whole, x)


class TabulatedStream(Tabulated):
    """Encodes the sets of a stream as other numbers."""

    def __init__(self, whole: Mapping[torch.dtype, Rows], streamed: Mapping[torch.dtype, Rows]) -> None:
        super().__init__(whole)
        self.streamed = streamed

    def init_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size)

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        return x[:, 0]

    def readout(self, state: Tensor) -> Tensor:
        return look_up(self.streamed, state)


def look_up(table: Mapping[torch.dtype, Rows], like: Tensor) -> Tensor:
    if like.dtype not in table:
        raise RuntimeError("no such kernel")
    rows = table[like.dtype]
    return torch.tensor([rows[number % len(rows)] for number in range(len(like))], dtype=like.dtype)
