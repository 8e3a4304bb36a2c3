"""Files that are made to do harm: they execute nothing, reach no other file, and allocate no more than a limit."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mbcbench.errors import UsageError
from mbcbench.streaming.sources import open_source


class Exploit:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


def npy_bytes(header: str) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def header(shape: object, descr: str = "<f4") -> str:
    return str({"descr": descr, "fortran_order": False, "shape": shape})


def npy_object(path: Path, exploit: Exploit) -> Path:
    np.save(path.with_suffix(".npy"), np.array([[exploit]], dtype=object), allow_pickle=True)
    return path.with_suffix(".npy")


def npz_object(path: Path, exploit: Exploit) -> Path:
    np.savez(path.with_suffix(".npz"), np.array([[exploit]], dtype=object), allow_pickle=True)
    return path.with_suffix(".npz")


def npy_that_is_an_archive(path: Path, exploit: Exploit) -> Path:
    return npz_object(path, exploit).rename(path.with_suffix(".npy"))


def torch_object(path: Path, exploit: Exploit) -> Path:
    torch.save({"x": exploit}, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def torch_pickle(path: Path, exploit: Exploit) -> Path:
    path.with_suffix(".pth").write_bytes(pickle.dumps(exploit))
    return path.with_suffix(".pth")


def zarr_pickle(path: Path, exploit: Exploit) -> Path:
    """Write an array whose metadata name numcodecs' codec for pickles."""
    folder = path.with_suffix(".zarr")
    folder.mkdir()
    array = {"zarr_format": 2, "shape": [4, 3], "chunks": [4, 3], "fill_value": 0, "order": "C", "filters": None}
    (folder / ".zarray").write_text(json.dumps({**array, "dtype": "<f8", "compressor": {"id": "pickle"}}))
    (folder / "0.0").write_bytes(pickle.dumps(exploit))
    return folder


@pytest.mark.parametrize(
    "write", [npy_object, npz_object, npy_that_is_an_archive, torch_object, torch_pickle, zarr_pickle]
)
def test_no_format_executes_what_a_file_holds(write: Callable[[Path, Exploit], Path], tmp_path: Path) -> None:
    if write is zarr_pickle:
        pytest.importorskip("zarr")
    trace = tmp_path / "trace"
    with pytest.raises(UsageError) as refusal:
        open_source(write(tmp_path / "x", Exploit(trace))).read(0, np.empty((1, 3), np.float32))
    assert "weights_only" not in str(refusal.value)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "neighbour.bin"])
def test_an_hdf5_file_that_keeps_its_numbers_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (4, 3), "f4", external=[(name, 0, 48)])
    with pytest.raises(UsageError, match=f"keeps its numbers in other files .{name}.: copy them into one"):
        open_source(tmp_path / "x.h5")


def test_an_hdf5_file_that_is_a_view_of_others_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("/secret.h5", "x", shape=(4, 3))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    with pytest.raises(UsageError, match="keeps its numbers in other files"):
        open_source(tmp_path / "x.h5")


def npz_bytes(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", member)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(10**12, 3), (3, 10**12), (-1, 3), (1, -3), (10**30, 10**30), ("a", 3)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_shape_that_the_file_does_not_hold_is_refused(tmp_path: Path, shape: object, suffix: str) -> None:
    content = npy_bytes(header(shape)) + bytes(36)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content if suffix == ".npy" else npz_bytes(content))
    with pytest.raises(UsageError, match=r"is not a complete|is damaged: its shape|and the limit is 1 GiB"):
        open_source(path)


def test_a_tensor_that_repeats_its_numbers_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(1, 3).expand(10**12, 3), tmp_path / "x.pt")
    with pytest.raises(UsageError, match="a view that repeats its numbers: save it with"):
        open_source(tmp_path / "x.pt")


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(torch.eye(3).to_sparse(), tmp_path / "x.pt")
    with pytest.raises(UsageError, match="is not a complete file of tensors"):
        open_source(tmp_path / "x.pt")


def test_chunks_of_zarr_that_do_not_fit_into_memory_are_refused(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(str(tmp_path / "x.zarr"), shape=(10**12, 3), chunks=(10**12, 3), dtype="f8")
    with pytest.raises(UsageError, match=r"has chunks of 22,351\.7 GiB, and the limit is 1 GiB"):
        open_source(tmp_path / "x.zarr")


def test_elements_that_do_not_fit_into_memory_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (3, 10**12), "f4", chunks=(1, 1000))  # nothing is stored
    with pytest.raises(UsageError, match=r"has elements of 3,725\.3 GiB, and the limit is 1 GiB"):
        open_source(tmp_path / "x.h5")


def test_lists_that_lead_out_of_an_arrow_file_do_not_end_the_process(tmp_path: Path) -> None:
    pa, feather = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
    table = pa.table({"x": pa.array([[1.0, 2.0, 3.0]] * 8, pa.list_(pa.float32()))})
    feather.write_feather(table, tmp_path / "x.arrow", compression="uncompressed")
    offsets = np.arange(0, 27, 3, dtype=np.int32).tobytes()
    content = (tmp_path / "x.arrow").read_bytes()
    assert content.count(offsets) == 1
    lost = content.replace(offsets, offsets[:-4] + np.int32(2**27).tobytes())
    (tmp_path / "x.arrow").write_bytes(lost)
    with pytest.raises(UsageError, match="ArrowInvalid"):
        open_source(tmp_path / "x.arrow").read(0, np.empty((8, 3), np.float32))
