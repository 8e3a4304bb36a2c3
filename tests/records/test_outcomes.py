"""Outcomes of single test items, packed as text."""

import base64
import json
import tracemalloc
import zlib

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mbcbench.records.outcomes import pack, unpack


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_booleans_survive_packing(count: int) -> None:
    outcomes = np.random.default_rng(0).random(count) < 0.8

    restored = unpack(pack(outcomes))

    assert restored.dtype == np.bool_
    np.testing.assert_array_equal(restored, outcomes)


@pytest.mark.parametrize("count", [0, 1, 320])
def test_numbers_survive_packing_in_half_precision(count: int) -> None:
    outcomes = np.random.default_rng(0).normal(size=count)

    restored = unpack(pack(outcomes))

    assert restored.dtype == np.float16
    np.testing.assert_array_equal(restored, outcomes.astype(np.float16))


def test_nan_and_infinity_survive_packing() -> None:
    np.testing.assert_array_equal(unpack(pack([np.nan, np.inf, -np.inf])), [np.nan, np.inf, -np.inf])


def test_lists_and_whole_numbers_can_be_packed() -> None:
    assert unpack(pack([True, False])).tolist() == [True, False]
    assert unpack(pack([1, 2])).tolist() == [1.0, 2.0]


def test_packed_outcomes_are_short_text_in_ascii() -> None:
    outcomes = np.random.default_rng(0).random(4000) < 0.9

    text = pack(outcomes)

    assert text.startswith("b:4000:")
    assert text.isascii()
    assert len(text) < 4000 / 8 * 4 / 3
    assert json.loads(json.dumps(text)) == text


def test_equal_outcomes_give_equal_text() -> None:
    assert pack([True, False, True]) == pack(np.array([True, False, True]))


def test_unpacked_outcomes_can_be_changed() -> None:
    for outcomes in ([True, False], [0.5, 1.5]):
        unpacked = unpack(pack(outcomes))
        unpacked[0] = 0
        assert unpacked.tolist() == [0, outcomes[1]]


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ([[True, False]], r"shape \(1, 2\)"),
        (["yes", "no"], "give booleans or real numbers"),
        ([1j], "complex128"),
        ([1.0, 1e6], "1e.06 is beyond half precision"),
    ],
)
def test_other_values_are_refused(outcomes: ArrayLike, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(outcomes)


@pytest.mark.parametrize(
    "text",
    ["", "x:3:abcd", "b:3", "b:-1:eJw=", "b:³:eJw=", "b:3:!!", "f:2:eJw=", pack([True] * 9).replace("9", "3", 1)],
)
def test_damaged_text_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="packed outcomes") as raised:
        unpack(text)

    assert "\n" not in str(raised.value)


def test_text_without_its_checksum_is_refused() -> None:
    data = zlib.compress(np.packbits([True] * 9).tobytes())
    assert unpack(f"b:9:{base64.b64encode(data).decode()}").all()
    with pytest.raises(ValueError, match="packed outcomes are damaged: they are cut off"):
        unpack(f"b:9:{base64.b64encode(data[:-4]).decode()}")


def test_text_that_unpacks_to_more_than_it_says_needs_no_memory_for_it() -> None:
    bomb = base64.b64encode(zlib.compress(bytes(10**8))).decode()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="2 bytes for 8 items, expected 1"):
            unpack(f"b:8:{bomb}")
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
