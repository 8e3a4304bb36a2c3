"""Correct poolings and layers whose terms cancel: the exact result is near zero, the rounding is not."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.controls.base import WIDTH


class Features(nn.Module):
    """Features that saturate: for large elements their derivative is zero, and their rounding is not."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.Tanh())

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x)
        return features


class Centred(Features):
    """A set-to-set layer: difference of each element from the mean of its set."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        return h - h.mean(1, keepdim=True)


class DeepSetsLayer(Centred):
    """A linear map of centred elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.gamma = nn.Linear(dim_in, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        layer: Tensor = self.gamma(x - x.mean(1, keepdim=True))
        return layer


class InstanceNorm(Centred):
    """Features normalised over the elements of each set."""

    def forward(self, x: Tensor) -> Tensor:
        h = super().forward(x)
        return h / (h.square().mean(1, keepdim=True) + 1e-5).sqrt()


class SetNorm(Centred):
    """Features normalised over elements and channels of each set."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        h = h - h.mean((1, 2), keepdim=True)
        return h / (h.square().mean((1, 2), keepdim=True) + 1e-5).sqrt()


class Statistics(Features):
    """Mean and standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        return torch.cat([h.mean(1), h.std(1, unbiased=False)], 1)


class VarianceInOnePiece(Features):
    """The variance of the features."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).var(1, unbiased=False)


class CentredMax(Centred):
    """The maximum of centred features."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).amax(1)


class MaxMinusMean(Features):
    """The maximum minus the mean."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        return h.amax(1) - h.mean(1)


class ThirdMoment(Centred):
    """The third central moment, and its signed cube root."""

    def forward(self, x: Tensor) -> Tensor:
        moment = super().forward(x).pow(3).mean(1)
        return torch.cat([moment, moment.sign() * moment.abs().pow(1 / 3)], 1)


class SignedRoot(Features):
    """Bilinear pooling: the signed square root of second moments, normalised."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        moments = (h.transpose(1, 2) @ h / x.shape[1]).flatten(1)
        root = moments.sign() * moments.abs().sqrt()
        return torch.nn.functional.normalize(root, dim=1)


class GeM(Features):
    """Generalised mean pooling."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).clamp(min=1e-6).pow(3).mean(1).pow(1 / 3)


class NetVLAD(Features):
    """Residuals to soft-assigned centres, normalised within centres and over all."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.assign = nn.Linear(WIDTH, 3)
        self.centres = nn.Parameter(torch.randn(3, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        a = self.assign(h).softmax(2)
        residuals = a.transpose(1, 2) @ h - a.sum(1)[:, :, None] * self.centres
        within = torch.nn.functional.normalize(residuals, dim=2)
        return torch.nn.functional.normalize(within.flatten(1), dim=1)


class PeakInGraph(Features):
    """An exact online softmax whose running maximum is part of the graph, where it cancels."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit = nn.Linear(dim_in, WIDTH, bias=False)

    def init_state(self, batch_size: int) -> Any:
        zero = self.logit.weight.new_zeros(batch_size, WIDTH)
        return zero - torch.inf, zero, zero

    def update(self, state: Any, x: Tensor) -> Any:
        peak, den, num = state
        if x.shape[1] == 0:
            return state
        logits = self.logit(x)
        new = torch.maximum(peak, logits.amax(1))
        weights, decay = (logits - new[:, None]).exp(), (peak - new).exp()
        return new, den * decay + weights.sum(1), num * decay + (weights * self.features(x)).sum(1)

    def readout(self, state: Any) -> Tensor:
        _, den, num = state
        pooled: Tensor = num / den.clamp(min=1e-30)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


CANCELLING: tuple[type[Features], ...] = (
    Centred, DeepSetsLayer, InstanceNorm, SetNorm, Statistics, VarianceInOnePiece, CentredMax, MaxMinusMean,
    ThirdMoment, SignedRoot, GeM, NetVLAD, PeakInGraph,
)  # fmt: skip
