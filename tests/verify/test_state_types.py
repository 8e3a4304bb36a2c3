"""The laws about slots and states read no attribute that the protocol does not promise."""

import dataclasses
from typing import Any, ClassVar

import pytest
from torch import Tensor

from mbcbench import registry
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from tests.controls.base import Mean, Slots, Slotted

BUDGET = Budget(examples=64, min_examples=4)


@dataclasses.dataclass(frozen=True)
class Data:
    slots: Tensor
    total: Tensor


class Packed(Slots):
    """Slot attention whose state is a dict, a dataclass or a plain tuple."""

    kind: ClassVar[type] = dict

    def pack(self, state: Slotted) -> Any:
        if self.kind is tuple:
            return tuple(state)
        return self.kind(slots=state.slots, total=state.total)

    def unpack(self, state: Any) -> Slotted:
        if self.kind is tuple:
            return Slotted(*state)
        return Slotted(**state) if self.kind is dict else Slotted(state.slots, state.total)

    def init_state(self, batch_size: int) -> Any:
        return self.pack(super().init_state(batch_size))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return self.pack(super().update(self.unpack(state), x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        return self.pack(super().merge(self.unpack(a), self.unpack(b)))

    def readout(self, state: Any) -> Tensor:
        return super().readout(self.unpack(state))


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


def outcomes(encoder: type) -> dict[str, Status]:
    """Return the outcomes of all laws but the expensive one."""
    checker = Checker(encoder, dim_in=3)
    laws = registry.select(registry.LAWS, None, ["mbc.large"])
    return {law: checker.try_law(get_law(law), BUDGET).status for law in laws}


@pytest.mark.parametrize("kind", [dict, Data, tuple])
def test_a_state_may_be_a_dict_a_dataclass_or_a_tuple(kind: type) -> None:
    statuses = outcomes(type("Encoder", (Packed,), {"kind": kind}))
    assert not {Status.FAIL, Status.ERROR} & set(statuses.values()), statuses
    slots = Status.SKIP if kind is tuple else Status.PASS  # the fields of a tuple have no names
    assert statuses["symmetry.slots"] is slots
    assert statuses["substance.slots"] is slots


def test_slots_may_be_a_number() -> None:
    statuses = outcomes(CountsSlots)
    assert not {Status.FAIL, Status.ERROR} & set(statuses.values()), statuses
    assert statuses["symmetry.slots"] is Status.SKIP
