"""Chunks that are encoded at the same time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mbcbench.streaming.encode import EncodeOptions, Encoding, open_encoding
from tests.streaming.conftest import ENCODERS
from tests.streaming.files import X


def open_with_two_threads(folder: Path, encoder: str, **options: Any) -> Encoding:
    path = folder / "x.npy"
    if not path.exists():  # its time is part of what a checkpoint depends on
        np.save(path, X)
    return open_encoding(EncodeOptions(path=path, encoder=encoder, chunk=5, threads=2, **options))


def finish(encoding: Encoding) -> torch.Tensor:
    assert list(encoding.steps())[-1] == len(X)
    return encoding.result()


@pytest.fixture(autouse=True)
def blocks_of_ten_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbcbench.streaming.encode.BLOCK_NUMBERS", 10 * X.shape[1])


@pytest.mark.parametrize("encoder", ["sse-random", "sse-random-max", "deepsets-mean", "umbc", "variance"])
def test_concurrent_chunks_give_the_encoding_of_the_set(tmp_path: Path, encoder: str) -> None:
    encoding = open_with_two_threads(tmp_path, encoder)
    assert encoding.concurrency == 2
    with torch.inference_mode():
        expected = encoding.encoder.module(torch.from_numpy(X)[None])[0]
    torch.testing.assert_close(finish(encoding), expected)
    assert torch.equal(finish(open_with_two_threads(tmp_path, encoder)), encoding.result())


def test_concurrent_chunks_resume_from_a_checkpoint_with_the_same_bits(tmp_path: Path) -> None:
    expected = finish(open_with_two_threads(tmp_path, "sse-random"))
    first = open_with_two_threads(tmp_path, "sse-random", checkpoint=tmp_path / "state")
    steps = first.steps()
    assert [next(steps) for _ in range(3)] == [10, 20, 30]
    first.save_checkpoint()
    steps.close()
    second = open_with_two_threads(tmp_path, "sse-random", checkpoint=tmp_path / "state", resume=True)
    assert second.start.elements == 30
    assert torch.equal(finish(second), expected)


@pytest.mark.parametrize("fault", ["a", "a / 0", "raise RuntimeError"])
def test_an_encoder_that_cannot_merge_encodes_its_chunks_in_turn(folder: Path, fault: str) -> None:
    body = fault if fault.startswith("raise") else f"return {fault.replace('a', 'a[chr(115) + chr(117) + chr(109)]')}"
    (folder / "mine.py").write_text(ENCODERS + f"    def merge(self, a, b):\n        {body}\n")
    encoding = open_with_two_threads(folder, "mine.py:Sum")
    assert encoding.concurrency == 1
    torch.testing.assert_close(finish(encoding)[2:], torch.from_numpy(X[-1]))
