"""Encoders one of whose submodules, leaves or parameters breaks a law, and sound ones built in the same way."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

WIDTH = 6


class Flattened(nn.Module):
    """Applies a module to all elements of a batch at once, `(B n) x h`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.inner(h.flatten(0, 1)).reshape(*h.shape[:2], -1)
        return out


class ChannelsFirst(nn.Module):
    """Applies a module to `B x h x n`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.inner(h.transpose(1, 2)).transpose(1, 2)
        return out


class SequenceFirst(nn.Module):
    """Applies a module to `n x B x h` that returns a tuple."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.inner(h.transpose(0, 1))[0].transpose(0, 1)
        return out


class SetLayerNorm(nn.Module):
    """Normalises each feature over the elements of a set."""

    def forward(self, h: Tensor) -> Tensor:
        across = h.transpose(1, 2)
        return layer_norm(across, across.shape[2:]).transpose(1, 2)


class InPlaceRelu(nn.Module):
    """Changes its input in place and returns it in a dict."""

    def forward(self, h: Tensor) -> dict[str, Tensor]:
        return {"features": h.relu_()}


class CentredOverBatch(nn.Module):
    """Subtracts the mean of all elements of the batch."""

    def forward(self, h: Tensor) -> Tensor:
        return h - h.mean((0, 1))


class Stabilised(nn.Module):
    """Subtracts the largest logit of the batch, which a softmax undoes."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits - logits.max()


class CentredByRoot(nn.Module):
    """Softmax pooling with a sound submodule that looks wrong; the encodings are centred over the batch."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.logit, self.value, self.stabilise = nn.Linear(dim_in, 1), nn.Linear(dim_in, WIDTH), Stabilised()

    def forward(self, x: Tensor) -> Tensor:
        encoding: Tensor = (self.stabilise(self.logit(x)).softmax(1) * self.value(x)).sum(1)
        return encoding - 0.1 * encoding.mean(0)


class SoftmaxPool(nn.Module):
    """Softmax over the elements of a chunk, and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.logits, self.softmax = nn.Linear(WIDTH, 1), nn.Softmax(1)

    def forward(self, h: Tensor) -> Tensor:
        pooled: Tensor = (self.softmax(self.logits(h)) * h).sum(1, keepdim=True)
        return pooled


class SelfAttention(nn.Module):
    """Self-attention that heeds a mask, or does not."""

    def __init__(self, *, heeds_mask: bool = True) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.heeds_mask = heeds_mask

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        padding = ~mask if mask is not None and self.heeds_mask else None
        out: Tensor = self.attention(h, h, h, key_padding_mask=padding)[0]
        return h + out


class Positions(nn.Module):
    """Adds sinusoids of the position."""

    def forward(self, h: Tensor) -> Tensor:
        angle = torch.arange(h.shape[1], dtype=h.dtype)[:, None] / torch.arange(1, h.shape[2] + 1, dtype=h.dtype)
        return h + angle.sin()


class Sorted(nn.Module):
    """Sorts each feature: its outputs belong to no element."""

    def forward(self, h: Tensor) -> Tensor:
        return h.sort(1).values


class AlwaysDrops(nn.Module):
    """Dropout that eval mode does not switch off."""

    def forward(self, h: Tensor) -> Tensor:
        return dropout(h, 0.5, training=True)


class MeanOfAll(nn.Module):
    """A pool over all elements, absent ones included."""

    def forward(self, h: Tensor) -> Tensor:
        return h.mean(1)


class Plain(nn.Module):
    """Features of the elements, layers, a sum over elements and a sine."""

    min_size = 2  # what BatchNorm needs

    def __init__(self, dim_in: int, *layers: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.Tanh())
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        for layer in self.layers:
            h = layer(h)
            h = h["features"] if isinstance(h, dict) else h
        return h.sum(1).sin()  # type: ignore[no-any-return]


class WithPositionTable(Plain):
    """Adds a learnt vector for each position."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.position = nn.Embedding(600, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.embed(x) + self.position(torch.arange(x.shape[1]))
        return h.relu().sum(1)


class ClassToken(nn.Module):
    """Reads a token that is put in front of the elements."""

    def __init__(self, dim_in: int, layer: nn.Module) -> None:
        super().__init__()
        self.embed, self.layer = nn.Linear(dim_in, WIDTH), layer
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        h = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x.masked_fill(~present[..., None], 0))], 1)
        out: Tensor = self.layer(h, torch.cat([torch.ones_like(present[:, :1]), present], 1))[:, 0]
        return out


class Rooted(Plain):
    """Adds a multiple of the first element, in its own code."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1 * x[:, 0].sum(1, keepdim=True)


class Masked(nn.Module):
    """The same with a mask, and a pool that may be a submodule."""

    min_size = 2

    def __init__(self, dim_in: int, *layers: nn.Module, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.Tanh())
        self.layers = nn.ModuleList(layers)
        self.pool = pool

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        h = self.embed(x.masked_fill(~present[..., None], 0))
        for layer in self.layers:
            h = layer(h, present) if isinstance(layer, SelfAttention) else layer(h)
        h = h.masked_fill(~present[..., None], 0)
        pooled: Tensor = h.sum(1) if self.pool is None else self.pool(h)
        return pooled.sin()


class Moments(NamedTuple):
    """Sum and number of elements."""

    total: Tensor
    number: Tensor


@dataclass(frozen=True)
class Statistics:
    """Moments beside an unused leaf."""

    moments: Moments
    extra: dict[str, list[Tensor]]


class Stream(nn.Module):
    """A running mean of features, with a layer between them and the sum."""

    def __init__(self, dim_in: int, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.Tanh())
        self.layer = layer or nn.Identity()

    def init_state(self, batch_size: int) -> Any:
        zero = next(self.parameters()).new_zeros(batch_size, WIDTH)
        return Statistics(Moments(zero, zero[:, :1]), {"rest": [zero[:, 0], zero[:, 1]]})

    def features(self, x: Tensor) -> Tensor:
        return self.layer(self.phi(x))  # type: ignore[no-any-return]

    def count(self, x: Tensor) -> int:
        """Return the number of elements of a chunk."""
        return x.shape[1]

    def update(self, state: Any, x: Tensor) -> Any:
        moments = Moments(state.moments.total + self.features(x).sum(1), state.moments.number + self.count(x))
        return Statistics(moments, state.extra)

    def merge(self, a: Any, b: Any) -> Any:
        moments = Moments(a.moments.total + b.moments.total, a.moments.number + b.moments.number)
        return Statistics(moments, a.extra)

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.moments.total / state.moments.number.clamp(min=1)
        return mean

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


class CountsChunks(Stream):
    """Counts chunks."""

    def count(self, x: Tensor) -> int:
        return 1


class DrawsOncePerStream(Stream):
    """Counts chunks, and draws once per stream in train mode."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.noise = nn.Dropout()

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return Statistics(state.moments._replace(total=self.noise(state.moments.total + 1)), state.extra)

    def count(self, x: Tensor) -> int:
        return 1


class MergeLosesCount(Stream):
    """Keeps the count of one side."""

    def merge(self, a: Any, b: Any) -> Any:
        return Statistics(super().merge(a, b).moments._replace(number=a.moments.number), a.extra)


class AddsInPlace(Stream):
    """Changes the sum of the state it is given."""

    def update(self, state: Any, x: Tensor) -> Any:
        new = super().update(state, x)
        state.moments.total.copy_(new.moments.total)
        return new


class DetachedWeight(Stream):
    """Detaches the scale of all chunks but the first."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def update(self, state: Any, x: Tensor) -> Any:
        is_first = not bool(state.moments.number.any())
        scale = self.scale if is_first else self.scale.detach()
        moments = super().update(state, x).moments
        return Statistics(moments._replace(total=state.moments.total + (scale * self.features(x)).sum(1)), state.extra)


class Centre(nn.Module):
    """Subtracts the mean of a chunk, and returns it for the caller to account for."""

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean = h.mean(1)
        return h - mean[:, None], mean


class Variance(Stream):
    """Chan's formula, exact, with a submodule that centres each chunk."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.centre = Centre()

    def init_state(self, batch_size: int) -> Any:
        zero = next(self.parameters()).new_zeros(batch_size, WIDTH)
        return [zero[:, :1], zero, zero]

    def update(self, state: Any, x: Tensor) -> Any:
        if x.shape[1] == 0:
            return state
        deviations, mean = self.centre(self.phi(x))
        count, old_mean, squares = state
        new = x.shape[1]
        total = count + new
        delta = mean - old_mean
        squares = squares + deviations.square().sum(1) + delta**2 * count * new / total
        return [count + self.count(x), old_mean + delta * new / total, squares]

    def readout(self, state: Any) -> Tensor:
        variance: Tensor = state[2] / state[0].clamp(min=1)
        return variance


class VarianceOverChunks(Variance):
    """Counts chunks, while its centring is right."""

    def count(self, x: Tensor) -> int:
        return 1


class Sum(nn.Module):
    """Adds its two inputs."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class AddsTable(nn.Module):
    """Adds a table of positions by a module that only adds; the table is passed by the encoder's own code."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.first, self.add = nn.Linear(dim_in, WIDTH), Sum()
        self.table = nn.Parameter(torch.randn(700, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.add(self.first(x), self.table[: x.shape[1]])).mean(1)


class RecurrentInAdapter(nn.Module):
    """The last output of a recurrence, with a mask of another name."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dim_in, WIDTH, batch_first=True)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        out: Tensor = self.gru(x)[0][:, -1]
        return out
