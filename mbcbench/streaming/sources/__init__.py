"""Files that hold a set of elements and may be larger than memory: arrays, tensors, tables and text."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mbcbench.errors import UsageError, one_line
from mbcbench.streaming.sources.archives import open_npz, open_tensor
from mbcbench.streaming.sources.arrays import open_hdf5, open_zarr
from mbcbench.streaming.sources.base import Array as Array
from mbcbench.streaming.sources.base import GroupedSource as GroupedSource
from mbcbench.streaming.sources.base import Source as Source
from mbcbench.streaming.sources.npy import open_npy
from mbcbench.streaming.sources.parts import JoinedSource
from mbcbench.streaming.sources.tables import open_arrow, open_grouped_arrow, open_grouped_parquet, open_parquet
from mbcbench.streaming.sources.text import open_grouped_text, open_text


class Format(NamedTuple):
    """A format of files.

    name: in messages. open: opens a file, given the selected columns or array. open_table: opens a file with a column
    of set ids, given the selected columns and the name of the id column; None for a format without columns.
    """

    name: str
    open: Callable[[Path, Sequence[str]], Source]
    open_table: Callable[[Path, Sequence[str], str], GroupedSource] | None = None


NPY, NPZ = Format("a complete .npy file of numbers", open_npy), Format("a complete .npz file", open_npz)
TENSOR = Format("a complete file of tensors that torch saved", open_tensor)
TEXT = Format("a text file of numbers", open_text, open_grouped_text)
PARQUET = Format("a complete Parquet file", open_parquet, open_grouped_parquet)
ARROW = Format("a complete Arrow file", open_arrow, open_grouped_arrow)
HDF5, ZARR = Format("a complete HDF5 file", open_hdf5), Format("a Zarr array or group", open_zarr)

FORMATS = {
    ".npy": NPY, ".npz": NPZ,
    ".pt": TENSOR, ".pth": TENSOR,
    ".csv": TEXT, ".tsv": TEXT,
    ".parquet": PARQUET, ".pq": PARQUET,
    ".arrow": ARROW, ".feather": ARROW,
    ".h5": HDF5, ".hdf5": HDF5,
    ".zarr": ZARR,
}  # fmt: skip


def open_source(path: Path, select: Sequence[str] = ()) -> Source:
    """Open a file that holds a set; its suffix determines the format.

    select: columns of a table, or the array or tensor of a file that holds several.
    Raises UsageError if the file is missing or damaged, does not hold `n x d` numbers, or needs a library that is not
    installed.
    """
    file_format = _format_of(path, FORMATS)
    with _explain_damage(path, file_format):
        return file_format.open(path, select)


def open_parts(paths: Sequence[Path], select: Sequence[str] = ()) -> Source:
    """Open the files of a set as one. Raises UsageError as `open_source` does, and if they differ in width."""
    sources = [open_source(path, select) for path in paths]
    return sources[0] if len(sources) == 1 else JoinedSource(sources)


def open_table(path: Path, by: str, select: Sequence[str] = ()) -> GroupedSource:
    """Open a table whose column `by` says for each row to which set it belongs.

    select: columns with the elements; by default all others.
    Raises UsageError as `open_source` does, and if there is no such column of whole numbers or text.
    """
    tables = {suffix: file_format for suffix, file_format in FORMATS.items() if file_format.open_table is not None}
    file_format = _format_of(path, tables, f"; --by {by} needs a table with a column of this name")
    assert file_format.open_table is not None
    with _explain_damage(path, file_format):
        return file_format.open_table(path, select, by)


def _format_of(path: Path, formats: Mapping[str, Format], reason: str = "") -> Format:
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    if path.suffix not in formats:
        what = "is a folder" if path.is_dir() else f"ends in {path.suffix!r}"
        raise UsageError(f"{path} {what}{reason}; use one of {', '.join(formats)}")
    return formats[path.suffix]


@contextlib.contextmanager
def _explain_damage(path: Path, file_format: Format) -> Iterator[None]:
    """Raise UsageError in place of the exceptions, of any type, that a library raises for a damaged file."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{path} is not {file_format.name} ({one_line(error)}); write it again") from error
