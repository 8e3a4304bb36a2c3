"""Encoders of many sets whose states are unlike one another."""

from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Any]


class Sum(nn.Module):
    """The sum of the elements, with a row per set."""

    def __init__(self, dim_in: int = 3) -> None:
        super().__init__()
        self.dim_in = dim_in
        self.scale = nn.Parameter(torch.ones(dim_in))

    def init_state(self, batch_size: int) -> State:
        return {"sum": self.scale.new_zeros(batch_size, self.dim_in)}

    def update(self, state: State, x: Tensor) -> State:
        return {**state, "sum": state["sum"] + (self.scale * x).sum(1)}

    def readout(self, state: State) -> Tensor:
        out: Tensor = state["sum"]
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class CountsChunks(Sum):
    """Its state has a plain number that changes."""

    def init_state(self, batch_size: int) -> State:
        return {**super().init_state(batch_size), "chunks": 0}

    def update(self, state: State, x: Tensor) -> State:
        return {**super().update(state, x), "chunks": state["chunks"] + 1}


class KeepsLast(Sum):
    """Its state begins without a tensor, and then has a view of the last element, which it does not read out."""

    def init_state(self, batch_size: int) -> State:
        return {**super().init_state(batch_size), "last": None}

    def update(self, state: State, x: Tensor) -> State:
        return {**super().update(state, x), "last": x[:, -1]}


class KeepsAll(Sum):
    """Its state grows."""

    def init_state(self, batch_size: int) -> State:
        return {"sum": self.scale.new_zeros(batch_size, 0, self.dim_in)}

    def update(self, state: State, x: Tensor) -> State:
        return {"sum": torch.cat([state["sum"], x], 1)}

    def readout(self, state: State) -> Tensor:
        out: Tensor = (self.scale * state["sum"]).sum(1)
        return out


class SharesCount(Sum):
    """Its state has one count for all sets."""

    def init_state(self, batch_size: int) -> State:
        return {**super().init_state(batch_size), "count": torch.zeros(1)}

    def update(self, state: State, x: Tensor) -> State:
        return {**super().update(state, x), "count": state["count"] + x.shape[1]}

    def readout(self, state: State) -> Tensor:
        return torch.cat([state["sum"], state["count"].expand(len(state["sum"]), 1)], 1)


class WritesInPlace(Sum):
    """It changes the state that it is given."""

    def update(self, state: State, x: Tensor) -> State:
        state["sum"] += (self.scale * x).sum(1)
        return state


class Views(Sum):
    """It reads its state by a view, which a row that is repeated without copies does not have."""

    def update(self, state: State, x: Tensor) -> State:
        rows = state["sum"].view(-1).view(len(x), self.dim_in)
        return {"sum": rows + (self.scale * x).sum(1)}


class GrowsLate(Sum):
    """The state of a set that is updated on its own changes its shape when the sum is large."""

    def update(self, state: State, x: Tensor) -> State:
        before = state["sum"]
        after = before[:, : self.dim_in] + (self.scale * x).sum(1)
        if before.shape[1] > self.dim_in or bool((after > 1000).any()):
            return {"sum": torch.cat([after, torch.zeros_like(after)], 1)}
        return {"sum": after}

    def readout(self, state: State) -> Tensor:
        out: Tensor = state["sum"][:, : self.dim_in]
        return out


class MixesSets(Sum):
    """A set is encoded in another way beside others."""

    def readout(self, state: State) -> Tensor:
        out: Tensor = state["sum"] + state["sum"].sum(0)
        return out


class NeedsTwo(Sum):
    """It refuses sets of a single element."""

    def init_state(self, batch_size: int) -> State:
        return {**super().init_state(batch_size), "count": torch.zeros(batch_size, dtype=torch.int64)}

    def update(self, state: State, x: Tensor) -> State:
        return {**super().update(state, x), "count": state["count"] + x.shape[1]}

    def readout(self, state: State) -> Tensor:
        if bool((state["count"] < 2).any()):
            raise ValueError("a set has at least two elements")
        return super().readout(state)


class Fails(Sum):
    """It raises for sets with large sums."""

    def update(self, state: State, x: Tensor) -> State:
        if bool((state["sum"] > 5).any()):
            raise RuntimeError("too large")
        return super().update(state, x)


class ChunkMean(Sum):
    """The mean of the means of chunks, which is not consistent."""

    def init_state(self, batch_size: int) -> State:
        return {"sum": torch.zeros(batch_size, self.dim_in), "chunks": torch.zeros(batch_size, 1)}

    def update(self, state: State, x: Tensor) -> State:
        return {"sum": state["sum"] + (self.scale * x).mean(1), "chunks": state["chunks"] + 1}

    def readout(self, state: State) -> Tensor:
        out: Tensor = state["sum"] / state["chunks"].clamp(min=1)
        return out


class Plain(nn.Module):
    """The largest and smallest element: a module that does not stream."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.amax(1), x.amin(1)], 1)
