"""Time of encoding, of its steps and of its gradient, by encoder and set size."""

from typing import Any, cast

import torch

import mbcbench

DIM = 64


def elements(n: int) -> torch.Tensor:
    """Return standard normal numbers, `1 x n x 64`."""
    return torch.randn(1, n, DIM, generator=torch.Generator().manual_seed(0))


class Encode:
    params = (["sse-random", "sse-random-max", "deepsets-sum", "umbc", "set-transformer"], [100, 1000, 10_000])
    param_names = ("encoder", "n")

    def setup(self, encoder: str, n: int) -> None:
        self.module = mbcbench.build(encoder, dim_in=DIM).eval()
        self.x = elements(n)

    def time_encode(self, encoder: str, n: int) -> None:
        with torch.inference_mode():
            self.module(self.x)

    def time_backward(self, encoder: str, n: int) -> None:
        self.module(self.x).sum().backward()


class Stream:
    params = (["sse-random", "sse-random-max", "deepsets-sum", "umbc"], [100, 1000, 10_000])
    param_names = ("encoder", "n")

    def setup(self, encoder: str, n: int) -> None:
        self.module = cast("Any", mbcbench.build(encoder, dim_in=DIM).eval().requires_grad_(False))
        self.x = elements(n)
        self.state = self.module.update(self.module.init_state(1), self.x)

    def time_update(self, encoder: str, n: int) -> None:
        self.module.update(self.state, self.x)

    def time_merge(self, encoder: str, n: int) -> None:
        self.module.merge(self.state, self.state)

    def time_readout(self, encoder: str, n: int) -> None:
        self.module.readout(self.state)
