"""Streaming encoders that read in order, each with a faulty twin that forgets its state between chunks.

`order_sensitive = True` says that the order of the elements is meant. The laws then cut a set into contiguous chunks
and feed them in order: the correct encoders break `symmetry.permutation` and `mbc.order`, as they declare, and nothing
else; their twins fail `mbc.partition`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad, softplus

WIDTH = 4


class Recurrence(nn.Module):
    """A GRU over the elements; its last hidden state."""

    order_sensitive = True

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dim_in, WIDTH, batch_first=True)

    def init_state(self, batch_size: int) -> Tensor:
        return next(self.parameters()).new_zeros(batch_size, WIDTH)

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        if x.shape[1] == 0:
            return state
        last: Tensor = self.gru(x, state[None].contiguous())[1][0]
        return last

    def readout(self, state: Tensor) -> Tensor:
        return state

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class RecurrenceForgets(Recurrence):
    """Wrong: each chunk starts from a hidden state of zeros."""

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        return super().update(torch.zeros_like(state), x) if x.shape[1] else state


class DeltaAttention(nn.Module):
    """Linear attention with the delta rule: each element corrects what the memory (`B x v x k`) returns for its key."""

    order_sensitive = True

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.key, self.value = nn.Linear(dim_in, WIDTH), nn.Linear(dim_in, WIDTH)
        self.strength = nn.Linear(dim_in, 1)
        self.query = nn.Parameter(torch.randn(WIDTH))

    def init_state(self, batch_size: int) -> Tensor:
        return self.query.new_zeros(batch_size, WIDTH, WIDTH)

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        keys, values, strengths = normalize(self.key(x), dim=2), self.value(x), self.strength(x).sigmoid()
        for k, v, strength in zip(keys.unbind(1), values.unbind(1), strengths.unbind(1), strict=True):
            error = v - (state @ k[:, :, None])[:, :, 0]
            state = state + (strength * error)[:, :, None] * k[:, None, :]
        return state

    def readout(self, state: Tensor) -> Tensor:
        return state @ self.query

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class DeltaAttentionForgets(DeltaAttention):
    """Wrong: the memory of a chunk is computed from an empty one, and added, as if the delta rule were a plain sum."""

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        return state + super().update(torch.zeros_like(state), x)


class Retained(NamedTuple):
    """The decayed sum (`B x k x v`), and the number of elements in it."""

    memory: Tensor
    size: int


class Retention(nn.Module):
    """A sum of k v^T in which an element counts less by a factor for every later one; a chunk is computed at once."""

    order_sensitive = True
    decay = 0.9

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.key, self.value = nn.Linear(dim_in, WIDTH), nn.Linear(dim_in, WIDTH)

    def init_state(self, batch_size: int) -> Retained:
        return Retained(self.key.weight.new_zeros(batch_size, WIDTH, WIDTH), 0)

    def update(self, state: Retained, x: Tensor) -> Retained:
        n = x.shape[1]
        weights = self.decay ** torch.arange(n - 1, -1, -1, dtype=x.dtype, device=x.device)
        memory = torch.einsum("n,bnk,bnv->bkv", weights, self.key(x), self.value(x))
        return self.merge(state, Retained(memory, n))

    def merge(self, a: Retained, b: Retained) -> Retained:
        return Retained(a.memory * self.decay**b.size + b.memory, a.size + b.size)

    def readout(self, state: Retained) -> Tensor:
        return state.memory.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class RetentionForgets(Retention):
    """Wrong: what came before decays once for each chunk, however many elements the chunk has."""

    def merge(self, a: Retained, b: Retained) -> Retained:
        return Retained(a.memory * self.decay ** min(b.size, 1) + b.memory, a.size + b.size)


class SelectiveStateSpace(nn.Module):
    """A state-space model with steps that depend on the elements, as in Mamba."""

    order_sensitive = True

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.step, self.source = nn.Linear(dim_in, WIDTH), nn.Linear(dim_in, WIDTH)

    def init_state(self, batch_size: int) -> Tensor:
        return self.step.weight.new_zeros(batch_size, WIDTH)

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        steps, sources = softplus(self.step(x)), self.source(x)
        for step, source in zip(steps.unbind(1), sources.unbind(1), strict=True):
            state = (-step).exp() * state + step * source
        return state

    def readout(self, state: Tensor) -> Tensor:
        return state

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class SelectiveStateSpaceForgets(SelectiveStateSpace):
    """Wrong: each chunk starts from a state of zeros."""

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        return super().update(torch.zeros_like(state), x) if x.shape[1] else state


class Convolved(NamedTuple):
    """The last elements, which the next chunk is convolved with (`B x d x (k - 1)`), and the sum so far."""

    tail: Tensor
    total: Tensor


class CausalConvolution(nn.Module):
    """A causal convolution over the elements, and the sum of its features; a stream carries the last k - 1 elements."""

    order_sensitive = True
    width = 3

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim_in, WIDTH, self.width)

    def init_state(self, batch_size: int) -> Convolved:
        weight = self.convolution.weight
        return Convolved(weight.new_zeros(batch_size, weight.shape[1], self.width - 1), weight.new_zeros(batch_size, 4))

    def update(self, state: Convolved, x: Tensor) -> Convolved:
        if x.shape[1] == 0:
            return state
        elements = torch.cat([state.tail, x.transpose(1, 2)], 2)
        features = self.convolution(elements).tanh()
        return Convolved(elements[:, :, 1 - self.width :], state.total + features.sum(2))

    def readout(self, state: Convolved) -> Tensor:
        return state.total

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class CausalConvolutionForgets(CausalConvolution):
    """Wrong: each chunk is padded with zeros in place of the elements before it."""

    def update(self, state: Convolved, x: Tensor) -> Convolved:
        features = self.convolution(pad(x.transpose(1, 2), (self.width - 1, 0))).tanh()
        return Convolved(state.tail, state.total + features.sum(2)) if x.shape[1] else state
