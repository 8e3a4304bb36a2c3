"""Sound twins of the controls: encoders that are close to a fault, and keep the law that names it."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.law_result import LawResult
from tests.controls.base import SLOTS, WIDTH, Mean, Slots, Slotted
from tests.controls.masks import TightLayer, ZeroForAbsentSet
from tests.controls.sizes import SetFunction, ZeroForOneElement
from tests.controls.training import BatchNormOverSets, LayerNormOverFeatures

BUDGET = Budget(examples=64, min_examples=4)
EXPENSIVE = ("mbc.large",)


def results(encoder: type[nn.Module], *laws: str) -> list[LawResult]:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    return [checker.try_law(get_law(law), BUDGET) for law in laws]


class FixedMask(Mean):
    """A mean that heeds its mask in every chunk."""


@pytest.mark.parametrize(
    ("encoder", "law"),
    [
        (FixedMask, "mbc.mask"),
        (ZeroForAbsentSet, "symmetry.padding"),
        (TightLayer, "symmetry.padding"),
        (ZeroForOneElement, "hygiene.finite"),
        (SetFunction, "symmetry.size"),
        (LayerNormOverFeatures, "symmetry.train"),
    ],
)
def test_a_sound_twin_keeps_the_law(encoder: type[nn.Module], law: str) -> None:
    (result,) = results(encoder, law)
    assert result.status is Status.PASS, result


class BatchNormSum(BatchNormOverSets):
    """Normalises over the batch in train mode; (f, sum) is consistent in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        encoding: Tensor = self.norm(self.phi(x).transpose(1, 2)).tanh().sum(2)
        return encoding


def test_batch_norm_is_a_failure_and_no_error() -> None:
    on_streams, on_batches = results(BatchNormSum, "mbc.train", "symmetry.train")
    assert (on_streams.status, on_batches.status) == (Status.FAIL, Status.FAIL)


class TrainedSpread(Slots):
    """Slots with a spread that acts in train mode only."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.spread = nn.Parameter(torch.ones(()))

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        if not self.training:
            return state
        noise = torch.randn(batch_size, SLOTS, WIDTH).to(self.slots.dtype)
        return Slotted(state.slots + self.spread * noise, state.total)


class DeadSpread(TrainedSpread):
    """Its faulty twin: no gradient reaches the spread."""

    def init_state(self, batch_size: int) -> Any:
        slots = self.slots.expand(batch_size, -1, -1)
        if self.training:
            slots = slots + torch.randn(slots.shape).to(slots.dtype) * self.spread.detach()
        return Slotted(slots, torch.zeros_like(slots))


def test_a_parameter_that_acts_in_train_mode_only_is_not_dead() -> None:
    (alive,), (dead,) = (results(encoder, "substance.parameters") for encoder in (TrainedSpread, DeadSpread))
    assert alive.status is Status.PASS
    assert dead.status is Status.FAIL
    assert dead.search is not None
    assert dead.search.counterexample is not None
    assert dead.search.counterexample.note == "no gradient: spread"


class DictSlots(Slots):
    """A state that is a dict."""

    def init_state(self, batch_size: int) -> Any:
        return super().init_state(batch_size)._asdict()

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(Slotted(**state), x, mask)._asdict()

    def merge(self, a: Any, b: Any) -> Any:
        return super().merge(Slotted(**a), Slotted(**b))._asdict()

    def readout(self, state: Any) -> Tensor:
        return super().readout(Slotted(**state))


@dataclass(frozen=True)
class SlotState:
    slots: Tensor
    total: Tensor


class DataclassSlots(Slots):
    """A state that is a dataclass."""

    def init_state(self, batch_size: int) -> Any:
        return SlotState(*super().init_state(batch_size))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return SlotState(*super().update(state, x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        return SlotState(a.slots, a.total + b.total)


class TupleSlots(Slots):
    """A state that is a tuple, without names."""

    def init_state(self, batch_size: int) -> Any:
        return tuple(super().init_state(batch_size))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return tuple(super().update(Slotted(*state), x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        return tuple(super().merge(Slotted(*a), Slotted(*b)))

    def readout(self, state: Any) -> Tensor:
        return super().readout(Slotted(*state))


class CountsSlots(Mean):
    """A state in which `slots` is a number."""

    def init_state(self, batch_size: int) -> Any:
        return {**super().init_state(batch_size)._asdict(), "slots": 3}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        return {"total": state["total"] + part.total, "number": state["number"] + part.number, "slots": state["slots"]}

    def merge(self, a: Any, b: Any) -> Any:
        return {"total": a["total"] + b["total"], "number": a["number"] + b["number"], "slots": a["slots"]}

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state["total"] / state["number"].clamp(min=1).unsqueeze(1)
        return mean


@pytest.mark.parametrize("encoder", [DictSlots, DataclassSlots, TupleSlots, CountsSlots])
def test_a_state_may_be_a_dict_a_dataclass_or_a_tuple(encoder: type[nn.Module]) -> None:
    laws = [law for law in registry.plugins(registry.LAWS) if law not in EXPENSIVE]
    outcomes = dict(zip(laws, results(encoder, *laws), strict=True))
    unexpected = (Status.FAIL, Status.ERROR)
    assert not {law: result for law, result in outcomes.items() if result.status in unexpected}
    slots = Status.PASS if encoder in (DictSlots, DataclassSlots) else Status.SKIP
    assert outcomes["symmetry.slots"].status is slots
    assert outcomes["substance.slots"].status is slots
