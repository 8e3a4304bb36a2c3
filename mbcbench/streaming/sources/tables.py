"""Tables of columns: Parquet and Arrow files, whose elements are rows of numbers or one column of lists."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mbcbench.errors import UsageError, one_line
from mbcbench.streaming.sources.base import Array, SequentialSource, Source, library

ROWS = 2**14  # rows of a Parquet file that are decoded at a time


class TableSource(SequentialSource):
    """The rows of record batches; `file` gives the batches that begin with or before a row, and that one's row."""

    def __init__(self, file: "Parquet | Arrow", path: Path, select: Sequence[str]) -> None:
        self._file = file
        self._columns = _columns(path, file.schema, select)
        self._lists = len(self._columns) == 1 and _is_list(file.schema.field(self._columns[0]).type)
        width = self._list_width(path) if self._lists else len(self._columns)
        super().__init__(path, (file.length, width), _dtype(file.schema, self._columns))

    def _list_width(self, path: Path) -> int:
        kind = self._file.schema.field(self._columns[0]).type
        if hasattr(kind, "list_size"):
            return int(kind.list_size)
        _, batches = self._file.batches(0, self._columns)
        first = next((batch.column(0)[0].as_py() for batch in batches if len(batch)), None)
        if first is None:
            raise UsageError(f"{path}: the first element of column {self._columns[0]!r} is missing: drop it")
        return len(first)

    def pieces(self, start: int) -> Iterator[Array]:
        at, batches = self._file.batches(start, self._columns)
        for batch in batches:
            if at + len(batch) > start:
                fresh = batch.slice(max(0, start - at))
                row = max(at, start)
                yield self._from_lists(fresh.column(0), row) if self._lists else _from_columns(fresh)
            at += len(batch)

    def _from_lists(self, column: Any, row: int) -> Array:
        lengths = np.array([self.width]) if hasattr(column.type, "list_size") else _lengths(column)
        wrong = np.flatnonzero(lengths != self.width)
        if column.null_count:
            wrong = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        if len(wrong):
            at = int(wrong[0])
            size = "is missing" if not column[at].is_valid else f"has {lengths[at]} numbers"
            raise UsageError(
                f"{self.path} is ragged: row {row + at} (counted from 0) {size}, and the rows before have {self.width}"
            )
        numbers: Array = column.flatten().to_numpy(zero_copy_only=False)
        return numbers.reshape(len(column), self.width)


def _lengths(column: Any) -> Array:
    lengths: Array = np.diff(column.offsets.to_numpy())
    return lengths


def _from_columns(batch: Any) -> Array:
    """`n x d`; what is missing becomes NaN."""
    return np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)


def _columns(path: Path, schema: Any, select: Sequence[str]) -> list[str]:
    """The columns that make an element. Raises UsageError when they are not numbers, or more than one of lists."""
    for name in select:
        if name not in schema.names:
            raise UsageError(f"{path} has no column {name!r}; it has {', '.join(schema.names)}")
    chosen = list(select) or list(schema.names)
    for name in chosen:
        kind = schema.field(name).type
        if not _is_number(kind) and not (_is_list(kind) and len(chosen) == 1 and _is_number(kind.value_type)):
            raise UsageError(
                f"{path}: column {name!r} holds {kind}; an element is one number of each column, or the list in one "
                "column: choose columns with --select"
            )
    return chosen


def _is_list(kind: Any) -> bool:
    return hasattr(kind, "value_type") and "list" in str(kind)


def _is_number(kind: Any) -> bool:
    return str(kind) == "bool" or str(kind).startswith(("int", "uint", "float", "double", "halffloat"))


def _dtype(schema: Any, columns: Sequence[str]) -> np.dtype[Any]:
    kinds = [schema.field(name).type for name in columns]
    return np.result_type(*(np.dtype(getattr(kind, "value_type", kind).to_pandas_dtype()) for kind in kinds))


class Parquet:
    """The row groups of a Parquet file, decoded a few rows at a time."""

    def __init__(self, module: Any, path: Path) -> None:
        self._file = module.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
        self.schema, self.length = self._file.schema_arrow, self._file.metadata.num_rows

    def batches(self, start: int, columns: list[str]) -> tuple[int, Iterator[Any]]:
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        ends = np.cumsum(groups)
        first = int(np.searchsorted(ends, start, side="right"))
        wanted = list(range(first, len(groups)))
        found = self._file.iter_batches(ROWS, row_groups=wanted, columns=columns, use_threads=False)
        return int(ends[first - 1]) if first else 0, found


class Arrow:
    """The record batches of an Arrow file."""

    def __init__(self, module: Any, path: Path) -> None:
        pyarrow = library("pyarrow", "arrow", path)
        dataset = library("pyarrow.dataset", "arrow", path)
        self._file = module.open_file(pyarrow.OSFile(str(path)))
        self.schema = self._file.schema
        self.length = dataset.dataset(path, format="ipc").count_rows()

    def batches(self, start: int, columns: list[str]) -> tuple[int, Iterator[Any]]:
        """All batches: an Arrow file does not say how many rows one has before it is read."""
        return 0, (self._file.get_batch(i).select(columns) for i in range(self._file.num_record_batches))


def open_parquet(path: Path, select: Sequence[str]) -> Source:
    """A Parquet file. Raises UsageError as `open_source` does."""
    return _table(Parquet, library("pyarrow.parquet", "arrow", path), path, select)


def open_arrow(path: Path, select: Sequence[str]) -> Source:
    """An Arrow IPC file (Feather, version 2). Raises UsageError as `open_source` does."""
    return _table(Arrow, library("pyarrow.ipc", "arrow", path), path, select)


def _table(kind: type[Parquet] | type[Arrow], module: Any, path: Path, select: Sequence[str]) -> Source:
    try:
        return TableSource(kind(module, path), path, select)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no whole {kind.__name__} file ({one_line(error)}); write it anew") from error
