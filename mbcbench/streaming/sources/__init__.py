"""Files that hold a set of elements and may be larger than memory: arrays, tensors, tables and text."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.archives import open_npz, open_tensor
from mbcbench.streaming.sources.arrays import open_hdf5, open_zarr
from mbcbench.streaming.sources.base import Array as Array
from mbcbench.streaming.sources.base import GroupedSource as GroupedSource
from mbcbench.streaming.sources.base import Source as Source
from mbcbench.streaming.sources.npy import open_npy
from mbcbench.streaming.sources.parts import JoinedSource
from mbcbench.streaming.sources.tables import open_arrow, open_grouped_arrow, open_grouped_parquet, open_parquet
from mbcbench.streaming.sources.text import open_grouped_text, open_text

FORMATS: dict[str, Callable[[Path, Sequence[str]], Source]] = {
    ".npy": open_npy, ".npz": open_npz,
    ".pt": open_tensor, ".pth": open_tensor,
    ".csv": open_text, ".tsv": open_text,
    ".parquet": open_parquet, ".pq": open_parquet,
    ".arrow": open_arrow, ".feather": open_arrow,
    ".h5": open_hdf5, ".hdf5": open_hdf5,
    ".zarr": open_zarr,
}  # fmt: skip

TABLES: dict[str, Callable[[Path, Sequence[str], str], GroupedSource]] = {
    ".csv": open_grouped_text, ".tsv": open_grouped_text,
    ".parquet": open_grouped_parquet, ".pq": open_grouped_parquet,
    ".arrow": open_grouped_arrow, ".feather": open_grouped_arrow,
}  # fmt: skip


def open_source(path: Path, select: Sequence[str] = ()) -> Source:
    """Open a file that holds a set; its suffix determines the format.

    select: columns of a table, or the array or tensor of a file that holds several.
    Raises UsageError if the file is missing or damaged, does not hold `n x d` numbers, or needs a library that is not
    installed.
    """
    _check_format(path, FORMATS)
    return FORMATS[path.suffix](path, select)


def open_parts(paths: Sequence[Path], select: Sequence[str] = ()) -> Source:
    """Open the files of a set as one. Raises UsageError as `open_source` does, and if they differ in width."""
    sources = [open_source(path, select) for path in paths]
    return sources[0] if len(sources) == 1 else JoinedSource(sources)


def open_table(path: Path, by: str, select: Sequence[str] = ()) -> GroupedSource:
    """Open a table whose column `by` says for each row to which set it belongs.

    select: columns with the elements; by default all others.
    Raises UsageError as `open_source` does, and if there is no such column of whole numbers or text.
    """
    _check_format(path, TABLES, f"; --by {by} needs a table with a column of this name")
    return TABLES[path.suffix](path, select, by)


def _check_format(path: Path, formats: Collection[str], reason: str = "") -> None:
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    if path.suffix not in formats:
        what = "is a folder" if path.is_dir() else f"ends in {path.suffix!r}"
        raise UsageError(f"{path} {what}{reason}; use one of {', '.join(formats)}")
