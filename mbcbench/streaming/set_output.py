"""Files with the encodings of many sets: Parquet, .csv and .npz."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mbcbench.errors import UsageError, require
from mbcbench.streaming.encoded_sets import EncodedSets
from mbcbench.system import check_replaceable, replaced_atomically


class SetWriter(Protocol):
    """Writes sets in their order."""

    def write(self, sets: EncodedSets) -> None:
        """Write some sets."""

    def close(self) -> None:
        """Write the end of the file."""


class ParquetWriter:
    """A column of ids, and one with a list of numbers per set; the metadata of the file say the `shape` of the list."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, sets: EncodedSets) -> None:
        pyarrow = require("pyarrow", "a .parquet file is written with pyarrow")
        rows = sets.encodings.reshape(len(sets.ids), -1)
        encodings = pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
        shape = str(list(sets.encodings.shape[1:]))
        table = pyarrow.table({"id": pyarrow.array(sets.ids), "encoding": encodings}).replace_schema_metadata(
            {"shape": shape}
        )
        if self._writer is None:
            self._writer = require("pyarrow.parquet", "").ParquetWriter(
                self._path, table.schema, compression="none", use_dictionary=False
            )
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class CsvWriter:
    """One line per set: its id, and the numbers of its encoding."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._has_names = False

    def write(self, sets: EncodedSets) -> None:
        import csv

        rows, writer = sets.encodings.reshape(len(sets.ids), -1), csv.writer(self._file)
        if not self._has_names:
            writer.writerow(["id", *(f"e{number}" for number in range(rows.shape[1]))])
            self._has_names = True
        writer.writerows([set_id, *numbers] for set_id, numbers in zip(sets.ids, rows.tolist(), strict=True))

    def close(self) -> None:
        self._file.close()


class NpzWriter:
    """Two arrays: `id` (`n`), and `encoding` (`n x ...`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[EncodedSets] = []

    def write(self, sets: EncodedSets) -> None:
        self._parts.append(sets)

    def close(self) -> None:
        if not self._parts:
            return
        ids = np.array([set_id for part in self._parts for set_id in part.ids])
        encodings = np.concatenate([part.encodings for part in self._parts])
        with self._path.open("wb") as file:  # np.savez would add a suffix to a path
            np.savez(file, allow_pickle=False, id=ids, encoding=encodings)


WRITERS: dict[str, type[ParquetWriter | CsvWriter | NpzWriter]] = {
    ".parquet": ParquetWriter,
    ".csv": CsvWriter,
    ".npz": NpzWriter,
}


def check_set_output(path: Path) -> None:
    """Raise UsageError if the encodings of sets cannot be written to `path`."""
    if path.suffix not in WRITERS:
        *others, last = WRITERS
        raise UsageError(f"--out {path} ends in {path.suffix!r}; for many sets use {', '.join(others)} or {last}")
    if path.suffix == ".parquet":
        require("pyarrow", f"{path} is written with pyarrow (or use --out with .csv or .npz)")
    check_replaceable(path)


@contextlib.contextmanager
def open_set_writer(path: Path) -> Iterator[SetWriter]:
    """Yield a writer. Its file replaces `path` at the end, unless the block raises."""
    with replaced_atomically(path) as part:
        writer: SetWriter = WRITERS[path.suffix](part)
        try:
            yield writer
        finally:
            writer.close()
