"""Base classes of sources: sets of elements in files."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from mbcbench.errors import UsageError, one_line

Array = np.ndarray[Any, np.dtype[Any]]
MAX_PIECE_BYTES = 2**30  # of one element, and of a compressed chunk: what a file can make this process allocate at once


class Source(ABC):
    """A set of `length` elements of `width` numbers each (`n x d`), of type `dtype`, in a file."""

    supports_random_access = False  # True if several threads may read at the same time, each from its own position

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        if len(shape) != 2:
            raise UsageError(f"{path} has the shape {tuple(shape)}, and a set is n x d: save it with two dimensions")
        if dtype.kind not in "biuf":
            raise UsageError(f"{path} holds {dtype}, and an element is made of real numbers: save it as float32")
        self.path, self.dtype = path, dtype
        self.length, self.width = int(shape[0]), int(shape[1])
        if self.width == 0:
            raise UsageError(f"{path} has elements of width 0: its shape is {tuple(shape)}")
        if min(self.length, self.width) < 0:
            raise UsageError(f"{path} is damaged: its shape is {tuple(shape)}")
        self.refuse_large(self.width * max(dtype.itemsize, np.dtype(np.float32).itemsize), "elements")

    def read(self, start: int, out: Array) -> None:
        """Fill `out` (`n x d`) with the elements from `start` on. Raises UsageError if they cannot be read."""
        if not len(out):
            return
        try:
            self._read(start, out)
        except UsageError:
            raise
        except Exception as error:  # the libraries raise many types for damaged files
            where = f"between elements {start} and {start + len(out)}"
            raise UsageError(f"{self.path} is damaged {where}: {one_line(error)}") from error

    def refuse_nonfinite(self, start: int, elements: Array) -> None:
        """Raise UsageError with the first row that is not finite; `start` is the row of the first of the elements."""
        # The sum is finite unless an element is not, or it overflows, and takes a fraction of the time of np.isfinite.
        if torch.from_numpy(elements).sum().isfinite():
            return
        rows = np.flatnonzero(~np.isfinite(elements).all(axis=1))
        if len(rows):
            raise UsageError(
                f"{self.path}: row {start + int(rows[0])} (counted from 0) is not finite; drop it, or encode it with "
                "--allow-nonfinite"
            )

    def refuse_large(self, size: int, what: str) -> None:
        """Raise UsageError if a piece that has to be in memory at once is larger than the limit."""
        if size > MAX_PIECE_BYTES:
            limit = f"{MAX_PIECE_BYTES / 2**30:g} GiB"
            raise UsageError(
                f"{self.path} has {what} of {size / 2**30:,.1f} GiB, and the limit is {limit}: write it again"
            )

    @abstractmethod
    def _read(self, start: int, out: Array) -> None:
        """Fill `out` as `read` does. Raises any exception if that fails."""


class GroupedSource(Protocol):
    """A table of elements that belong to several sets, in any order."""

    path: Path
    dtype: np.dtype[Any]
    length: int
    width: int

    def iter_parts(self) -> Iterator[tuple[Any, Array]]:
        """Yield ids of sets and elements, `n` and `n x d` at a time."""

    def unique_ids(self, parts: Sequence[Any]) -> tuple[list[Any], Array]:
        """Return the distinct ids of parts, and the position among them of each row's id, or -1 for none."""

    def refuse_nonfinite(self, start: int, elements: Array) -> None:
        """Raise UsageError with the first row that is not finite."""


class SequentialSource(Source):
    """A source that is read from some element on, in arrays of whatever size suits the format."""

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        super().__init__(path, shape, dtype)
        self._next_element = -1
        self._arrays: Iterator[Array] = iter(())
        self._rest: Array = np.empty((0, self.width))  # the part of the last array that was not read yet

    @abstractmethod
    def iter_arrays(self, start: int) -> Iterator[Array]:
        """Yield the elements from `start` to the end, `n_c x d` at a time."""

    def _read(self, start: int, out: Array) -> None:
        if start != self._next_element:
            self._rest, self._arrays = self._rest[:0], self.iter_arrays(start)
        filled = 0
        while filled < len(out):
            if not len(self._rest):
                try:
                    self._rest = next(self._arrays)
                except StopIteration:
                    raise ValueError(f"it ends after {start + filled} of {self.length} elements") from None
            part = self._rest[: len(out) - filled]
            out[filled : filled + len(part)] = part
            self._rest = self._rest[len(part) :]
            filled += len(part)
        self._next_element = start + filled
