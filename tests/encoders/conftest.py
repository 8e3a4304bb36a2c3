"""Fixtures: registered encoders in float64, and a small batch."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor

from mbcbench.protocol.build import build as build_target

Build = Callable[..., Any]


def chunks(x: Tensor, sizes: list[int]) -> list[Tensor]:
    """Cut `x` along its elements into chunks of the given sizes."""
    ends = list(accumulate(sizes))
    assert ends[-1] == x.shape[1]
    return [x[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]


@pytest.fixture
def build() -> Build:
    """Return `build(name, dim_in=3, seed=0, **hyper)`, which builds a registered encoder in float64 and eval()."""

    def make(name: str, *, dim_in: int = 3, seed: int = 0, **hyper: Any) -> Any:
        return build_target(name, dim_in=dim_in, seed=seed, **hyper).double().eval()

    return make


@pytest.fixture
def x() -> Tensor:
    """Return two sets of thirteen elements in three dimensions."""
    return torch.randn(2, 13, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
