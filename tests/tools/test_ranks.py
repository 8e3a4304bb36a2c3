"""The model of one set over several ranks."""

import math

import pytest
from ranks import predict_merging, state_bytes

from mbcbench.protocol.build import build


@pytest.mark.parametrize(("ranks", "merges"), [(1, 0), (2, 1), (3, 2), (8, 3), (64, 6), (1000, 10)])
def test_on_a_machine_each_the_merges_of_a_level_take_the_time_of_one(ranks: int, merges: int) -> None:
    assert predict_merging(0.5, ranks, math.inf) == 0.5 * merges


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 8, 31, 32])
def test_on_one_core_all_merges_follow_one_another(ranks: int) -> None:
    assert predict_merging(1.0, ranks, 1) == ranks - 1


def test_two_cores_share_the_merges_of_a_level() -> None:
    assert predict_merging(1.0, 8, 2) == 2 + 1 + 1


def test_what_is_sent_has_the_size_of_the_state() -> None:
    slots = 16 * 64 * 4
    assert 2 * slots < state_bytes(build("sse-random", dim_in=16)) < 2 * slots + 1000
