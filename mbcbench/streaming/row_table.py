"""A tensor with one row per set, which grows without copies."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mbcbench.streaming.sources.base import Array

SEGMENT_BYTES = 2**26  # that are allocated at a time; on a CPU, memory is resident only when it is used


class RowTable:
    """Rows of sets that are numbered from 0 on.

    As long as all sets have the same row, as with random slots in eval mode, it is stored once.

    row: row of an empty set, `1 x ...`.
    shares_row: return a row that all sets share as a view with stride 0.
    """

    def __init__(self, row: Tensor, *, shares_row: bool) -> None:
        self._row = row
        self._shares_row = shares_row
        self._segments: list[Tensor] = []
        self._size = max(1, SEGMENT_BYTES // max(1, row.nbytes))
        self._count = 0  # rows in the segments

    @property
    def bytes_per_row(self) -> int:
        """Size of a row, or 0 if all sets have the same."""
        return self._row.nbytes if self._segments else 0

    def extend(self, count: int) -> None:
        """Grow to `count` rows; new rows are those of empty sets."""
        if self._segments:
            self._fill(count)

    def gather(self, sets: Array) -> Tensor:
        """Return the rows of some sets, which can be written to unless they are one row with stride 0."""
        if not self._segments:
            shared = self._repeated(len(sets))
            is_safe = self._shares_row and shared.stride(0) == 0
            return shared if is_safe else shared.clone(memory_format=torch.contiguous_format)
        parts = [segment.index_select(0, rows) for segment, rows, _ in self._parts(sets)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @torch.inference_mode()
    def scatter(self, sets: Array, rows: Tensor, count: int) -> None:
        """Replace the rows of some of `count` sets."""
        if not self._segments and torch.equal(rows, self._repeated(len(rows))):
            return
        self._fill(count)
        for segment, places, part in self._parts(sets):
            segment.index_copy_(0, places, rows[part])

    def rows(self, first: int, last: int) -> Tensor:
        """Return consecutive rows."""
        if not self._segments:
            return self._repeated(last - first)
        numbers = range(first // self._size, (last - 1) // self._size + 1)
        parts = [self._segments[k][max(0, first - k * self._size) : last - k * self._size] for k in numbers]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def saved(self, count: int) -> list[Tensor]:
        """Return the rows of `count` sets as tensors for `load`."""
        starts = range(0, count, self._size)
        return [segment[: count - start] for segment, start in zip(self._segments, starts, strict=False)]

    def load(self, saved: list[Tensor], count: int) -> None:
        """Restore `count` sets from the result of `saved`. Raises ValueError for anything else."""
        shapes = {tuple(part.shape[1:]) for part in saved}
        if sum(map(len, saved)) != (count if saved else 0) or shapes - {tuple(self._row.shape[1:])}:
            rows, row = [list(part.shape) for part in saved], list(self._row.shape[1:])
            raise ValueError(f"it has rows of shapes {rows} for {count} states of shape {row}")
        first = 0
        for part in saved:
            last = first + len(part)
            self.scatter(np.arange(first, last), part.to(self._row.device), last)
            first = last

    def _parts(self, sets: Array) -> Iterator[tuple[Tensor, Tensor, slice]]:
        """Yield for each run of sets in one segment: the segment, their rows in it, and their places in `sets`."""
        numbers = sets // self._size
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(sets)]
        for first, last in pairwise(bounds):
            number = int(numbers[first])
            rows = torch.from_numpy(sets[first:last] - number * self._size).to(self._row.device)
            yield self._segments[number], rows, slice(first, last)

    @torch.inference_mode()
    def _fill(self, count: int) -> None:
        """Allocate segments up to `count` rows, filled with the row of an empty set."""
        while self._count < count:
            number, first = divmod(self._count, self._size)
            if number == len(self._segments):
                self._segments.append(self._row.new_empty(self._size, *self._row.shape[1:]))
            last = min(self._size, count - number * self._size)
            self._segments[number][first:last] = self._row
            self._count = number * self._size + last

    def _repeated(self, count: int) -> Tensor:
        return self._row.expand(count, *self._row.shape[1:])
