"""Tables: Parquet and Arrow files, whose elements are rows of numeric columns or the lists in one column."""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from mbcbench.errors import UsageError, require
from mbcbench.streaming.sources.base import Array, GroupedSource, SequentialSource, Source
from mbcbench.types import Encoder

logger = logging.getLogger(__name__)

PARQUET_ROWS = 2**14  # rows that are decoded at a time
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # a column that pandas adds for a frame that was sorted or filtered


class TableFile(Protocol):
    """A file of record batches."""

    schema: Any
    length: int

    def batches(self, start: int, columns: list[str]) -> tuple[int, Iterator[Any]]:
        """Return batches up to the end of the file, and the row where they begin, which is `start` or before it."""


class TableSource(SequentialSource):
    """The rows of a table."""

    def __init__(self, file: TableFile, path: Path, select: Sequence[str]) -> None:
        self._file = file
        self._columns = _select_columns(path, file.schema, select)
        self._holds_lists = len(self._columns) == 1 and _is_list(file.schema.field(self._columns[0]).type)
        width = self._list_width(path) if self._holds_lists else len(self._columns)
        super().__init__(path, (file.length, width), _dtype(file.schema, self._columns))
        if not select:
            _warn_of_ids(path, file.schema, self._columns)

    def _list_width(self, path: Path) -> int:
        column_type = self._file.schema.field(self._columns[0]).type
        if hasattr(column_type, "list_size"):
            return int(column_type.list_size)
        _, batches = self._file.batches(0, self._columns)
        batch = next((batch for batch in batches if len(batch)), None)
        if batch is not None:
            batch.validate(full=True)
        first = batch.column(0)[0].as_py() if batch is not None else None
        if first is None:
            raise UsageError(f"{path}: the first element of column {self._columns[0]!r} is missing: drop it")
        return len(first)

    def iter_arrays(self, start: int) -> Iterator[Array]:
        row, batches = self._file.batches(start, self._columns)
        for batch in batches:
            batch.validate(full=True)  # pyarrow ends the process where offsets lead out of a damaged array
            if row + len(batch) > start:
                yield self._to_array(batch.slice(max(0, start - row)), max(row, start))
            row += len(batch)

    def _to_array(self, batch: Any, first_row: int) -> Array:
        """Return the elements of a batch of the selected columns, `n x d`."""
        return self._from_lists(batch.column(0), first_row) if self._holds_lists else _from_columns(batch)

    def _from_lists(self, column: Any, first_row: int) -> Array:
        """Return `n x d`. Raises UsageError with the first row whose list is missing or of another length."""
        lengths = np.array([self.width]) if hasattr(column.type, "list_size") else _list_lengths(column)
        ragged = np.flatnonzero(lengths != self.width)
        if column.null_count:
            ragged = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        if len(ragged):
            index = int(ragged[0])
            fault = "is missing" if not column[index].is_valid else f"has {lengths[index]} numbers"
            raise UsageError(
                f"{self.path} is ragged: row {first_row + index} (counted from 0) {fault}, "
                f"and the rows before have {self.width}"
            )
        numbers: Array = column.flatten().to_numpy(zero_copy_only=False)
        return numbers.reshape(len(column), self.width)


Table = TypeVar("Table", bound=TableSource)


class GroupedTable(TableSource):
    """The rows of a table, each with the id of its set in the column `by`."""

    def __init__(self, file: TableFile, path: Path, select: Sequence[str], by: str) -> None:
        names = list(file.schema.names)
        if by not in names:
            raise UsageError(f"{path} has no column {by!r}; it has {', '.join(names)}")
        id_type = str(file.schema.field(by).type)
        if not any(word in id_type for word in ("int", "string")):
            raise UsageError(f"{path}: column {by!r} holds {id_type}; set ids are whole numbers or text")
        others = [name for name in names if name != by and not PANDAS_INDEX.fullmatch(name)]
        super().__init__(file, path, list(select) or others)
        self._by = by

    def iter_parts(self) -> Iterator[tuple[Any, Array]]:
        """Yield ids and elements, `n` and `n x d` at a time."""
        row, batches = self._file.batches(0, list(dict.fromkeys([*self._columns, self._by])))
        for batch in batches:
            yield batch.column(self._by), self._to_array(batch.select(self._columns), row)
            row += len(batch)

    def unique_ids(self, parts: Sequence[Any]) -> tuple[list[Any], Array]:
        """Return the ids in the order in which they first appear, and the position of each in them; -1 for none."""
        pyarrow = require("pyarrow", f"{self.path} is read with pyarrow")
        ids = pyarrow.chunked_array(parts).unify_dictionaries().combine_chunks()
        if not hasattr(ids, "dictionary"):
            ids = ids.dictionary_encode()
        return ids.dictionary.to_pylist(), ids.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def _list_lengths(column: Any) -> Array:
    lengths: Array = np.diff(column.offsets.to_numpy())
    return lengths


def _from_columns(batch: Any) -> Array:
    """Return `n x d`; missing values become NaN."""
    return np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1)


def _select_columns(path: Path, schema: Any, select: Sequence[str]) -> list[str]:
    """Return the selected columns, or all. Raises UsageError if they are not numbers, nor one column of lists."""
    for name in select:
        if name not in schema.names:
            raise UsageError(f"{path} has no column {name!r}; it has {', '.join(schema.names)}")
    columns = list(select) or [name for name in schema.names if not PANDAS_INDEX.fullmatch(name)]
    for name in columns:
        column_type = schema.field(name).type
        is_only_list = len(columns) == 1 and _is_list(column_type) and _is_number(column_type.value_type)
        if not _is_number(column_type) and not is_only_list:
            raise UsageError(
                f"{path}: column {name!r} holds {column_type}; an element is one number from each column, or the list "
                "in one column: choose columns with --select"
            )
    return columns


def _warn_of_ids(path: Path, schema: Any, columns: Sequence[str]) -> None:
    """Warn of a column of whole numbers among fractions: an id would be encoded as a coordinate."""
    whole = [name for name in columns if "int" in str(schema.field(name).type)]
    if len(whole) == 1 and len(columns) > 1:
        logger.warning(
            f"warning: {path}: column {whole[0]!r} holds whole numbers and is one of the {len(columns)} of an element; "
            "if it is the id of a set, give --by, and otherwise choose columns with --select"
        )


def _is_list(column_type: Any) -> bool:
    return hasattr(column_type, "value_type") and "list" in str(column_type)


def _is_number(column_type: Any) -> bool:
    return str(column_type) == "bool" or str(column_type).startswith(("int", "uint", "float", "double", "halffloat"))


def _dtype(schema: Any, columns: Sequence[str]) -> np.dtype[Any]:
    types = [schema.field(name).type for name in columns]
    return np.result_type(*(np.dtype(getattr(t, "value_type", t).to_pandas_dtype()) for t in types))


class ParquetFile:
    """The row groups of a Parquet file, decoded a few rows at a time."""

    def __init__(self, module: Encoder, path: Path) -> None:
        self._file = module.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
        self.schema, self.length = self._file.schema_arrow, self._file.metadata.num_rows

    def batches(self, start: int, columns: list[str]) -> tuple[int, Iterator[Any]]:
        """Return the batches of the row groups from that of `start` on."""
        count = self._file.num_row_groups
        ends = np.cumsum([self._file.metadata.row_group(i).num_rows for i in range(count)])
        first = int(np.searchsorted(ends, start, side="right"))
        groups = list(range(first, count))
        batches = self._file.iter_batches(PARQUET_ROWS, row_groups=groups, columns=columns, use_threads=False)
        return int(ends[first - 1]) if first else 0, batches


class ArrowFile:
    """The record batches of an Arrow file."""

    def __init__(self, module: Encoder, path: Path) -> None:
        reason = f"{path} is read with pyarrow"
        pyarrow, dataset = require("pyarrow", reason), require("pyarrow.dataset", reason)
        self._file = module.open_file(pyarrow.OSFile(str(path)))
        self.schema = self._file.schema
        self.length = dataset.dataset(path, format="ipc").count_rows()

    def batches(self, start: int, columns: list[str]) -> tuple[int, Iterator[Any]]:
        """Return all batches: the number of rows of a batch is known only after reading it."""
        return 0, (self._file.get_batch(i).select(columns) for i in range(self._file.num_record_batches))


def open_parquet(path: Path, select: Sequence[str]) -> Source:
    """Open a Parquet file. Raises UsageError as `open_source` does, or what pyarrow raises."""
    return TableSource(_parquet(path), path, select)


def open_arrow(path: Path, select: Sequence[str]) -> Source:
    """Open an Arrow IPC file (Feather, version 2). Raises UsageError as `open_source` does, or what pyarrow raises."""
    return TableSource(_arrow(path), path, select)


def open_grouped_parquet(path: Path, select: Sequence[str], by: str) -> GroupedSource:
    """Open a Parquet file with a column of set ids. Raises UsageError as `open_table` does, or what pyarrow raises."""
    return GroupedTable(_parquet(path), path, select, by)


def open_grouped_arrow(path: Path, select: Sequence[str], by: str) -> GroupedSource:
    """Open an Arrow file with a column of set ids. Raises UsageError as `open_table` does, or what pyarrow raises."""
    return GroupedTable(_arrow(path), path, select, by)


def _parquet(path: Path) -> TableFile:
    return ParquetFile(require("pyarrow.parquet", f"{path} is read with pyarrow"), path)


def _arrow(path: Path) -> TableFile:
    return ArrowFile(require("pyarrow.ipc", f"{path} is read with pyarrow"), path)
