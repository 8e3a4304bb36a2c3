"""NumPy's .npy files.

Rows of the requested type are read directly into the output buffer, which is faster than mapping the file. The file is
mapped if its elements must be converted or are in column order; pages are dropped after use, so they do not add up.
"""

import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.base import Array, Source


class NpySource(Source):
    """The array in a .npy file, in row or column order; `header` is its array, mapped."""

    supports_random_access = True

    def __init__(self, path: Path, header: "np.memmap[Any, np.dtype[Any]]") -> None:
        super().__init__(path, header.shape, header.dtype)
        self._offset, self._end = header.offset, header.offset + header.nbytes
        self._row_order = header.flags.c_contiguous
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._array: Array = np.ndarray(header.shape, header.dtype, self._map, header.offset, header.strides)

    def _read(self, start: int, out: Array) -> None:
        direct = self._row_order and out.dtype == self.dtype
        complete = self._read_directly(start, out) if direct else self._read_mapped(start, out)
        if not complete:
            raise ValueError("the file has become shorter")

    def _read_directly(self, start: int, out: Array) -> bool:
        """Read bytes into `out`; return False if the file ends before."""
        rest, offset = out.data.cast("B"), self._offset + start * self.width * self.dtype.itemsize
        while rest and (count := os.preadv(self._file.fileno(), [rest], offset)):  # 2 GiB at most per call
            rest, offset = rest[count:], offset + count
        return not rest

    def _read_mapped(self, start: int, out: Array) -> bool:
        """Copy from the mapped file; return False if the file ends before."""
        if self._map.size() < self._end:  # touching a page behind the end of the file would kill the process
            return False
        out[:] = self._array[start : start + len(out)]
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)
        return True


def open_npy(path: Path, select: Sequence[str]) -> Source:
    """Open a .npy file. Raises UsageError as `open_source` does, or what numpy raises."""
    if select:
        raise UsageError(f"{path} holds one array and has no names to select {', '.join(select)} from")
    return NpySource(path, np.lib.format.open_memmap(path, mode="r"))  # np.load would open archives too
