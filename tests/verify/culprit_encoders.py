"""Encoders one of whose submodules, leaves or parameters breaks a law, and sound ones built the same way."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

WIDTH = 6


class Flattened(nn.Module):
    """Applies a module to all elements of a batch at once, `(B n) x h`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        return self.inner(h.flatten(0, 1)).reshape(*h.shape[:2], -1)  # type: ignore[no-any-return]


class ChannelsFirst(nn.Module):
    """Applies a module to `B x h x n`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.inner(h.transpose(1, 2)).transpose(1, 2)
        return out


class SetLayerNorm(nn.Module):
    """Normalises each feature over the elements of a set."""

    def forward(self, h: Tensor) -> Tensor:
        across = h.transpose(1, 2)
        return layer_norm(across, across.shape[2:]).transpose(1, 2)


class Centre(nn.Module):
    """Subtracts the mean of all elements of the batch."""

    def forward(self, h: Tensor) -> Tensor:
        return h - h.mean((0, 1))


class SelfAttention(nn.Module):
    """Self-attention that takes a mask only if `heeds_mask`."""

    def __init__(self, heeds_mask: bool = True) -> None:
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


class Recurrence(nn.Module):
    """A GRU over the elements that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.gru(h)[0]
        return out


class AlwaysDrops(nn.Module):
    """Dropout that eval mode does not switch off."""

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.dropout(h, 0.5, training=True)


class MaskedBatchNorm(nn.Module):
    """BatchNorm over all elements, absent ones included, with statistics of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH, track_running_stats=False)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.norm(h.flatten(0, 1)).reshape(h.shape)
        return out


class Encoder(nn.Module):
    """A plain encoder: features of the elements, layers, a sum, and a read-out."""

    pool = "sum"

    def __init__(self, dim_in: int, *layers: nn.Module, readout: nn.Module | None = None) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.Tanh())
        self.layers = nn.ModuleList(layers)
        self.readout_net = readout or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        for layer in self.layers:
            h = layer(h)
        out: Tensor = self.readout_net(h.sum(1))
        return out


class Masked(Encoder):
    """The same, with a mask."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        h = self.embed(x.masked_fill(~present[..., None], 0))
        for layer in self.layers:
            h = layer(h, present) if isinstance(layer, SelfAttention) else layer(h)
        out: Tensor = self.readout_net(h.masked_fill(~present[..., None], 0).sum(1))
        return out
