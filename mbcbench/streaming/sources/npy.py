"""NumPy's .npy files. Rows in the type that is asked for are read to where they are wanted: faster than to map them.

What must be converted or lies by columns is mapped; its pages are let go as soon as they are used, so none add up.
"""

import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError, one_line
from mbcbench.streaming.sources.base import Array, Source


class NpySource(Source):
    """The array that `np.load` finds in a file, in either order."""

    supports_random_access = True

    def __init__(self, path: Path, found: "np.memmap[Any, np.dtype[Any]]") -> None:
        super().__init__(path, found.shape, found.dtype)
        self._offset, self._end, self._by_rows = found.offset, found.offset + found.nbytes, found.flags.c_contiguous
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._array: Array = np.ndarray(found.shape, found.dtype, self._map, found.offset, found.strides)

    def _read(self, start: int, out: Array) -> None:
        whole = self._rows(start, out) if self._by_rows and out.dtype == self.dtype else self._mapped(start, out)
        if not whole:
            raise ValueError("the file has become shorter")

    def _rows(self, start: int, out: Array) -> bool:
        left, offset = out.data.cast("B"), self._offset + start * self.width * self.dtype.itemsize
        while left and (got := os.preadv(self._file.fileno(), [left], offset)):  # two gigabytes at most
            left, offset = left[got:], offset + got
        return not left

    def _mapped(self, start: int, out: Array) -> bool:
        if self._map.size() < self._end:  # to touch what is gone would kill the process
            return False
        out[:] = self._array[start : start + len(out)]
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)
        return True


def open_npy(path: Path, select: Sequence[str]) -> Source:
    """A .npy file. Raises UsageError when it is damaged or holds something other than `n x d` numbers."""
    if select:
        raise UsageError(f"{path} holds one array and has no names to select {', '.join(select)} from")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no whole .npy file of numbers ({one_line(error)}); write it anew") from error
    return NpySource(path, found)
