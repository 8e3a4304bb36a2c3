"""Files of every format, and the faults of files."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mbcbench.errors import UsageError
from mbcbench.streaming.blocks import iter_blocks
from mbcbench.streaming.sources import open_source, open_table
from tests.conftest import Command
from tests.streaming.files import (
    X,
    arrow,
    hdf5,
    npy,
    npy_big_endian,
    npy_by_columns,
    npz,
    npz_compressed,
    parquet,
    parquet_lists,
    tensor,
    tensor_in_dict,
    text,
    text_with_names,
    zarr_array,
)

ARCHIVES = [npz, npz_compressed, tensor, tensor_in_dict]
TABLES = [parquet, parquet_lists, arrow, text, text_with_names]
FORMATS = [npy, npy_by_columns, npy_big_endian, *ARCHIVES, *TABLES, hdf5, zarr_array]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("start", [0, 20, 33])
def test_every_format_yields_the_elements_from_any_start(
    write: Callable[[Path], Path], start: int, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path / "x"))
    assert (source.length, source.width) == X.shape
    blocks = iter_blocks(source, start, 14, dtype=np.dtype(np.float32))
    chunks = [(index, chunk.copy()) for block in blocks for index, chunk in block.chunks(7)]
    assert [index for index, _ in chunks] == list(range(start, len(X), 7))
    np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in chunks]), X[start:])


def test_a_column_that_pandas_adds_for_its_index_is_not_part_of_the_elements(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    pd.DataFrame(X, columns=["a", "b", "c"]).sort_values("a").to_parquet(path)
    assert open_source(path).width == 3


@pytest.mark.parametrize(("select", "warnings"), [((), 1), (("user", "a"), 0), (("a", "b"), 0)])
def test_an_id_that_would_be_read_as_a_coordinate_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, select: tuple[str, ...], warnings: int
) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(user=7).to_parquet(path)
    open_source(path, select)
    assert len(caplog.messages) == warnings
    assert all("column 'user' holds whole numbers" in message for message in caplog.messages)
    caplog.clear()
    open_table(path, "user")
    assert not caplog.messages


def test_columns_of_whole_numbers_alone_are_elements(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": [1, 2], "b": [3, 4]}).to_parquet(path)
    assert open_source(path).width == 2
    assert not caplog.messages


def test_no_elements_are_read_from_an_empty_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[:0])
    open_source(tmp_path / "x.npy").read(0, np.empty((0, 3), np.float32))


def test_columns_and_arrays_are_selected_by_name(tmp_path: Path) -> None:
    source, out = open_source(parquet(tmp_path / "x"), ["c", "a"]), np.empty((103, 2), np.float32)
    source.read(0, out)
    np.testing.assert_array_equal(out, X[:, [2, 0]])
    with pytest.raises(UsageError, match="has no column 'z'; it has a, b, c"):
        open_source(parquet(tmp_path / "x"), ["z"])
    with pytest.raises(UsageError, match="choose one with --select"):
        open_source(hdf5(tmp_path / "x"), ["y"])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (X[0], "has the shape (3,), and a set is n x d"),
        (X[None], "has the shape (1, 103, 3)"),
        (X.astype(complex), "holds complex128"),
        (X[:, :0], "has elements of width 0"),
        (np.array([[1, 2], [3]], dtype=object), "is not a complete .npy file of numbers"),
        (np.where(np.arange(309).reshape(103, 3) == 151, np.nan, X), "row 50 (counted from 0) is not finite"),
    ],
)
def test_an_array_that_is_not_a_set_is_reported_in_one_line(encode: Command, array: Any, message: str) -> None:
    np.save("bad.npy", array, allow_pickle=True)
    code, out, err = encode("bad.npy", "mine.py:Sum")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert message in err


@pytest.mark.parametrize("write", [npy, npz, tensor, parquet, arrow, hdf5])
def test_a_truncated_file_is_reported_in_one_line(encode: Command, write: Callable[[Path], Path], folder: Path) -> None:
    path = write(folder / "cut")
    path.write_bytes(path.read_bytes()[:-200])
    code, out, err = encode(path.name, "mine.py:Sum")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "is not a complete" in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.csv", "1,2,3\n4,5\n", "bad.csv is damaged between elements 0 and"),
        ("bad.csv", "a,b,c\n1,2,x\n", "could not convert string 'x'"),
        ("bad.csv", "", "bad.csv has elements of width 0"),
        ("bad.csv", b"\xff\xfe\x00", "bad.csv is not a text file of numbers"),
        ("bad.npz", "1", "bad.npz is not a complete .npz file"),
        ("bad.pt", "1", "bad.pt is not a complete file of tensors"),
        ("bad.txt", "1", "bad.txt ends in '.txt'; use one of .npy, .npz, .pt"),
    ],
)
def test_a_file_of_another_content_is_reported_in_one_line(
    encode: Command, name: str, content: str | bytes, message: str
) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = encode(name, "mine.py:Sum")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert message in err


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    torch.save(torch.from_numpy(X).bfloat16(), tmp_path / "x.pt")
    source, out = open_source(tmp_path / "x.pt"), np.empty(X.shape, np.float32)
    source.read(0, out)
    np.testing.assert_allclose(out, X, rtol=1e-2)


def test_one_of_several_arrays_and_columns_is_selected(encode: Command) -> None:
    np.savez("several.npz", x=X, coords=X[:, :2])
    torch.save({"x": torch.from_numpy(X), "coords": torch.from_numpy(X)}, "several.pt")
    text_with_names(Path("x.tsv"))
    for file in ("several.npz", "several.pt"):
        code, _, err = encode(file, "mine.py:Sum")
        assert (code, err) == (3, f"mbcbench: {file} holds the arrays coords, x; choose one with --select NAME\n")
        assert encode(file, "mine.py:Sum", "--select", "x")[0] == 0
    assert "has no column 'z'; it has a, b, c" in encode("x.tsv", "mine.py:Sum", "--select", "z")[2]
    source, out = open_source(Path("x.tsv"), ["c", "a"]), np.empty((103, 2), np.float32)
    source.read(0, out)
    np.testing.assert_array_equal(out, X[:, [2, 0]])


def test_a_folder_is_named_as_one(encode: Command) -> None:
    Path("bags").mkdir()
    for folder in ("bags", ".", "/"):
        assert f"mbcbench: {folder} is a folder; use one of .npy" in encode(folder, "mine.py:Sum")[2]


@pytest.mark.parametrize(("row", "message"), [([1.0], "has 1 numbers"), (None, "is missing")])
def test_a_ragged_column_is_reported_with_the_row(encode: Command, row: Any, message: str) -> None:
    pa = pytest.importorskip("pyarrow")
    rows = [[0.0, 1.0]] * 30 + [row]
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"x": rows}), "ragged.parquet", row_group_size=20)
    code, _, err = encode("ragged.parquet", "mine.py:Sum")
    assert (code, err.count("\n")) == (3, 1)
    assert f"ragged.parquet is ragged: row 30 (counted from 0) {message}, and the rows before have 2" in err


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_that_becomes_shorter_is_reported_in_one_line(tmp_path: Path, dtype: type) -> None:
    source = open_source(npy(tmp_path / "x"))
    blocks = iter_blocks(source, 0, 50, dtype=np.dtype(dtype))
    os.truncate(source.path, 1000)
    with pytest.raises(UsageError, match=r"is damaged between elements (0 and 50|50 and 100): .*shorter"):
        [list(block.chunks(50)) for block in blocks]


def test_a_missing_library_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"read with h5py; install it with: pip install 'mbcbench\[hdf5\]'"):
        open_source(tmp_path / "x.h5")
