"""Files that hold a set of elements and may be larger than memory: .npy, Parquet, Arrow, HDF5 and Zarr."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.arrays import open_hdf5, open_zarr
from mbcbench.streaming.sources.base import Array as Array
from mbcbench.streaming.sources.base import Source as Source
from mbcbench.streaming.sources.npy import open_npy
from mbcbench.streaming.sources.tables import open_arrow, open_parquet

FORMATS: dict[str, Callable[[Path, Sequence[str]], Source]] = {
    ".npy": open_npy,
    ".parquet": open_parquet, ".pq": open_parquet,
    ".arrow": open_arrow, ".feather": open_arrow,
    ".h5": open_hdf5, ".hdf5": open_hdf5,
    ".zarr": open_zarr,
}  # fmt: skip


def open_source(path: Path, select: Sequence[str] = ()) -> Source:
    """Open a file that holds a set; its suffix determines the format.

    select: columns of a table, or the array of an HDF5 or Zarr group.
    Raises UsageError if the file is missing or damaged, does not hold `n x d` numbers, or needs a library that is not
    installed.
    """
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    if path.suffix not in FORMATS:
        raise UsageError(f"{path} ends in {path.suffix!r}; use one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix](path, select)
