"""Encoders that keep every law of streams, but differ from their reference."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from tests.controls.base import WIDTH, Max, Mean, Softmax, Sums

Array = NDArray[np.float64]


def features(module: nn.Module, x: Array) -> Array:
    """Return silu(W x + b), `B x n x 4`."""
    p = {name: value.detach().numpy() for name, value in module.named_parameters()}
    linear = x @ p["phi.weight"].T + p["phi.bias"]
    out: Array = linear * expit(linear)
    return out


def mean(module: nn.Module, x: Array) -> Array:
    """Return the mean over elements."""
    out: Array = features(module, x).mean(1)
    return out


def maximum(module: nn.Module, x: Array) -> Array:
    """Return the maximum over elements."""
    out: Array = features(module, x).max(1)
    return out


def scaled_softmax(module: nn.Module, x: Array) -> Array:
    """Return the softmax pooling over elements, with logits divided by the root of the width."""
    logits = x @ module.get_parameter("logit.weight").detach().numpy().T / math.sqrt(WIDTH)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    out: Array = (weights * features(module, x)).sum(1) / weights.sum(1)
    return out


class MissingScale(Softmax):
    """Does not divide logits by the root of the width."""

    breaks: ClassVar[str] = "reference.equal"
    reference = staticmethod(scaled_softmax)


class WrongByAMillionth(Mean):
    """Is a millionth too large."""

    breaks: ClassVar[str] = "reference.equal"
    reference = staticmethod(mean)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) * (1 + 1e-6)


class TransposedWeight(Mean):
    """Multiplies by the transpose of a square matrix."""

    breaks: ClassVar[str] = "reference.equal"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) @ self.out.weight

    @staticmethod
    def reference(module: nn.Module, x: Array) -> Array:
        out: Array = mean(module, x) @ module.get_parameter("out.weight").detach().numpy().T
        return out


class MaximumStartsAtZero(Max):
    """Starts its maximum at zero: a set of negative features encodes as zeros."""

    breaks: ClassVar[str] = "reference.equal"
    reference = staticmethod(maximum)

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return Sums(torch.zeros_like(state.total), state.number)


class UnbiasedDivisor(Mean):
    """Divides by n - 1."""

    breaks: ClassVar[str] = "reference.equal"
    reference = staticmethod(mean)

    def readout(self, state: Any) -> Tensor:
        out: Tensor = state.total / (state.number - 1).clamp(min=1).unsqueeze(1)
        return out
