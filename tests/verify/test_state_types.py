"""The laws about slots and states read no attribute that the protocol does not promise."""

import dataclasses
from typing import Any, ClassVar

import pytest
from torch import Tensor

from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from tests.controls.base import Slots, Slotted

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


@pytest.mark.parametrize("kind", [dict, Data, tuple])
def test_a_state_may_be_a_dict_a_dataclass_or_a_tuple(kind: type) -> None:
    checker = Checker(type("Encoder", (Packed,), {"kind": kind}), dim_in=3)
    slots = Status.SKIP if kind is tuple else Status.PASS  # the fields of a tuple have no names
    for law in ("symmetry.slots", "substance.slots"):
        assert checker.try_law(get_law(law), BUDGET).status is slots
    for law in ("mbc.resume", "mbc.fork", "mbc.memory", "mbc.program"):
        assert checker.try_law(get_law(law), BUDGET).status is Status.PASS
