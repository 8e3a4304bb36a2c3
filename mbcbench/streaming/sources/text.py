"""Text: .csv and .tsv files of numbers, with or without a line of names."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.base import Array, SequentialSource, Source

ROWS = 2**12  # that are parsed at a time
DELIMITERS = (",", "\t", ";")


class TextSource(SequentialSource):
    """The rows of a text file. Blank lines are skipped."""

    def __init__(self, path: Path, select: Sequence[str]) -> None:
        self._path = path
        first = next(self._lines(0), "").strip()
        self._delimiter = max(DELIMITERS, key=first.count)
        fields = [field.strip().strip('"') for field in first.split(self._delimiter)] if first else []
        self._has_names = not all(map(_is_number, fields))
        self._columns = _select(path, fields if self._has_names else [], select) or list(range(len(fields)))
        length = sum(1 for _ in self._lines(int(self._has_names)))
        super().__init__(path, (length, len(self._columns)), np.dtype(np.float64))

    def _lines(self, skip: int) -> Iterator[str]:
        with self._path.open(encoding="utf-8-sig") as file:
            yield from islice((line for line in file if line.strip()), skip, None)

    def iter_arrays(self, start: int) -> Iterator[Array]:
        lines = self._lines(start + self._has_names)
        while rows := list(islice(lines, ROWS)):
            yield np.loadtxt(rows, delimiter=self._delimiter, usecols=self._columns, ndmin=2, comments=None)


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
    return TextSource(path, select)
