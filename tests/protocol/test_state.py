"""States are values: they map, count, and survive a round trip through bytes."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from mbcbench.protocol import state as pytree


class Named(NamedTuple):
    total: Tensor
    number: int
    inner: dict[str, Tensor]


@dataclass(frozen=True)
class Data:
    value: Tensor
    label: str


@dataclass(slots=True)
class Counted:
    total: Tensor
    count: int = field(init=False, default=0)
    largest: Tensor = field(init=False)


def example() -> Named:
    return Named(torch.arange(3.0), 7, {"a": torch.ones(2, 2), "b": torch.zeros(0)})


def test_mapping_keeps_types_and_plain_values() -> None:
    doubled = pytree.map_state(lambda t: 2 * t, (example(), [Data(torch.ones(1), "x"), None]))
    assert isinstance(doubled[0], Named)
    assert doubled[0].number == 7
    assert doubled[0].total.tolist() == [0, 2, 4]
    assert doubled[1][0] == Data(torch.tensor([2.0]), "x")
    assert doubled[1][1] is None


def test_a_field_that_is_no_argument_of_the_constructor_is_mapped_replaced_and_restored() -> None:
    state = Counted(torch.ones(2))
    state.count, state.largest = 3, torch.tensor(4.0)
    copied = pytree.map_state(lambda t: 2 * t, state)
    assert (copied.total.tolist(), copied.count, copied.largest.item()) == ([2, 2], 3, 8)
    assert pytree.replace_leaves(state, {1: 5, 2: torch.tensor(6.0)}).count == 5
    like = Counted(torch.zeros(2))
    like.largest = torch.tensor(0.0)
    restored = pytree.from_bytes(pytree.to_bytes(state), like=like)
    assert isinstance(restored, Counted)
    assert (restored.count, restored.largest.item()) == (3, 4)


def test_a_mapping_keeps_its_type_and_what_it_does_for_a_missing_key() -> None:
    state: defaultdict[str, Any] = defaultdict(int, sum=torch.ones(1))
    for copied in (pytree.clone(state), pytree.from_bytes(pytree.to_bytes(state), like=state)):
        assert copied["count"] == 0
        assert copied["sum"].tolist() == [1]


def test_nbytes_counts_tensors_and_eight_for_each_plain_value() -> None:
    assert pytree.nbytes(example()) == 3 * 4 + 8 + 4 * 4


def test_clone_shares_no_memory() -> None:
    state = example()
    pytree.clone(state).total.add_(1)
    assert state.total.tolist() == [0, 1, 2]


def test_bytes_round_trip_restores_structure_values_and_types() -> None:
    state = (example(), Data(torch.tensor([1, 2], dtype=torch.int64), "x"), [torch.tensor(True)], None)
    loaded = pytree.from_bytes(pytree.to_bytes(state), like=state)
    assert isinstance(loaded[0], Named)
    assert loaded[0].inner["b"].shape == (0,)
    assert loaded[0].number == 7
    assert isinstance(loaded[1], Data)
    assert (loaded[1].value.tolist(), loaded[1].label) == ([1, 2], "x")
    assert loaded[2][0].dtype is torch.bool
    assert loaded[3] is None


def test_a_state_that_has_grown_since_the_start_is_restored_whole() -> None:
    grown = (torch.ones(2), [torch.zeros(1), torch.ones(1)], 3)
    fresh: Any = (None, [], 0)
    loaded = pytree.from_bytes(pytree.to_bytes(grown), like=fresh)
    assert loaded[2] == 3
    assert [t.tolist() for t in pytree.tensors(loaded)] == [[1, 1], [0], [1]]


def test_a_state_without_tensors_survives_too() -> None:
    assert pytree.from_bytes(pytree.to_bytes((None, 0)), like=(None, 0)) == (None, 0)


def test_a_leaf_that_is_neither_tensor_nor_plain_value_is_named() -> None:
    with pytest.raises(TypeError, match="not object"):
        pytree.to_bytes((object(),))


def test_a_file_holds_the_same_as_bytes(tmp_path: Path) -> None:
    state = (example(), Data(torch.tensor([1, 2]), "x"), [torch.tensor(True)], None)
    pytree.write_file(state, tmp_path / "state")
    loaded = pytree.read_file(tmp_path / "state", like=state)
    assert isinstance(loaded[0], Named)
    assert isinstance(loaded[1], Data)
    assert pytree.to_bytes(loaded) == pytree.to_bytes(state)


def test_a_file_may_hold_no_tensors(tmp_path: Path) -> None:
    pytree.write_file({"a": 1}, tmp_path / "state")
    assert pytree.read_file(tmp_path / "state", like={}) == {"a": 1}
