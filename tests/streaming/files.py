"""The same set in files of every format."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

X = np.random.default_rng(0).standard_normal((103, 3)).astype(np.float32)


def npy(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), X)
    return path.with_suffix(".npy")


def npy_by_columns(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), np.asfortranarray(X))
    return path.with_suffix(".npy")


def npy_big_endian(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), X.astype(">f8"))
    return path.with_suffix(".npy")


def npz(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), X)
    return path.with_suffix(".npz")


def npz_compressed(path: Path) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), x=X.astype(np.float64))
    return path.with_suffix(".npz")


def tensor(path: Path) -> Path:
    torch.save(torch.from_numpy(X), path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def tensor_in_dict(path: Path) -> Path:
    torch.save({"x": nn.Parameter(torch.from_numpy(X).double()), "label": 1}, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def text(path: Path) -> Path:
    np.savetxt(path.with_suffix(".csv"), X, delimiter=",")
    return path.with_suffix(".csv")


def text_with_names(path: Path) -> Path:
    lines = ['\ta\t"b"\tc'[1:], *("\t".join(map(str, row)) for row in X.astype(float).tolist())]
    path.with_suffix(".tsv").write_text("\n".join([*lines[:50], "", *lines[50:]]))  # with a blank line
    return path.with_suffix(".tsv")


def _table(lists: Any = None) -> Any:
    pa = pytest.importorskip("pyarrow")
    if lists is None:
        return pa.table({name: X[:, i] for i, name in enumerate("abc")})
    return pa.table({"x": pa.array(X.tolist(), lists(pa))})


def parquet(path: Path) -> Path:
    pytest.importorskip("pyarrow.parquet").write_table(_table(), path.with_suffix(".parquet"), row_group_size=20)
    return path.with_suffix(".parquet")


def parquet_lists(path: Path) -> Path:
    lists = _table(lambda pa: pa.list_(pa.float32()))
    pytest.importorskip("pyarrow.parquet").write_table(lists, path.with_suffix(".parquet"), row_group_size=20)
    return path.with_suffix(".parquet")


def arrow(path: Path) -> Path:
    lists = _table(lambda pa: pa.list_(pa.float32(), 3))
    pytest.importorskip("pyarrow.feather").write_feather(lists, path.with_suffix(".arrow"), chunksize=20)
    return path.with_suffix(".arrow")


def hdf5(path: Path) -> Path:
    with pytest.importorskip("h5py").File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("group/x", data=X, chunks=(20, 2))
    return path.with_suffix(".h5")


def zarr_array(path: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(path.with_suffix(".zarr"), data=X, chunks=(20, 2))
    return path.with_suffix(".zarr")
