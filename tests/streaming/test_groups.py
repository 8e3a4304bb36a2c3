"""Many sets in one pass: from batches of rows, in Python."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mbcbench.errors import BrokenPluginError, UsageError
from mbcbench.protocol.build import build
from mbcbench.streaming import encode_groups, row_table
from mbcbench.streaming.group_rows import GroupRows, equal_size_batches
from tests.streaming import group_encoders
from tests.streaming.group_encoders import Sum

SIZES = [1, 1, 2, 2, 2, 3, 7, 7, 40, 90]  # elements per set
IDS = np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)) * 17 - 3, SIZES))
X = np.random.default_rng(1).standard_normal((len(IDS), 3)).astype(np.float32)
CUTS = [0, 1, 9, 9, 80, len(IDS)]  # of batches; one is empty
BATCHES = [(IDS[a:b], X[a:b]) for a, b in pairwise(CUTS)]


def encode_whole(module: nn.Module, encoded: pd.DataFrame) -> Tensor:
    """Return the encodings of the sets of a frame, each in one piece."""
    with torch.inference_mode():
        return torch.cat([module(torch.from_numpy(X[set_id == IDS])[None]) for set_id in encoded["id"]])


def assert_sets_are_encoded(module: nn.Module, encoded: pd.DataFrame) -> None:
    assert encoded["id"].tolist() == list(dict.fromkeys(IDS.tolist()))
    torch.testing.assert_close(torch.from_numpy(np.stack([*encoded["encoding"]])), encode_whole(module, encoded))


@pytest.mark.parametrize(
    "name", ["sse-random", "sse-deterministic-max", "sse-hierarchical", "attention-pooling", "umbc", "top-k", "moments"]
)
def test_each_set_is_encoded_as_if_it_were_alone(name: str) -> None:
    module = build(name, dim_in=3).eval()
    assert_sets_are_encoded(module, encode_groups(module, BATCHES))


@pytest.mark.parametrize("name", ["Sum", "WritesInPlace", "Views"])
def test_states_with_a_row_per_set_are_updated_together(name: str, caplog: pytest.LogCaptureFixture) -> None:
    module = getattr(group_encoders, name)()
    assert_sets_are_encoded(module, encode_groups(module, BATCHES))
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CountsChunks", "state['chunks'] does not keep its value, type or shape"),
        ("KeepsLast", "state['last'] does not keep its value, type or shape"),
        ("KeepsAll", "state['sum'] does not keep its value, type or shape"),
        ("SharesCount", "state['count'] does not have a row per set"),
        ("MixesSets", "a set is encoded in another way beside others than on its own"),
    ],
)
def test_other_states_are_updated_one_by_one(name: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    module = getattr(group_encoders, name)()
    assert_sets_are_encoded(module, encode_groups(module, BATCHES))
    assert f"{name}: {reason}; sets are encoded one at a time" in caplog.text


def test_a_state_that_loses_its_rows_late_is_updated_alone_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    module = group_encoders.GrowsLate()
    batches = [*BATCHES, (IDS[:5], X[:5] * 0 + 900), (IDS[:5], X[:5] * 0 + 900), *BATCHES]
    encoded = encode_groups(module, batches)
    rows = {set_id: sum(x[ids == set_id].sum(0) for ids, x in batches) for set_id in encoded["id"]}
    np.testing.assert_allclose(np.stack([*encoded["encoding"]]), np.stack([*rows.values()]), rtol=1e-4, atol=1e-4)
    assert "one at a time" in caplog.text


@pytest.mark.parametrize("memory", [1, 25, 40, 10**6])
def test_more_sets_than_memory_holds_are_encoded_in_passes(memory: int) -> None:
    module = Sum()
    assert_sets_are_encoded(module, encode_groups(module, BATCHES, memory=memory))


def test_batches_that_cannot_be_read_again_need_enough_memory() -> None:
    def batches() -> Iterator[tuple[Any, Any]]:
        yield from BATCHES

    assert_sets_are_encoded(Sum(), encode_groups(Sum(), batches()))
    with pytest.raises(UsageError, match="an iterator cannot be read again"):
        encode_groups(Sum(), batches(), memory=25)


def test_ids_are_text_or_whole_numbers_and_elements_are_arrays_or_tensors() -> None:
    texts = [[f"set {i}" for i in ids] for ids, _ in BATCHES]
    encoded = encode_groups(Sum(), [(ids, torch.from_numpy(x)) for ids, (_, x) in zip(texts, BATCHES, strict=True)])
    expected = encode_groups(Sum(), BATCHES)
    assert encoded["id"].tolist() == [f"set {i}" for i in expected["id"]]
    np.testing.assert_array_equal(np.stack([*encoded["encoding"]]), np.stack([*expected["encoding"]]))


@pytest.mark.parametrize(
    ("ids", "x", "message"),
    [
        ([1.5], X[:1], "the id 1.5 is a float; use whole numbers or text"),
        ([True], X[:1], "the id True is a bool"),
        ([None], X[:1], "row 0 .* has no id"),
        ([2**63], X[:1], "does not fit into int64"),
        ([1, 2], X[:1], r"ids \(2,\) and elements \(1, 3\)"),
        ([1], X[0], r"elements \(3,\)"),
        ([1], X[:1, :0], r"elements \(1, 0\)"),
    ],
)
def test_batches_of_another_kind_are_refused(ids: list[Any], x: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        encode_groups(Sum(), [(ids, x)])


def test_ids_of_two_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="numbers and text, 1 and 'a'"):
        encode_groups(Sum(), [([1], X[:1]), (["a"], X[:1])])


def test_no_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="no rows"):
        encode_groups(Sum(), [([], X[:0])])


def test_a_plain_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Plain is a plain module, .* make it a stream"):
        encode_groups(group_encoders.Plain(), BATCHES)


@pytest.mark.parametrize("batches", [BATCHES[1:], BATCHES])  # the first rows are many, or one
def test_an_encoder_that_breaks_the_law_is_refused_with_the_reason(batches: list[tuple[Any, Any]]) -> None:
    with pytest.raises(UsageError, match=r"ChunkMean breaks mbc\.partition: .*chunks"):
        encode_groups(group_encoders.ChunkMean(), batches)


def test_a_set_that_the_encoder_refuses_is_a_row_of_nan(caplog: pytest.LogCaptureFixture) -> None:
    encoded = encode_groups(group_encoders.NeedsTwo(), BATCHES)
    alone = [SIZES[(set_id + 3) // 17] == 1 for set_id in encoded["id"]]
    assert np.isnan(np.stack([*encoded["encoding"]])).all(1).tolist() == alone
    assert "has no encoding: NeedsTwo, readout: ValueError: a set has at least two elements" in caplog.text
    assert "2 sets have no encoding" in caplog.text


def test_an_encoder_that_refuses_all_sets_is_an_error() -> None:
    batches = [(np.arange(20), X[:20])]
    with pytest.raises(BrokenPluginError, match="at least two elements"):
        encode_groups(group_encoders.NeedsTwo(), batches)


def test_states_in_several_segments_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_table, "SEGMENT_BYTES", 40)  # three rows of three numbers
    assert_sets_are_encoded(Sum(), encode_groups(Sum(), BATCHES))


@pytest.mark.parametrize("bytes_per_set", [1, 2**21])
def test_batches_hold_each_row_once_and_in_order(bytes_per_set: int) -> None:
    codes, ids = pd.factorize(IDS)
    batches = list(equal_size_batches(GroupRows(ids.tolist(), codes, X), np.arange(len(ids)), bytes_per_set))
    for sets, x in batches:
        for number, elements in zip(sets, x, strict=True):
            np.testing.assert_array_equal(elements.numpy(), X[codes == number])
    assert sorted(np.concatenate([sets for sets, _ in batches])) == list(range(len(ids)))
    assert len(batches) == (6 if bytes_per_set == 1 else 7)  # six sizes; two states fit into a batch
