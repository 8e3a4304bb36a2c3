"""Files that hold a set of elements and may be larger than memory: arrays, tensors, tables and text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mbcbench.errors import UsageError, one_line
from mbcbench.streaming.sources.archives import open_npz, open_tensor
from mbcbench.streaming.sources.arrays import open_hdf5, open_zarr
from mbcbench.streaming.sources.base import Array as Array
from mbcbench.streaming.sources.base import Source as Source
from mbcbench.streaming.sources.npy import open_npy
from mbcbench.streaming.sources.tables import open_arrow, open_parquet
from mbcbench.streaming.sources.text import open_text


class Format(NamedTuple):
    """A format of files: its name in messages, and what opens a file, given the selected columns or array."""

    name: str
    open: Callable[[Path, Sequence[str]], Source]


NPY, NPZ = Format("a complete .npy file of numbers", open_npy), Format("a complete .npz file", open_npz)
TENSOR, TEXT = (
    Format("a complete file of tensors that torch saved", open_tensor),
    Format("a text file of numbers", open_text),
)
PARQUET, ARROW = Format("a complete Parquet file", open_parquet), Format("a complete Arrow file", open_arrow)
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
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    if path.suffix not in FORMATS:
        what = "is a folder" if path.is_dir() else f"ends in {path.suffix!r}"
        raise UsageError(f"{path} {what}; use one of {', '.join(FORMATS)}")
    file_format = FORMATS[path.suffix]
    try:
        return file_format.open(path, select)
    except UsageError:
        raise
    except Exception as error:  # the libraries raise many types for damaged files
        raise UsageError(f"{path} is not {file_format.name} ({one_line(error)}); write it again") from error
