"""Laws and subjects for tests that try single examples, without a search."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.law_result import LawResult
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean

WIDTH = 3


def subject_of(encoder: Callable[[int], nn.Module] = Mean, **more: Any) -> Subject:
    """Return an encoder of elements of width 3 as a subject."""
    torch.manual_seed(0)
    return Subject(encoder(WIDTH).double().eval(), WIDTH, **more)


def data_of(*sizes: int, sets: int = 2, kind: int = 0, seed: int = 1) -> ExampleData:
    """Return sets of elements of width 3, normal by default, in chunks of some sizes."""
    return ExampleData(Example(sizes=sizes or (2, 1), kinds=(kind,) * sets, seed=seed), WIDTH)


def check(law: str, encoder: Callable[[int], nn.Module], *sizes: int, seed: int = 1, **more: Any) -> Comparison:
    """Return what a law says about an encoder on two normal sets."""
    with torch.no_grad():
        return get_law(law).check(subject_of(encoder, **more), data_of(*sizes, seed=seed))


def results(encoder: type[nn.Module], *laws: str) -> list[LawResult]:
    """Return the results of laws on an encoder of elements of width 3, with a small budget."""
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=WIDTH, seed=0)
    return [checker.try_law(get_law(law), Budget(examples=64, min_examples=4)) for law in laws]


def holds(comparison: Comparison) -> bool:
    """Return True if no gap exceeds its bound."""
    return bool((comparison.gap <= comparison.bound).all())


def numbers(*values: float) -> Tensor:
    """Return numbers as a vector."""
    return torch.tensor(values, dtype=torch.float64)
