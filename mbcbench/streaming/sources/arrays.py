"""Arrays stored in chunks: HDF5 and Zarr."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError, require
from mbcbench.streaming.sources.base import Array, SequentialSource, Source

READ_BYTES = 2**22  # read at a time, rounded to whole chunks of the file


class ChunkedArraySource(SequentialSource):
    """An array that is read in slices of whole chunks, so that no chunk is decompressed twice."""

    def __init__(self, path: Path, array: Any, chunk: Sequence[int]) -> None:
        super().__init__(path, array.shape, np.dtype(array.dtype))
        self.refuse_large(math.prod(chunk) * self.dtype.itemsize, "chunks")
        chunk_rows = min(chunk[0], self.length) or 1
        self.refuse_large(chunk_rows * self.width * self.dtype.itemsize, "rows of chunks")
        self._array = array
        self._rows = chunk_rows * max(1, READ_BYTES // (chunk_rows * self.width * self.dtype.itemsize))

    def iter_arrays(self, start: int) -> Iterator[Array]:
        first = start // self._rows * self._rows
        for row in range(first, self.length, self._rows):
            yield self._array[max(row, start) : row + self._rows]


def open_hdf5(path: Path, select: Sequence[str]) -> Source:
    """Open a dataset of an HDF5 file. Raises UsageError as `open_source` does, or what h5py raises."""
    h5py = require("h5py", f"{path} is read with h5py")
    file = h5py.File(path, "r")
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    array = file[array_name(path, names, select)]
    others = [*(array.external or ()), *(array.virtual_sources() if array.is_virtual else ())]
    if others:  # their names may lead anywhere on this machine
        raise UsageError(f"{path} keeps its numbers in other files ({others[0][0]}): copy them into one with h5repack")
    return ChunkedArraySource(path, array, array.chunks or (1, *array.shape[1:]))


def open_zarr(path: Path, select: Sequence[str]) -> Source:
    """Open a Zarr array, or an array of a Zarr group. Raises UsageError as `open_source` does, or what zarr raises."""
    zarr = require("zarr", f"{path} is read with zarr")
    opened = zarr.open(path, mode="r")
    if isinstance(opened, zarr.Group):
        opened = opened[array_name(path, list(opened.array_keys()), select)]
    elif select:
        raise UsageError(f"{path} holds one array and has no names to select {', '.join(select)} from")
    return ChunkedArraySource(path, opened, getattr(opened, "shards", None) or opened.chunks)


def array_name(path: Path, names: Sequence[str], select: Sequence[str]) -> str:
    """Return the name of the selected or only array. Raises UsageError if there is no such array, or a choice."""
    candidates = list(select) or list(names)
    if len(candidates) == 1 and candidates[0] in names:
        return candidates[0]
    raise UsageError(f"{path} holds the arrays {', '.join(sorted(names)) or '(none)'}; choose one with --select NAME")
