"""Encoders whose scale is known, and laws that say what a test wants."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.verify.domain import Domain
from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Law
from mbcbench.verify.law_run import LawRun
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.verify.helpers import subject_of

Check = Callable[[Subject, ExampleData], Any]


class Level(nn.Module):
    """Encodes each set as a number that does not depend on it."""

    level = 0.25

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), 1), self.level, dtype=x.dtype)


class Zero(Level):
    level = 0.0


def law_of(check: Check, **more: Any) -> Law:
    return Law(id="of.test", check=check, **more)


def run_of(check: Check, encoder: type[nn.Module] = Level, domain: Domain | None = None, **more: Any) -> LawRun:
    return LawRun(law_of(check, **more), [subject_of(encoder, domain=domain)])


def saying(comparison: Comparison, **more: Any) -> LawRun:
    """Return a run of a law that says the same of each example."""
    return run_of(lambda subject, data: comparison, **more)
