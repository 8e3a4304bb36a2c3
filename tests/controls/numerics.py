"""Encoders that work only for numbers of ordinary size."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import WIDTH, Mean, Softmax, Sum, Sums, Weighed, count, hide


class ExpWithoutMaximum(Softmax):
    """Takes the exponential of logits without subtracting the maximum."""

    breaks: ClassVar[str] = "numerics.scale"
    also: ClassVar[tuple[str, ...]] = ("numerics.float32",)

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
    also: ClassVar[tuple[str, ...]] = ("numerics.float32",)

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


class NaiveDeviation(Mean):
    """Computes the standard deviation of the features as sqrt(E[x^2] - E[x]^2)."""

    breaks: ClassVar[str] = "numerics.scale"

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return torch.cat([features, features.square()], 2)

    def init_state(self, batch_size: int) -> Any:
        total, number = super().init_state(batch_size)
        return Sums(torch.cat([total, total], 1), number)

    def readout(self, state: Any) -> Tensor:
        mean, square = super().readout(state).chunk(2, 1)
        return (square - mean.square()).clamp(min=0).sqrt()


class RawCorrelation(NaiveDeviation):
    """Computes a correlation from sums of products, of which an offset leaves no digits."""

    def features(self, x: Tensor) -> Tensor:
        a, b = x[..., :1], x[..., 1:2]
        return torch.cat([a, b, a * b, a.square(), b.square()], 2) * self.phi.weight.new_ones(5)

    def init_state(self, batch_size: int) -> Any:
        zero = self.phi.weight.new_zeros(batch_size, 5)
        return Sums(zero, torch.zeros(batch_size, dtype=torch.int64))

    def readout(self, state: Any) -> Tensor:
        a, b, ab, aa, bb = torch.split(Mean.readout(self, state), 1, 1)
        spread = ((aa - a * a).clamp(min=0) * (bb - b * b).clamp(min=0)).sqrt()
        correlation: Tensor = (ab - a * b) / (spread + 1e-6) + 1e-3 * self.phi.bias.sum()
        return correlation


class AttentionWithoutMaximum(ExpWithoutMaximum):
    """Takes the exponential of moderate logits without subtracting the maximum: float64 has room for it."""

    breaks: ClassVar[str] = "numerics.float32"
    also: ClassVar[tuple[str, ...]] = ()

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        x = hide(x, mask)
        weights = hide((3 * torch.tanh(self.logit(x)) * self.logit.weight.abs().amax()).clamp(-500, 500).exp(), mask)
        return Weighed(weights.sum(1) * 0, (weights * self.features(x)).sum(1), weights.sum(1))


class BareLogit(nn.Module):
    """A logit of bounded features, by a key and a query that are parameters of no layer."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dim_in, WIDTH)
        self.key, self.query = nn.Parameter(0.02 * torch.randn(WIDTH, WIDTH)), nn.Parameter(0.02 * torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.embed(x).tanh() @ self.key @ self.query
        return logit.unsqueeze(-1)


class BareQuery(Softmax):
    """The correct twin: softmax pooling with such a logit."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit = BareLogit(dim_in)


class BareQueryWithoutMaximum(ExpWithoutMaximum):
    """Does not subtract the maximum; its logits are small until a query that is a bare parameter grows."""

    breaks: ClassVar[str] = "numerics.float32"
    also: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit = BareLogit(dim_in)


class ComposedLogit(nn.Module):
    """A logit of normalised features, by a query that is a product of parameters."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(dim_in, WIDTH), nn.LayerNorm(WIDTH, bias=False)
        self.query, self.log_scale = nn.Parameter(torch.randn(WIDTH)), nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.norm(self.embed(x)) @ (self.query * self.log_scale.exp())
        return logit.unsqueeze(-1)


class ComposedQuery(Softmax):
    """The correct twin: softmax pooling with such a logit."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit = ComposedLogit(dim_in)


class ComposedQueryWithoutMaximum(ExpWithoutMaximum):
    """Does not subtract the maximum; its logits are small until a query grows that is a product of parameters."""

    breaks: ClassVar[str] = "numerics.float32"
    also: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit = ComposedLogit(dim_in)


class WeightNormWithoutMaximum(ComposedQueryWithoutMaximum):
    """Does not subtract the maximum either; its logits grow with the gain of a weight norm."""

    breaks: ClassVar[str] = "numerics.float32"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        score = nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 1, bias=False))
        self.logit = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.LayerNorm(WIDTH, bias=False), score)


class Sentinel(Softmax):
    """Hides masked elements by a logit of -5e4, above which that of an element need not be."""

    breaks: ClassVar[str] = "numerics.float32"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if x.shape[1] == 0:
            return self.init_state(len(x))
        logits = hide(self.logit(hide(x, mask)), mask, -5e4)
        peak = logits.detach().amax(1)
        weights = (logits - peak.unsqueeze(1)).exp()
        return Weighed(peak, (weights * self.features(hide(x, mask))).sum(1), weights.sum(1))


class SentinelInStream(Sentinel):
    """Hides masked elements by such a logit in a stream only; a whole set is masked correctly."""

    breaks: ClassVar[str] = "numerics.float32"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(Softmax.part(self, x, mask))


class PairSentinel(nn.Module):
    """Attention of each element to near ones, `B x n x n`, in which a logit of -1e4 hides masked elements."""

    breaks: ClassVar[str] = "numerics.float32"
    also: ClassVar[tuple[str, ...]] = ("symmetry.padding",)

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dim_in, WIDTH), nn.Linear(dim_in, WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = hide(x, mask)
        logits = -torch.cdist(self.query(x), self.key(x), p=1)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, :], -1e4)
        return logits.softmax(2)


class DeepExpWithoutMaximum(nn.Module):
    """Takes such an exponential between deep networks, whose scaled weights multiply."""

    breaks: ClassVar[str] = "numerics.float32"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)  # it is a plain module
    depth = 4

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(dim_in, WIDTH), *_layers(self.depth), nn.LayerNorm(WIDTH))
        self.logit, self.rho = nn.Linear(WIDTH, WIDTH, bias=False), nn.Sequential(*_layers(self.depth))

    def weights(self, features: Tensor) -> Tensor:
        weights: Tensor = self.logit(features).exp()
        return weights / weights.sum(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        features = self.phi(x)
        encoding: Tensor = self.rho((self.weights(features) * features).sum(1))
        return torch.nn.functional.normalize(encoding, dim=1)


class DeepSoftmax(DeepExpWithoutMaximum):
    """The correct twin: an overflow is the product of a hundred per layer, squared by the norm."""

    depth = 16

    def weights(self, features: Tensor) -> Tensor:
        weights: Tensor = self.logit(features).softmax(1)
        return weights


def _layers(number: int) -> list[nn.Module]:
    return [layer for _ in range(number) for layer in (nn.SiLU(), nn.Linear(WIDTH, WIDTH))]
