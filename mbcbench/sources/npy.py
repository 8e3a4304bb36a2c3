"""NumPy's .npy files, mapped: faster than reading. Pages are let go as soon as they are used, so none add up."""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError, one_line
from mbcbench.sources.base import Array, Source


class Npy(Source):
    """The array that `np.load` finds in a file, in either order."""

    def __init__(self, path: Path, found: "np.memmap[Any, np.dtype[Any]]") -> None:
        super().__init__(path, found.shape, found.dtype)
        self._offset, self._end, self._by_rows = found.offset, found.offset + found.nbytes, found.flags.c_contiguous
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._array: Array = np.ndarray(found.shape, found.dtype, self._map, found.offset, found.strides)

    def windows(self, start: int, size: int, dtype: np.dtype[Any]) -> Iterator[Array] | None:
        """Maps of their own, each gone with its array, that may be written into without a change of the file."""
        return self._windows(start, size) if self._by_rows and self.dtype == dtype else None

    def _windows(self, start: int, size: int) -> Iterator[Array]:
        for at in range(start, self.length, size):
            length, offset = min(size, self.length - at), self._offset + at * self.width * self.dtype.itemsize
            with self.whole(at, length):
                window: Array = np.memmap(self.path, self.dtype, "c", offset, (length, self.width))
            yield window

    def _read(self, start: int, out: Array) -> None:
        if self._map.size() < self._end:  # to touch what is gone would kill the process
            raise ValueError("the file has become shorter")
        out[:] = self._array[start : start + len(out)]
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)


def open_npy(path: Path, select: Sequence[str]) -> Source:
    """A .npy file. Raises UsageError when it is damaged or holds something other than `n x d` numbers."""
    if select:
        raise UsageError(f"{path} holds one array and has no names to select {', '.join(select)} from")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no whole .npy file of numbers ({one_line(error)}); write it anew") from error
    return Npy(path, found)
