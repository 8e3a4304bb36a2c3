"""Sets that are spread over several files, and parts of a set."""

from collections.abc import Sequence

import numpy as np

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.base import Array, Source


class JoinedSource(Source):
    """The elements of several files, one file after the other; a file may have none."""

    def __init__(self, sources: Sequence[Source]) -> None:
        first = sources[0]
        for source in sources:
            if source.width != first.width:
                raise UsageError(
                    f"{source.path} has elements of width {source.width}, and {first.path} of {first.width}; "
                    "the parts of a set have the same columns"
                )
        length = sum(source.length for source in sources)
        super().__init__(first.path, (length, first.width), np.result_type(*(source.dtype for source in sources)))
        self._sources = sources
        self._ends = np.cumsum([source.length for source in sources])
        self.supports_random_access = all(source.supports_random_access for source in sources)

    def _read(self, start: int, out: Array) -> None:
        for source, part_start, part in self._parts(start, out):
            source.read(part_start, part)

    def refuse_nonfinite(self, start: int, elements: Array) -> None:
        for source, part_start, part in self._parts(start, elements):
            source.refuse_nonfinite(part_start, part)

    def _parts(self, start: int, elements: Array) -> list[tuple[Source, int, Array]]:
        """Return for each file that elements lie in: the file, their first row in it, and the elements."""
        parts, done = [], 0
        number = int(np.searchsorted(self._ends, start, side="right"))
        while done < len(elements):
            source, end = self._sources[number], int(self._ends[number])
            count = min(end - (start + done), len(elements) - done)
            if count:
                parts.append((source, source.length - (end - start - done), elements[done : done + count]))
            done, number = done + count, number + 1
        return parts


class SlicedSource(Source):
    """The elements from `first` to `last` of a set, counted from 0."""

    def __init__(self, source: Source, first: int, last: int) -> None:
        super().__init__(source.path, (last - first, source.width), source.dtype)
        self._source, self._first = source, first
        self.supports_random_access = source.supports_random_access

    def _read(self, start: int, out: Array) -> None:
        self._source.read(self._first + start, out)

    def refuse_nonfinite(self, start: int, elements: Array) -> None:
        self._source.refuse_nonfinite(self._first + start, elements)
