"""A law that says nothing about an encoder does not pass: it is skipped with the reason, or fails."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.law_result import LawResult
from tests.controls.base import Mean

BUDGET = Budget(examples=64, min_examples=4)
GRADIENTS = pytest.mark.parametrize("law", ["mbc.gradient", "mbc.partial_gradient"])


class Histogram(nn.Module):
    """Counts the elements in four bins: no parameters, and no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        bins = x[..., 0].round().clamp(0, 3)
        return torch.stack([(bins == b).to(x.dtype).sum(1) for b in range(4)], 1)


class Rounded(Mean):
    """A mean of rounded features, whose gradient is zero."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(x).round()


class KeepsAttention(nn.Module):
    """Stores the attention of its last call, as many layers do for plotting."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim_in, 1)
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.kept["attention"] = self.score(x).exp()
        return (self.kept["attention"] * x).sum(1)


class CountsCalls(nn.Module):
    """In train mode, adds the number of calls, which a copy of the encoder has too."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)
        self.draws: float = 0

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x).sum(1)
        self.draws += self.training
        return out + self.draws if self.training else out


class DrawsOfItsOwn(CountsCalls):
    """In train mode, adds noise from the generator of Python."""

    def forward(self, x: Tensor) -> Tensor:
        self.draws = random.random()
        return super().forward(x)


class ReadsInOrder(nn.Module):
    """Weights elements by position, and counts them."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]).sum(1)


def result(encoder: Any, law: str) -> LawResult:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    return checker.try_law(get_law(law), BUDGET)


@GRADIENTS
def test_a_gradient_law_does_not_apply_where_no_gradient_flows(law: str) -> None:
    skipped = result(lambda dim_in: Histogram(), law)
    assert (skipped.status, skipped.message) == (Status.SKIP, "no gradient reaches the elements")
    skipped = result(Rounded, law)
    assert (skipped.status, skipped.message) == (Status.SKIP, "no gradient reaches the elements or a parameter")


def test_an_encoder_that_keeps_a_result_with_a_graph_can_be_checked_and_copied() -> None:
    assert result(KeepsAttention, "mbc.gradient").status is Status.PASS
    module = KeepsAttention(3)
    module(torch.randn(1, 2, 3))
    copied = copy_module(module)
    assert torch.equal(copied.kept["attention"], module.kept["attention"])
    assert copied.kept["attention"].grad_fn is None


def test_a_law_that_could_compare_nothing_does_not_pass() -> None:
    assert result(CountsCalls, "symmetry.train").status is Status.PASS
    skipped = result(DrawsOfItsOwn, "symmetry.train")
    assert skipped.status is Status.SKIP
    assert "generator of its own" in skipped.message
    skipped = result(lambda dim_in: ReadsInOrder(), "symmetry.size")
    assert (skipped.status, skipped.message) == (
        Status.SKIP, "on small sets its encoding depends on order and on the number of elements",
    )  # fmt: skip
