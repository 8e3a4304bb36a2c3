"""Blocks of a set, and concurrent work on them."""

import threading
from pathlib import Path

import numpy as np
import pytest

from mbcbench.streaming.blocks import iter_blocks
from mbcbench.streaming.sources import open_source
from mbcbench.streaming.threads import concurrent_map
from tests.processes import PATIENCE
from tests.streaming.files import X, npy


def test_writing_into_a_block_does_not_change_the_file(tmp_path: Path) -> None:
    source = open_source(npy(tmp_path / "x"))
    for block in iter_blocks(source, 0, 50, dtype=np.dtype(np.float32)):
        next(block.chunks(50))[1][:] = 0
    np.testing.assert_array_equal(np.load(source.path), X)


def test_results_and_errors_come_in_the_order_of_the_items() -> None:
    second_item_done = threading.Event()

    def compute(worker: str, item: int) -> int:
        if item == 0:
            assert second_item_done.wait(PATIENCE)
        if item == 1:
            second_item_done.set()
        return 1 // (5 - item)

    results = concurrent_map(compute, "ab", range(9), in_flight=3)
    assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
