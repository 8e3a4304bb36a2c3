"""Files with the elements of many sets: tables with a column of ids, or one file per set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mbcbench.errors import UsageError, one_line
from mbcbench.streaming.group_rows import GroupRows, check_ids
from mbcbench.streaming.sources import Array, GroupedSource, Source, open_source, open_table
from mbcbench.streaming.threads import read_ahead

READ_BYTES = 3 * 2**24  # of elements that are sorted by set at a time; more need fewer updates


class GroupFile(Protocol):
    """A file with elements of one or more sets."""

    @property
    def source(self) -> GroupedSource | Source:
        """The file."""

    def iter_rows(self, size: int, dtype: np.dtype[Any]) -> Iterator[GroupRows]:
        """Yield the elements in their order, `size` at a time. Raises UsageError if they cannot be read."""


@dataclass(frozen=True)
class SetFile:
    """A file with one set, whose id is its path."""

    source: Source

    def iter_rows(self, size: int, dtype: np.dtype[Any]) -> Iterator[GroupRows]:
        length = self.source.length
        for start in range(0, max(1, length), size):  # a file without elements is a set too
            x = np.empty((min(size, length - start), self.source.width), dtype)
            self.source.read(start, x)
            yield GroupRows([str(self.source.path)], np.zeros(len(x), np.int64), x)


@dataclass(frozen=True)
class TableFile:
    """A table of elements, with a column of set ids."""

    source: GroupedSource

    def iter_rows(self, size: int, dtype: np.dtype[Any]) -> Iterator[GroupRows]:
        row, filled, parts = 0, 0, list[Any]()
        for ids, elements in self._iter_parts():
            start = 0
            while start < len(elements):
                if not filled:
                    x = np.empty((min(size, self.source.length - row), self.source.width), dtype)
                count = min(len(x) - filled, len(elements) - start)
                x[filled : filled + count] = elements[start : start + count]
                parts.append(ids[start : start + count])
                start, filled = start + count, filled + count
                if filled == len(x):
                    yield self._group(parts, x, row)
                    row, filled, parts = row + filled, 0, []

    def _iter_parts(self) -> Iterator[tuple[Any, Array]]:
        try:
            yield from self.source.iter_parts()
        except (OSError, ValueError, IndexError) as error:
            raise UsageError(f"{self.source.path} is damaged: {one_line(error)}") from error

    def _group(self, parts: Sequence[Any], x: Array, first_row: int) -> GroupRows:
        ids, codes = self.source.unique_ids(parts)
        return GroupRows(check_ids(ids, codes, str(self.source.path), first_row), codes, x)


@dataclass(frozen=True)
class GroupFiles:
    """The elements of many sets in files, which can be read repeatedly.

    dtype: type of the elements that are yielded.
    allow_nonfinite: also yield elements that are NaN or infinite.
    """

    files: Sequence[GroupFile]
    dtype: np.dtype[Any]
    allow_nonfinite: bool = False

    @property
    def length(self) -> int:
        """Number of elements of all sets."""
        return sum(file.source.length for file in self.files)

    def __iter__(self) -> Iterator[GroupRows]:
        """Yield all elements, as many at a time as fit into `READ_BYTES`; another thread reads them.

        Raises UsageError if they cannot be read or are not finite.
        """
        for file in self.files:
            size = max(1, READ_BYTES // (file.source.width * self.dtype.itemsize))
            yield from read_ahead(self._iter_finite(file, size))

    def _iter_finite(self, file: GroupFile, size: int) -> Iterator[GroupRows]:
        row = 0
        for rows in file.iter_rows(size, self.dtype):
            if not self.allow_nonfinite:
                file.source.refuse_nonfinite(row, rows.x)
            row += len(rows.x)
            yield rows


def open_group_files(paths: Sequence[Path], by: str | None, select: Sequence[str]) -> list[GroupFile]:
    """Open files whose rows belong to the sets named in the column `by`, or files with one set each.

    Raises UsageError as `open_source` does, and if their elements differ in width.
    """
    files: list[GroupFile] = [
        SetFile(open_source(path, select)) if by is None else TableFile(open_table(path, by, select)) for path in paths
    ]
    first = files[0].source
    for file in files:
        if file.source.width != first.width:
            raise UsageError(
                f"{file.source.path} has elements of width {file.source.width}, and {first.path} of {first.width}; "
                "choose the same columns with --select"
            )
    return files
