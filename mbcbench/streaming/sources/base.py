"""What all sources share."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mbcbench.errors import UsageError, one_line

Array = np.ndarray[Any, np.dtype[Any]]


class Source(ABC):
    """A set of `length` elements of `width` numbers each (`n x d`), of type `dtype`, kept in a file."""

    supports_random_access = False  # whether threads may read at the same time, each at its own position

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        if len(shape) != 2:
            raise UsageError(f"{path} has the shape {tuple(shape)}, and a set is n x d: save it with two dimensions")
        if dtype.kind not in "biuf":
            raise UsageError(f"{path} holds {dtype}, and an element is made of real numbers: save it as float32")
        self.path, self.dtype = path, dtype
        self.length, self.width = int(shape[0]), int(shape[1])
        if self.width == 0:
            raise UsageError(f"{path} has elements without any number in them: its shape is {tuple(shape)}")

    def read(self, start: int, out: Array) -> None:
        """Fill `out` (`n x d`) with the elements from `start` on.

        Raises UsageError when they cannot be read.
        """
        try:
            self._read(start, out)
        except (OSError, ValueError) as error:
            where = f"between elements {start} and {start + len(out)}"
            raise UsageError(f"{self.path} is damaged {where}: {one_line(error)}") from error

    def refuse_nonfinite(self, start: int, block: Array) -> None:
        """Raise UsageError naming the first row of the elements from `start` on that is not finite."""
        if torch.from_numpy(block).sum().isfinite():  # tells of one at once, and far faster
            return
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            row = start + int(bad[0])
            raise UsageError(
                f"{self.path}: row {row} (counted from 0) is not finite; drop it, or encode it with --allow-nonfinite"
            )

    @abstractmethod
    def _read(self, start: int, out: Array) -> None: ...


class SequentialSource(Source):
    """A source that gives pieces of whatever size suits it."""

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        super().__init__(path, shape, dtype)
        self._at = -1  # the element that comes next
        self._left: Array = np.empty((0, self.width))
        self._more: Iterator[Array] = iter(())

    @abstractmethod
    def pieces(self, start: int) -> Iterator[Array]:
        """The elements from `start` to the end, `n_c x d` at a time."""

    def _read(self, start: int, out: Array) -> None:
        if start != self._at:
            self._left, self._more = self._left[:0], self.pieces(start)
        filled = 0
        while filled < len(out):
            if not len(self._left):
                try:
                    self._left = next(self._more)
                except StopIteration:
                    raise ValueError(f"it ends after {start + filled} of {self.length} elements") from None
            part = self._left[: len(out) - filled]
            out[filled : filled + len(part)] = part
            self._left, filled = self._left[len(part) :], filled + len(part)
        self._at = start + filled


def library(name: str, extra: str, path: Path) -> Any:
    """An optional library. Raises UsageError naming the extra when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{path} is read with {name}; install it with: pip install 'mbcbench[{extra}]'") from error
