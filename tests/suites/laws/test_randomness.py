"""Submodules that give equal inputs different outputs are located."""

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws.randomness import locate_random_module
from mbcbench.types import Encoder
from mbcbench.verify.subject import Subject
from tests.suites.laws.encoders import DOUBLE
from tests.verify.helpers import WIDTH

FAULT = "gives equal inputs different outputs"


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(())


class Normalises(nn.Module):
    """Divides by the largest number of all calls."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = -torch.inf

    def forward(self, x: Tensor) -> Tensor:
        self.largest = max(self.largest, float(x.max()))
        return x / self.largest


class Doubles(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Steps(nn.Module):
    """Encodes the sum of a set in steps, with random numbers or without."""

    def __init__(self, *steps: nn.Module, noise: float = 0.0) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.steps(x + self.noise * torch.rand(())).sum(1)
        return out


def locate(module: nn.Module, given: list[Tensor] | None = None) -> str:
    def encode(module: Encoder, x: Tensor) -> Tensor:
        if given is not None:
            given.append(x)
        out: Tensor = module(x)
        return out

    x = torch.tensor([[-1.0] * WIDTH, [-0.5] * WIDTH], dtype=DOUBLE).unsqueeze(0)
    with torch.no_grad():
        culprit: str = locate_random_module(Subject(module, WIDTH), x, encode, FAULT)
    return culprit


@pytest.mark.parametrize(
    ("module", "culprit"),
    [
        (Steps(Doubles(), Draws(), Draws()), f"steps.1 (Draws): {FAULT}"),
        (Steps(Doubles(), Doubles(), Normalises()), f"steps.2 (Normalises): {FAULT}"),
        (Steps(Doubles()), ""),
        (Steps(Doubles(), noise=1.0), ""),  # no submodule is at fault
    ],
)
def test_the_first_submodule_that_draws_or_changes_from_call_to_call_is_named(module: nn.Module, culprit: str) -> None:
    assert locate(module) == culprit


def test_a_call_on_other_sets_of_similar_size_separates_two_on_the_same() -> None:
    given: list[Tensor] = []
    locate(Steps(Doubles()), given)
    first, between, second = given
    assert torch.equal(first, second)
    assert bool((between > 0).all())  # the elements are below zero
    assert 0.5 <= float(between.max()) <= 1


def test_the_encoder_itself_stays_as_it_was() -> None:
    normalises = Normalises()
    locate(Steps(normalises))
    assert normalises.largest == -torch.inf
