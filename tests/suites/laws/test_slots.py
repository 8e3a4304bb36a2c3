"""The law of slots: which outputs it permutes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws.symmetry import SLOTS
from mbcbench.verify.example import Example, ExampleData
from tests.controls.base import SLOTS as NUM_SLOTS
from tests.controls.base import Slots
from tests.verify.helpers import WIDTH as DIM_IN
from tests.verify.helpers import holds, subject_of


class PooledSlots(Slots):
    """One number for each slot or feature, as a vector."""

    def pooled(self, total: Tensor) -> Tensor:
        return total.sum(1)[:, :NUM_SLOTS]

    def readout(self, state: Any) -> Tensor:
        return self.pooled(state.total)


class MatrixOfSlots(PooledSlots):
    """Products of features over slots, `B x 4 x 3`."""

    def pooled(self, total: Tensor) -> Tensor:
        return (total.transpose(1, 2) @ total)[:, :, :NUM_SLOTS]


class InvariantToSlots(PooledSlots):
    """Products of features over slots, `B x 3 x 3`: the axis with as many entries as there are slots is not theirs."""

    def pooled(self, total: Tensor) -> Tensor:
        return (total.transpose(1, 2) @ total)[:, :NUM_SLOTS, :NUM_SLOTS]


class DeepSlots(PooledSlots):
    """Each slot as a matrix, `B x 3 x 2 x 2`."""

    def pooled(self, total: Tensor) -> Tensor:
        return total.reshape(*total.shape[:2], 2, 2)


@pytest.mark.parametrize("encoder", [Slots, PooledSlots, MatrixOfSlots, InvariantToSlots, DeepSlots])
def test_outputs_are_permuted_with_the_slots_if_they_have_an_axis_of_slots(encoder: type[nn.Module]) -> None:
    data = ExampleData(Example(sizes=(2, 1), kinds=(0, 0), seed=0), DIM_IN)
    with torch.no_grad():
        assert holds(SLOTS.check(subject_of(encoder), data))
    permutation = data.choices["permutation of the slots"].tolist()
    assert sorted(permutation) == list(range(NUM_SLOTS)) != permutation


def test_a_vector_with_an_entry_for_each_slot_is_not_permuted() -> None:
    class FirstFeature(PooledSlots):
        def pooled(self, total: Tensor) -> Tensor:
            return total[:, :, 0]

    data = ExampleData(Example(sizes=(2,), seed=0), DIM_IN)
    with torch.no_grad():
        assert not holds(SLOTS.check(subject_of(FirstFeature), data))
