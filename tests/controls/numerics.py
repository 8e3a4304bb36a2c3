"""Encoders that work only for numbers of ordinary size."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from tests.controls.base import Mean, Softmax, Sum, Sums, Weighed, count, hide


class ExpWithoutMaximum(Softmax):
    """Takes the exponential of logits without subtracting the maximum."""

    breaks: ClassVar[str] = "numerics.scale"

    def init_state(self, batch_size: int) -> Any:
        zero = self.phi.weight.new_zeros(batch_size, 4)
        return Weighed(zero, zero, zero)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        x = hide(x, mask)
        weights = hide(self.logit(x).exp(), mask)
        zero = weights.sum(1) * 0
        return Weighed(zero.nan_to_num(), (weights * self.features(x)).sum(1), weights.sum(1))

    def add(self, a: Any, b: Any) -> Any:
        return Weighed(a.peak, a.num + b.num, a.den + b.den)


class SaturatedSum(Sum):
    """Clamps running sums to between -2e6 and 2e6."""

    breaks: ClassVar[str] = "numerics.scale"

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x)
        return features + features.sin()

    def add(self, a: Any, b: Any) -> Any:
        return Sums((a.total + b.total).clamp(-2e6, 2e6), a.number + b.number)


class ExpOfFeatures(Mean):
    """Takes the logarithm of a mean of exponentials, which overflows for inputs in the thousands."""

    breaks: ClassVar[str] = "numerics.scale"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return Sums(hide(self.features(hide(x, mask)).exp(), mask).sum(1), count(x, mask))

    def readout(self, state: Any) -> Tensor:
        return (1 + super().readout(state)).log()


class SaturatedChunk(Sum):
    """Clamps the sum of a chunk to 64 times the largest float16."""

    breaks: ClassVar[str] = "numerics.scale"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        largest = 64 * torch.finfo(torch.float16).max
        return Sums(part.total.clamp(-largest, largest), part.number)
