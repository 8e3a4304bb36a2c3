"""Encoding on a device: what does not need one. Copies are made at once here, or as late as they may be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mbcbench.errors import UsageError
from mbcbench.streaming import device
from mbcbench.streaming.device import iter_device_chunks
from mbcbench.streaming.encode import EncodeOptions, Encoding, open_encoding
from mbcbench.streaming.sources import open_source

X = np.random.default_rng(0).standard_normal((103, 3)).astype(np.float32)
FLOAT32 = np.dtype(np.float32)


def npy(folder: Path, x: np.ndarray = X) -> Path:
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


def hdf5(folder: Path, x: np.ndarray = X) -> Path:
    with pytest.importorskip("h5py").File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(20, 3))
    return folder / "x.h5"


class LateLink(device._NoLink):
    """Copies only when it is waited for, as a busy device may."""

    def __init__(self, device: torch.device) -> None:
        self.pending: dict[int, tuple[Tensor, Tensor]] = {}

    def wait_until_copied(self, buffer: Tensor) -> None:
        if buffer.data_ptr() in self.pending:
            target, elements = self.pending.pop(buffer.data_ptr())
            target.copy_(elements)

    def copy(self, elements: Tensor, buffer: Tensor) -> Tensor:
        assert buffer.data_ptr() not in self.pending, "the buffer is in use"
        self.pending[buffer.data_ptr()] = (torch.full_like(elements, torch.nan), elements)
        return self.pending[buffer.data_ptr()][0]


@pytest.mark.parametrize("write", [npy, hdf5])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("start", "size"), [(0, 14), (33, 7), (0, 103), (100, 1000), (2, 1)])
def test_chunks_are_the_elements_in_order(
    write: Callable[[Path], Path], threads: int, start: int, size: int, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path))
    chunks = list(iter_device_chunks(source, start, size, dtype=FLOAT32, device=torch.device("cpu"), threads=threads))
    assert [chunk.start for chunk in chunks] == list(range(start, len(X), size))
    np.testing.assert_array_equal(torch.cat([chunk.x[0] for chunk in chunks]).numpy(), X[start:])


def test_a_buffer_is_not_overwritten_before_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links: list[LateLink] = []

    def late_link(device: torch.device) -> LateLink:
        links.append(LateLink(device))
        return links[-1]

    monkeypatch.setattr(device, "_CudaLink", late_link)
    source = open_source(npy(tmp_path))
    chunks = list(iter_device_chunks(source, 0, 10, dtype=FLOAT32, device=torch.device("cuda"), threads=2))
    for copied, elements in links[0].pending.values():
        copied.copy_(elements)
    np.testing.assert_array_equal(torch.cat([chunk.x[0] for chunk in chunks]).numpy(), X)


@pytest.mark.parametrize("write", [npy, hdf5])
def test_the_first_row_that_is_not_finite_is_named(write: Callable[[Path, np.ndarray], Path], tmp_path: Path) -> None:
    x = X.copy()
    x[57, 1] = np.nan
    source, cpu = open_source(write(tmp_path, x)), torch.device("cpu")
    with pytest.raises(UsageError, match="row 57"):
        list(iter_device_chunks(source, 0, 20, dtype=FLOAT32, device=cpu, threads=3))
    chunks = iter_device_chunks(source, 0, 20, dtype=FLOAT32, device=cpu, threads=3, allow_nonfinite=True)
    assert torch.cat([chunk.x[0] for chunk in chunks]).isnan().sum() == 1


@pytest.fixture
def as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a device, on the CPU."""
    monkeypatch.setattr(Encoding, "_is_on_cpu", False)


def encode(path: Path, **more: Any) -> Tensor:
    options = EncodeOptions(path=path, encoder="sse-random", chunk=10, threads=2, **more)
    with options.torch_settings:
        encoding = open_encoding(options)
        assert encoding.consistency_warning() is None
        for _ in encoding.steps():
            pass
        return encoding.result()


def test_the_encoding_on_a_device_is_that_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npy(tmp_path)
    expected = encode(path)
    monkeypatch.setattr(Encoding, "_is_on_cpu", False)
    torch.testing.assert_close(encode(path), expected)


@pytest.mark.usefixtures("as_on_a_device")
def test_an_encoding_on_a_device_continues_from_its_checkpoint(tmp_path: Path) -> None:
    path, state = npy(tmp_path), tmp_path / "state"
    options = EncodeOptions(path=path, encoder="sse-random", chunk=10, threads=2, checkpoint=state, seconds=0)
    with options.torch_settings:
        first = open_encoding(options)
        steps = first.steps()
        assert [next(steps) for _ in range(4)] == [10, 20, 30, 40]
        steps.close()
    resumed = EncodeOptions(**{**vars(options), "resume": True})
    with resumed.torch_settings:
        second = open_encoding(resumed)
        assert second.start.elements == 40
        for _ in second.steps():
            pass
        assert torch.equal(second.result(), encode(path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torch sees no CUDA device here; use --device cpu"):
        encode(npy(tmp_path), device="cuda")
