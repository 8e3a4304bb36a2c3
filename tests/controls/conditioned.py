"""Correct encoders that are ill-conditioned: rounding changes their encodings by far more than an epsilon."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from tests.controls.base import WIDTH, Max, Mean, Softmax, Sum, Sums, Weighed, count, finite, hide


class SteepSoftmax(Softmax):
    """Softmax pooling with logits in the thousands."""

    STEEPNESS: ClassVar[float] = 1e3

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if x.shape[1] == 0:
            return self.init_state(len(x))
        x = hide(x, mask)
        logits = hide(self.STEEPNESS * self.logit(x), mask, -torch.inf)
        peak = logits.detach().amax(1)
        weights = (logits - finite(peak).unsqueeze(1)).exp()
        return Weighed(peak, (weights * self.features(x)).sum(1), weights.sum(1))


class LogSumExp(SteepSoftmax):
    """The log-sum-exp of logits times fifty."""

    STEEPNESS: ClassVar[float] = 50.0

    def readout(self, state: Any) -> Tensor:
        summed = state.peak + torch.where(state.den > 0, state.den, 1).log()
        return torch.where(state.den > 0, summed, 0) + 1e-3 * super().readout(state)


class Moments(NamedTuple):
    """The mean of the features, the sum of their squared differences from it, and the number of elements."""

    mean: Tensor
    squares: Tensor
    number: Tensor


class Variance(Mean):
    """The variance of the elements, merged by Chan's formula."""

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x)
        return features

    def init_state(self, batch_size: int) -> Any:
        total, number = super().init_state(batch_size)
        return Moments(total, total, number)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        features, number = self.features(hide(x, mask)), count(x, mask)
        mean = hide(features, mask).sum(1) / number.clamp(min=1).unsqueeze(1)
        return Moments(mean, hide((features - mean.unsqueeze(1)).square(), mask).sum(1), number)

    def add(self, a: Any, b: Any) -> Any:
        number = a.number + b.number
        share = (b.number.to(a.mean.dtype) / number.clamp(min=1)).unsqueeze(1)
        difference = b.mean - a.mean
        squares = a.squares + b.squares + difference.square() * share * a.number.unsqueeze(1)
        return Moments(a.mean + difference * share, squares, number)

    def readout(self, state: Any) -> Tensor:
        variance: Tensor = state.squares / state.number.clamp(min=1).unsqueeze(1)
        return variance


class NormalisedCovariance(Variance):
    """The covariance divided by its trace, of eight elements at least, which are counted as floats.

    The covariance of equal elements is a square of what their mean rounds, beside a scale of zero.
    """

    min_size = 8

    def init_state(self, batch_size: int) -> Any:
        mean = self.phi.weight.new_zeros(batch_size, WIDTH)
        return Moments(mean, mean.new_zeros(batch_size, WIDTH, WIDTH), mean.new_zeros(batch_size, 1))

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        features, number = super().features(hide(x, mask)).tanh(), count(x, mask).to(x.dtype).unsqueeze(1)
        mean = hide(features, mask).sum(1) / number.clamp(min=1)
        centred = hide(features - mean.unsqueeze(1), mask)
        return Moments(mean, centred.transpose(1, 2) @ centred, number)

    def add(self, a: Any, b: Any) -> Any:
        number, difference = a.number + b.number, b.mean - a.mean
        share = b.number / number.clamp(min=1)
        between = difference.unsqueeze(2) * difference.unsqueeze(1) * (a.number * share).unsqueeze(2)
        return Moments(a.mean + difference * share, a.squares + b.squares + between, number)

    def readout(self, state: Any) -> Tensor:
        if bool((state.number < self.min_size).any()):
            raise ValueError(f"the covariance needs {self.min_size} elements")
        trace = state.squares.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        normalised: Tensor = (state.squares / (trace + 1e-6 * state.number.unsqueeze(2))).flatten(1)
        return normalised


class PowerMean(Mean):
    """The power mean of order ten."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(x).abs().pow(10)

    def readout(self, state: Any) -> Tensor:
        return (super().readout(state) + 1e-30).pow(0.1)


class SecondMoments(Sum):
    """The sum of the outer products of features."""

    def init_state(self, batch_size: int) -> Any:
        total, number = super().init_state(batch_size)
        return Sums(total.repeat(1, WIDTH), number)

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = super().features(x)
        return (features.unsqueeze(3) * features.unsqueeze(2)).flatten(2)


class MergedOutputs(Softmax):
    """Softmax pooling whose state is the output so far and the logarithm of the sum of its weights."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        num, den = torch.zeros(len(x), WIDTH, dtype=x.dtype), torch.full((len(x), WIDTH), -torch.inf, dtype=x.dtype)
        if x.shape[1] == 0:
            return Weighed(den, num, den)
        x = hide(x, mask)
        logits = hide(self.logit(x), mask, -torch.inf)
        size = logits.logsumexp(1)
        return Weighed(size, ((logits - finite(size).unsqueeze(1)).exp() * self.features(x)).sum(1), size)

    def add(self, a: Any, b: Any) -> Any:
        size = torch.logaddexp(a.peak, b.peak)
        scale_a, scale_b = (a.peak - finite(size)).exp(), (b.peak - finite(size)).exp()
        return Weighed(size, a.num * scale_a + b.num * scale_b, size)

    def readout(self, state: Any) -> Tensor:
        pooled: Tensor = state.num
        return pooled


class SteepReadout(Mean):
    """A read-out that amplifies differences a thousand times."""

    def readout(self, state: Any) -> Tensor:
        return (1e3 * super().readout(state)).tanh()


class Oscillating(Sum):
    """The sine of a thousand times a sum."""

    def readout(self, state: Any) -> Tensor:
        return (1e3 * super().readout(state)).sin()


class SignedSum(Sum):
    """A sum of terms of both signs, which may nearly cancel."""

    def features(self, x: Tensor) -> Tensor:
        linear: Tensor = self.phi(x)
        return linear + linear.sin()


class Minimum(Max):
    """The elementwise minimum, as a maximum of negatives."""

    def features(self, x: Tensor) -> Tensor:
        return -super().features(x)


CONDITIONED: tuple[type[Mean], ...] = (
    SteepSoftmax, MergedOutputs, LogSumExp, Variance, NormalisedCovariance, PowerMean, SecondMoments, SteepReadout,
    Oscillating, SignedSum, Minimum,
)  # fmt: skip
