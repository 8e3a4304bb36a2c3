"""NumPy's .npy files, read without being mapped: mapped pages would count as resident memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError, one_line
from mbcbench.sources.base import Array, Source


class Npy(Source):
    """The array that begins `offset` bytes into a file; by_columns: stored a column after the other."""

    def __init__(
        self, path: Path, shape: Sequence[int], dtype: np.dtype[Any], *, offset: int, by_columns: bool
    ) -> None:
        super().__init__(path, shape, dtype)
        self._offset, self._by_columns = offset, by_columns

    def _read(self, start: int, out: Array) -> None:
        if self._by_columns:
            for column in range(self.width):
                out[:, column] = self._numbers(column * self.length + start, np.empty(len(out), self.dtype))
        elif out.dtype == self.dtype:
            self._numbers(start * self.width, out)
        else:
            out[:] = self._numbers(start * self.width, np.empty(out.shape, self.dtype))

    def _numbers(self, first: int, into: Array) -> Array:
        """`into`, filled with the numbers of the file from the one at index `first` on."""
        room = into.view(np.uint8).data.cast("B")
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._offset + first * self.dtype.itemsize)
            while len(room):
                got = file.readinto(room)
                if not got:
                    raise ValueError("the file has become shorter")
                room = room[got:]
        return into


def open_npy(path: Path, select: Sequence[str]) -> Source:
    """A .npy file. Raises UsageError when it is damaged or holds something other than `n x d` numbers."""
    if select:
        raise UsageError(f"{path} holds one array and has no names to select {', '.join(select)} from")
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no whole .npy file of numbers ({one_line(error)}); write it anew") from error
    by_columns = mapped.flags.f_contiguous and not mapped.flags.c_contiguous
    return Npy(path, mapped.shape, mapped.dtype, offset=mapped.offset, by_columns=by_columns)
