"""Text: .csv and .tsv files of numbers, with or without a line of names."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.base import Array, GroupedSource, SequentialSource, Source

ROWS = 2**12  # that are parsed at a time
DELIMITERS = (",", "\t", ";")


class TextSource(SequentialSource):
    """The rows of a text file. Blank lines are skipped."""

    def __init__(self, path: Path, select: Sequence[str], by: str | None = None) -> None:
        self._path = path
        first = next(self._lines(0), "").strip()
        self._delimiter = max(DELIMITERS, key=first.count)
        fields = [field.strip().strip('"') for field in first.split(self._delimiter)] if first else []
        self._has_names = not all(map(_is_number, fields))
        names = fields if self._has_names else []
        self._by = None if by is None else _select(path, names, [by])[0]
        self._columns = _select(path, names, select) or [c for c in range(len(fields)) if c != self._by]
        length = sum(1 for _ in self._lines(int(self._has_names)))
        super().__init__(path, (length, len(self._columns)), np.dtype(np.float64))

    def _lines(self, skip: int) -> Iterator[str]:
        with self._path.open(encoding="utf-8-sig") as file:
            yield from islice((line for line in file if line.strip()), skip, None)

    def iter_arrays(self, start: int) -> Iterator[Array]:
        lines = self._lines(start + self._has_names)
        while rows := list(islice(lines, ROWS)):
            yield self._to_array(rows)

    def iter_parts(self) -> Iterator[tuple[list[str], Array]]:
        """Yield ids, which are text, and elements, `n` and `n x d` at a time."""
        assert self._by is not None
        lines = self._lines(int(self._has_names))
        while rows := list(islice(lines, ROWS)):
            elements = self._to_array(rows)
            yield [row.split(self._delimiter)[self._by].strip().strip('"') for row in rows], elements

    def unique_ids(self, parts: Sequence[list[str]]) -> tuple[list[str], Array]:
        """Return the ids in the order in which they first appear, and the position of each in them; -1 for none."""
        codes, unique = pd.factorize(np.array([name or None for part in parts for name in part], object))
        return unique.tolist(), codes

    def _to_array(self, rows: list[str]) -> Array:
        return np.loadtxt(rows, delimiter=self._delimiter, usecols=self._columns, ndmin=2, comments=None)


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False


def _select(path: Path, names: Sequence[str], select: Sequence[str]) -> list[int]:
    """Return the positions of the selected columns."""
    for name in select:
        if name not in names:
            raise UsageError(f"{path} has no column {name!r}; it has {', '.join(names) or 'no line of names'}")
    return [list(names).index(name) for name in select]


def open_text(path: Path, select: Sequence[str]) -> Source:
    """Open a text file. Raises UsageError as `open_source` does, or what reading the file raises."""
    return TextSource(path, select, None)


def open_grouped_text(path: Path, select: Sequence[str], by: str) -> GroupedSource:
    """Open a text file with a column of set ids. Raises UsageError as `open_table` does, or what reading it raises."""
    return TextSource(path, select, by)
