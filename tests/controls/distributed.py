"""Encoders whose states merge in one process, and not when they come from another."""

import os
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tests.controls.base import WIDTH, KeyedSums, Mean, Slots, Slotted, Sum, Sums, hide


class KeyIntoTable(KeyedSums):
    """Keeps the sums in a table of the process; the state is a key into it."""

    breaks: ClassVar[str] = "mbc.distributed"
    table: dict[int, Sums] = {}  # noqa: RUF012 # one for all copies of a module


class SlotsOfProcess(Slots):
    """Draws slots from a generator that is seeded with the id of the process."""

    breaks: ClassVar[str] = "mbc.distributed"

    def init_state(self, batch_size: int) -> Any:
        generator = torch.Generator().manual_seed(os.getpid())
        state = super().init_state(batch_size)
        return Slotted(state.slots + torch.randn(self.slots.shape, generator=generator).to(self.slots), state.total)


class MergeDetaches(Sum):
    """Merges the right sum without its graph."""

    breaks: ClassVar[str] = "mbc.distributed"

    def merge(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total.detach(), a.number + b.number)


class LogSumExp(nn.Module):
    """The logarithm of a sum of exponentials: the state is the encoding."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def init_state(self, batch_size: int) -> Tensor:
        return self.phi.weight.new_full((batch_size, WIDTH), -30.0)

    def update(self, state: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.shape[1] == 0:
            return state
        logits = hide(self.phi(hide(x, mask)).tanh(), mask, -torch.inf)
        return torch.logsumexp(torch.cat([state.unsqueeze(1), logits], 1), 1)

    def merge(self, a: Tensor, b: Tensor) -> Tensor:
        both = torch.stack([a, b])
        return torch.logsumexp(both, 0) + torch.log1p(-torch.exp(-30 - torch.logsumexp(both, 0)))

    def readout(self, state: Tensor) -> Tensor:
        return state

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x, mask))


class MergeSpoilsGraph(LogSumExp):
    """Merges with operations in place, on what the backward pass needs."""

    breaks: ClassVar[str] = "mbc.distributed"

    def merge(self, a: Tensor, b: Tensor) -> Tensor:
        peak = torch.maximum(a, b).detach()
        return (a - peak).exp_().add_((b - peak).exp()).sub_((-30 - peak).exp()).log() + peak


class HoldsModule(Mean):
    """Keeps a submodule in the state."""

    breaks: ClassVar[str] = "mbc.distributed"
    also: ClassVar[tuple[str, ...]] = ("mbc.resume",)

    def init_state(self, batch_size: int) -> Any:
        return {"phi": self.phi, "sums": super().init_state(batch_size)}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return {**state, "sums": super().update(state["sums"], x, mask)}

    def merge(self, a: Any, b: Any) -> Any:
        return {**a, "sums": super().merge(a["sums"], b["sums"])}

    def readout(self, state: Any) -> Tensor:
        return super().readout(state["sums"])


class MergeComparesIdentity(Slots):
    """Merges states only if they hold the same tensor of slots, where equal slots would do."""

    breaks: ClassVar[str] = "mbc.distributed"
    also: ClassVar[tuple[str, ...]] = ("mbc.program",)

    def merge(self, a: Any, b: Any) -> Any:
        if a.slots is not b.slots:
            raise ValueError("the states have different slots")
        return super().merge(a, b)


class Begun(NamedTuple):
    """Sums of a stream, and the id of the process in which it began."""

    total: Tensor
    number: Tensor
    process: int


class MergeIgnoresOtherProcesses(Mean):
    """Drops what was summed by another process."""

    breaks: ClassVar[str] = "mbc.distributed"

    def init_state(self, batch_size: int) -> Any:
        total, number = super().init_state(batch_size)
        return Begun(total, number, os.getpid())

    def add(self, a: Any, b: Any) -> Any:
        total, number = super().add(a, b)
        return Begun(total, number, os.getpid())

    def merge(self, a: Any, b: Any) -> Any:
        return a if b.process != os.getpid() else self.add(a, b)
