"""States are values: they map, count, and survive a round trip through bytes."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mbcbench.errors import MALFORMED
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


@pytest.mark.parametrize(
    "keys", [(1, 2, 3), ("1", 1), (None, True, 2.5), ((0, "a"), (0, ("b", 1))), ("sum", (1,))], ids=repr
)
def test_keys_of_a_dict_keep_their_types(keys: tuple[Any, ...]) -> None:
    state = {key: (torch.full((2,), float(number)), number) for number, key in enumerate(keys)}
    loaded: Any = pytree.from_bytes(pytree.to_bytes(state), like={})
    assert list(loaded) == list(keys)
    assert [type(key) for key in loaded] == [type(key) for key in keys]
    assert [value[1] for value in loaded.values()] == list(range(len(keys)))


def test_a_key_that_is_not_a_plain_value_is_named() -> None:
    with pytest.raises(TypeError, match="not dtype"):
        pytree.to_bytes({torch.float32: 1})


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_complex_tensor_survives(dtype: torch.dtype) -> None:
    state = [torch.tensor([[1 + 2j, 3j]], dtype=dtype), torch.tensor(2j, dtype=dtype), torch.zeros(2, 0, dtype=dtype)]
    state.append(state[0].conj())
    loaded: Any = pytree.from_bytes(pytree.to_bytes(state), like=None)
    assert [tensor.dtype for tensor in loaded] == [dtype] * 4
    assert [tensor.tolist() for tensor in loaded] == [tensor.resolve_conj().tolist() for tensor in state]


def test_a_tensor_that_cannot_be_saved_is_named() -> None:
    with pytest.raises(TypeError, match="sparse_coo"):
        pytree.to_bytes(torch.eye(2).to_sparse())


@pytest.mark.parametrize("like", [None, [], (), {}, (None,), Data(torch.ones(1), "x"), torch.ones(2)], ids=repr)
def test_types_that_a_fresh_state_does_not_have_are_restored(like: Any) -> None:
    state = [example(), (Data(torch.ones(2), "x"), [1], (2,))]
    loaded: Any = pytree.from_bytes(pytree.to_bytes(state), like=like)
    assert [type(part) for part in (loaded, *loaded, *loaded[1])] == [list, Named, tuple, Data, list, tuple]
    assert loaded[0].number == 7
    assert loaded[1][0].label == "x"
    with_slots = Counted(torch.ones(2))
    with_slots.largest = torch.tensor(4.0)
    restored: Any = pytree.from_bytes(pytree.to_bytes(with_slots), like=like)
    assert (type(restored), restored.count, restored.largest.item()) == (Counted, 0, 4)


def test_a_type_that_is_not_loaded_is_that_of_the_fresh_state_or_a_plain_one() -> None:
    class Local(NamedTuple):
        total: Tensor

    @dataclass
    class LocalData:
        total: int

    saved = pytree.to_bytes([Local(torch.ones(1)), LocalData(3)])
    assert isinstance(pytree.from_bytes(saved, like=[Local(torch.ones(1)), None])[0], Local)
    assert pytree.from_bytes(saved, like=None) == [(torch.ones(1),), {"total": 3}]


def saved_as(structure: str, *tensors: Tensor) -> bytes:
    named = {str(number): tensor for number, tensor in enumerate(tensors)}
    return safetensors.torch.save(named or {"": torch.empty(0)}, metadata={"state": structure})


def test_states_of_earlier_versions_are_read() -> None:
    items = '{"items": [{"tensor": "0"}, {"value": 7}, {"fields": {"a": {"tensor": "1"}}}]}'
    fields = '{"fields": {"value": {"tensor": "0"}, "label": {"value": "x"}}}'

    def load(structure: str, like: Any) -> Any:
        return pytree.from_bytes(saved_as(structure, torch.tensor(3.0), torch.ones(2)), like=like)

    named = load(items, example())
    assert isinstance(named, Named)
    assert (named.total.item(), named.number, named.inner["a"].tolist()) == (3, 7, [1, 1])
    fresh: list[Any] = [None, [], (0,)]
    assert [type(load(items, like)) for like in fresh] == [list, list, tuple]
    assert load(fields, Data(torch.ones(1), "")) == Data(torch.tensor(3.0), "x")
    assert load(fields, None).keys() == {"value", "label"}
    native: Any = pytree.from_bytes(saved_as('{"tensor": "0"}', torch.ones(1, dtype=torch.complex64)), like=None)
    assert native.is_complex()


@pytest.mark.parametrize(
    "structure",
    [
        '{"pairs": 3}', '{"pairs": [3]}', '{"pairs": [[{}, {"value": 1}]]}', '{"pairs": [[[[]], {"value": 1}, 1]]}',
        '{"tensor": "0", "complex": true}', '{"items": [], "type": 3}', '{"items": [], "type": ["list"]}',
        '{"items": [], "type": "tests.protocol.test_state:Named"}', '{"fields": {}, "type": 3}',
    ],
)  # fmt: skip
def test_malformed_states_raise_what_readers_expect(structure: str) -> None:
    with pytest.raises(MALFORMED):
        pytree.from_bytes(saved_as(structure, torch.ones(3)), like=None)


@dataclass
class Gadget:
    """Code in constructors, operators and destructors of types is not run by reading a state."""

    label: str

    def __post_init__(self) -> None:
        raise AssertionError("called")

    def __del__(self) -> None:
        pass


@pytest.mark.parametrize(
    "name",
    [f"{__name__}:Gadget", "builtins:exit", "os:system", "subprocess:Popen", f"{__name__}:pytree.sys", "x:", ":"],
)
def test_a_name_in_a_state_runs_no_code(name: str) -> None:
    fields = f'{{"fields": {{"label": {{"value": "x"}}}}, "type": "{name}"}}'
    assert pytree.from_bytes(saved_as(fields), like=None) == {"label": "x"}
    assert pytree.from_bytes(saved_as(f'{{"items": [{{"value": 1}}], "type": "{name}"}}'), like=None) == (1,)


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
