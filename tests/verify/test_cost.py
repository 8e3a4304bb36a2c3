"""Sets that are too large for an encoder are left out of a law, and no others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.cost import measure_encoder
from mbcbench.verify.example import Example
from mbcbench.verify.law import get_law
from mbcbench.verify.law_run import LawRun
from tests.controls.base import Mean
from tests.controls.sizes import SetFunction
from tests.verify.helpers import subject_of


class Triples(SetFunction):
    """The mean over all triples of elements."""

    def pool(self, features: Tensor) -> Tensor:
        pairs = features[:, :, None] * features[:, None]
        return (pairs[:, :, :, None] + features[:, None, None]).tanh().mean((1, 2, 3))


class ElementByElement(Mean):
    """A mean with a loop over elements, each of which takes many operations."""

    def features(self, x: Tensor) -> Tensor:
        columns = []
        for column in x.unbind(1):
            features = super().features(column)
            for _ in range(20):
                features = (2 * features).tanh()
            columns.append(features)
        return torch.stack(columns, 1) if columns else super().features(x)


class RefusesLargeSets(Mean):
    """Cannot be called for 128 elements."""

    def features(self, x: Tensor) -> Tensor:
        if x.shape[1] >= 128:
            raise RuntimeError("the table has 128 rows")
        return super().features(x)


class PairsInBlocks(SetFunction):
    """The mean over all pairs, with little memory at a time."""

    def pool(self, features: Tensor) -> Tensor:
        blocks = [(block[:, :, None] + features[:, None]).tanh().sum((1, 2)) for block in torch.split(features, 8, 1)]
        return torch.stack(blocks).sum(0) / features.shape[1] ** 2


@pytest.mark.parametrize(
    ("encoder", "n", "is_tried"),
    [
        (Triples, 128, True),
        (Triples, 600, False),
        (ElementByElement, 600, True),
        (ElementByElement, 66_001, False),
        (Mean, 66_001, True),
        (RefusesLargeSets, 129, True),
    ],
)
def test_a_set_is_left_out_if_it_takes_too_much_memory_or_too_many_operations(
    encoder: type[nn.Module], n: int, is_tried: bool
) -> None:
    run: Any = LawRun(get_law("hygiene.determinism"), [subject_of(encoder)])
    with torch.no_grad():
        observation = run.try_example(Example(sizes=(n,)))
    assert observation.is_applicable == is_tried
    assert is_tried or observation.note == f"sets of {n} elements would take too much memory or too many operations"
    assert bool(observation.error) == (encoder is RefusesLargeSets)


def test_an_encoder_of_triples_keeps_laws_that_try_large_sets() -> None:
    checker = Checker(EncoderSpec(name="triples", factory=Triples), dim_in=3)
    for law in ("hygiene.determinism", "symmetry.batch", "hygiene.inputs"):
        assert checker.judge(law, Budget(examples=200)).status is Status.PASS


@pytest.mark.parametrize(("n", "is_tried"), [(1024, True), (16_384, False), (65_537, False)])
def test_a_size_is_left_out_if_many_small_results_take_too_long(n: int, is_tried: bool) -> None:
    run: Any = LawRun(get_law("symmetry.size"), [subject_of(PairsInBlocks)])
    observation = run.try_example(Example(sizes=(n,)))
    assert observation.is_applicable == is_tried
    assert is_tried or observation.note == f"{n} elements in one piece would take too much memory or time"


class TopHundred(nn.Module):
    """The mean of the hundred largest elements, in each coordinate."""

    min_size = 100

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.topk(100, dim=1).values.mean(1)


def test_costs_are_measured_on_sets_that_an_encoder_admits() -> None:
    subject = Checker(EncoderSpec(name="top", factory=TopHundred), dim_in=3).subjects()[0]
    costs = measure_encoder(subject)
    assert costs is not None
    assert costs.size == 100
    assert costs.predict(200) == costs.large
    with torch.no_grad():
        assert LawRun(get_law("symmetry.size"), [subject]).try_example(Example(sizes=(4096,))).ratio < 1
