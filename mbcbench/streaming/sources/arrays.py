"""Arrays that are stored in chunks: HDF5 and Zarr."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError, one_line
from mbcbench.streaming.sources.base import Array, SequentialSource, Source, library

BYTES = 2**22  # that are read at a time, rounded to whole chunks of the file


class ChunkedArraySource(SequentialSource):
    """An array that is read by slices; it is read by whole chunks, so that none is decompressed twice."""

    def __init__(self, path: Path, array: Any, rows: int) -> None:
        super().__init__(path, array.shape, np.dtype(array.dtype))
        self._array = array
        self._rows = rows * max(1, BYTES // (rows * self.width * self.dtype.itemsize))

    def pieces(self, start: int) -> Iterator[Array]:
        first = start // self._rows * self._rows
        for at in range(first, self.length, self._rows):
            yield self._array[max(at, start) : at + self._rows]


def open_hdf5(path: Path, select: Sequence[str]) -> Source:
    """A dataset of an HDF5 file. Raises UsageError as `open_source` does."""
    h5py = library("h5py", "hdf5", path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UsageError(f"{path} is no whole HDF5 file ({one_line(error)}); write it anew") from error
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    array = file[_only(path, names, select)]
    return ChunkedArraySource(path, array, array.chunks[0] if array.chunks else 1)


def open_zarr(path: Path, select: Sequence[str]) -> Source:
    """A Zarr array, or an array of a Zarr group. Raises UsageError as `open_source` does."""
    zarr = library("zarr", "zarr", path)
    try:
        found = zarr.open(path, mode="r")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no Zarr array or group ({one_line(error)}); write it anew") from error
    if isinstance(found, zarr.Group):
        found = found[_only(path, list(found.array_keys()), select)]
    elif select:
        raise UsageError(f"{path} holds one array and has no names to select {', '.join(select)} from")
    return ChunkedArraySource(path, found, (getattr(found, "shards", None) or found.chunks)[0])


def _only(path: Path, names: Sequence[str], select: Sequence[str]) -> str:
    """The name of the array that is meant. Raises UsageError when that is none or not clear."""
    wanted = list(select) or list(names)
    if len(wanted) == 1 and wanted[0] in names:
        return wanted[0]
    raise UsageError(f"{path} holds the arrays {', '.join(sorted(names)) or '(none)'}; choose one with --select NAME")
