"""Encoders that are another function in train mode."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import WIDTH, Mean, Sums


class BatchNormOverSets(nn.Module):
    """Normalises features over the sets of the batch, in train mode only."""

    breaks: ClassVar[str] = "symmetry.train"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "substance.parameters")

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi, self.norm = nn.Linear(dim_in, WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        features = self.norm(self.phi(x).transpose(1, 2))
        encoding: Tensor = features.sigmoid().mean(2).sin()
        return encoding


class LayerNormOverFeatures(nn.Module):
    """The correct twin, with dropout, whose masks are drawn from the global generator."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi, self.norm = nn.Linear(dim_in, WIDTH), nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        features = self.dropout(self.norm(self.phi(x)))
        encoding: Tensor = features.sigmoid().mean(1).sin()
        return encoding


class CouplesSetsInTraining(LayerNormOverFeatures):
    """Subtracts the mean of the batch in train mode."""

    breaks: ClassVar[str] = "symmetry.train"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def forward(self, x: Tensor) -> Tensor:
        encoding = super().forward(x)
        return encoding - encoding.mean(0) if self.training else encoding


class CentredByRunningMean(LayerNormOverFeatures):
    """Subtracts a running mean, into which each batch goes before it is subtracted."""

    breaks: ClassVar[str] = "symmetry.train"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        encoding = super().forward(x)
        if self.training:
            with torch.no_grad():
                self.centre.mul_(0.9).add_(0.1 * encoding.mean(0))
        return encoding - self.centre


class CentredByPastMean(CentredByRunningMean):
    """The correct twin: each batch goes into the running mean after it is subtracted."""

    def forward(self, x: Tensor) -> Tensor:
        centre = self.centre.clone()
        encoding = super().forward(x) + self.centre
        return encoding - centre


class MergeAveragesInTraining(Mean):
    """Merges two means as if they were of equal size, in train mode."""

    breaks: ClassVar[str] = "mbc.train"

    def merge(self, a: Any, b: Any) -> Any:
        if not self.training:
            return super().merge(a, b)
        number = a.number + b.number
        return Sums((self.readout(a) + self.readout(b)) / 2 * number.unsqueeze(1), number)


class CentredStream(Mean):
    """Subtracts a running mean when a stream is read out; in train mode, the batch goes into it afterwards."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(WIDTH))

    def readout(self, state: Any) -> Tensor:
        mean = super().readout(state)
        centred = (mean - self.centre).tanh()
        if self.training:
            self.centre = 0.9 * self.centre + 0.1 * mean.detach().mean(0)
        return centred


class CentredMeanOfChunkMeans(CentredStream):
    """Does so with the mean of the means of its chunks in train mode."""

    breaks: ClassVar[str] = "mbc.train"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        if self.training:
            part = Sums(Mean.readout(self, part), part.number.clamp(max=1))
        return self.add(state, part)


class DropoutInPlace(LayerNormOverFeatures):
    """A sound encoder whose dropout writes into the batch of the caller, in train mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.nn.functional.dropout(x, 0.2, self.training, inplace=True))
