"""Encoders for the tests of suites: small, streaming and plain, correct and defective."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench import EncoderSpec, SetEncoder

MEBIBYTE = 2**20


class SumEncoder(SetEncoder[Tensor]):
    """Sum of a linear map of the elements: `B x n x d` to `B x 16`."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim_in, 16)

    def init_state(self, batch_size: int) -> Tensor:
        return self.linear.weight.new_zeros(batch_size, 16)

    def update(self, state: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.linear(x)
        return state + out.sum(dim=1)

    def merge(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def readout(self, state: Tensor) -> Tensor:
        return state


class Slots(SumEncoder):
    """Three slots that hold the sum, twice and three times the sum: `B x 3 x 16`."""

    def readout(self, state: Tensor) -> Tensor:
        return torch.stack((state, 2 * state, 3 * state), dim=1)


class VariableSlots(SumEncoder):
    """Multiples of the sum in `num_slots` slots, which can be set at any time: `B x K x 16`."""

    num_slots = 3

    def readout(self, state: Tensor) -> Tensor:
        return torch.stack([k * state for k in range(1, self.num_slots + 1)], dim=1)


class Range(nn.Module):
    """Plain: the range of each feature, which is not the mean of the ranges of chunks."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim_in, 16)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y.amax(dim=1) - y.amin(dim=1)


class Diverging(Range):
    """Returns infinity for sets of more than sixteen elements: all training sets."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (torch.inf if x.shape[1] > 16 else 1.0)


class Wide(nn.Module):
    """Plain: the mean of a linear map of configurable width."""

    def __init__(self, dim_in: int, dim: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(dim_in, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out.mean(dim=1)


class Hungry(nn.Module):
    """Allocates 40 MiB while it encodes."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=1) + torch.ones(10 * MEBIBYTE)[-1]


class Frugal(nn.Module):
    """Allocates next to nothing."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


@dataclass(frozen=True)
class Hoard:
    """State that holds all elements so far."""

    seen: tuple[Tensor, ...]


class Hoarder(nn.Module):
    """Keeps all elements in its state, which so grows with the set."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def init_state(self, batch_size: int) -> Hoard:
        return Hoard(())

    def update(self, state: Hoard, x: Tensor) -> Hoard:
        return Hoard((*state.seen, x))

    def readout(self, state: Hoard) -> Tensor:
        return torch.cat(state.seen, dim=1).mean(dim=1)

    def forward(self, x: Tensor) -> Any:
        return self.readout(self.update(self.init_state(len(x)), x))


SLOTS_MAX = EncoderSpec(name="slots-max", factory=Slots, slot_readout="max")
SLOTS_CONCAT = EncoderSpec(name="slots-concat", factory=Slots, slot_readout="concat")
WIDE = EncoderSpec(name="wide", factory=Wide)
