"""Encoders that are right for a handful of elements, and wrong for one or for many."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import WIDTH


class SetFunction(nn.Module):
    """The mean of tanh features and a constant offset, in one piece."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def pool(self, features: Tensor) -> Tensor:
        return features.mean(1).sin()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.phi(x).tanh())


class NaNForOneElement(SetFunction):
    """The unbiased standard deviation, which is NaN for one element."""

    breaks: ClassVar[str] = "hygiene.finite"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "symmetry.permutation", "symmetry.replication")

    def pool(self, features: Tensor) -> Tensor:
        mean = features.mean(1, keepdim=True)
        return ((features - mean).square().sum(1) / (torch.ones(()) * features.shape[1] - 1) + 1).sqrt()


class ZeroForOneElement(SetFunction):
    """The correct twin: the biased one."""

    def pool(self, features: Tensor) -> Tensor:
        mean = features.mean(1, keepdim=True)
        return ((features - mean).square().mean(1) + 1).sqrt()


class SamplesLargeSets(SetFunction):
    """Encodes the first 512 elements of a larger set."""

    breaks: ClassVar[str] = "symmetry.size"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "symmetry.permutation")

    def pool(self, features: Tensor) -> Tensor:
        return super().pool(features[:, :512])


class TruncatesBeyond4096(SetFunction):
    """Encodes the first 4,096 elements of a larger set."""

    breaks: ClassVar[str] = "symmetry.size"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def pool(self, features: Tensor) -> Tensor:
        return super().pool(features[:, :4096])


class CountsInEightBits(SetFunction):
    """Divides by a count that overflows at 256."""

    breaks: ClassVar[str] = "symmetry.size"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "symmetry.permutation", "hygiene.finite")

    def pool(self, features: Tensor) -> Any:
        number = torch.tensor(features.shape[1]).to(torch.uint8).clamp(min=1)
        return (features.sum(1) / number).sin()
