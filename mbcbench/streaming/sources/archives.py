"""Arrays and tensors by name: NumPy's .npz, and what torch.save wrote."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.arrays import READ_BYTES, array_name
from mbcbench.streaming.sources.base import Array, SequentialSource, Source

_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpzSource(SequentialSource):
    """An array of a .npz file, compressed or not, which is read from its beginning on."""

    def __init__(self, path: Path, member: str) -> None:
        self._member = member
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            shape, is_in_columns, dtype = _read_header(file)
            size = archive.getinfo(member).file_size - file.tell()
        if is_in_columns:
            raise UsageError(f"{path} holds {member} in column order; save it as .npy, or in row order")
        super().__init__(path, shape, dtype)
        if size != self.length * self.width * dtype.itemsize:
            raise ValueError(f"its header promises {self.length} elements, which are not there")

    def iter_arrays(self, start: int) -> Iterator[Array]:
        row_bytes = self.width * self.dtype.itemsize
        rows = max(1, READ_BYTES // row_bytes)
        with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as file:
            _read_header(file)
            file.seek(start * row_bytes, 1)
            for first in range(start, self.length, rows):
                data = file.read(min(rows, self.length - first) * row_bytes)
                yield np.frombuffer(data, self.dtype).reshape(-1, self.width)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ValueError(f"version {version} of the format")
    shape, is_in_columns, dtype = _HEADER_READERS[version](file)
    return shape, is_in_columns, dtype


def open_npz(path: Path, select: Sequence[str]) -> Source:
    """Open an array of a .npz file. Raises UsageError as `open_source` does, or what zipfile and numpy raise."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    return NpzSource(path, f"{array_name(path, names, select)}.npy")


class TensorSource(Source):
    """A tensor in a file of torch, mapped into memory."""

    supports_random_access = True

    def __init__(self, path: Path, tensor: Tensor) -> None:
        if tensor.dtype == torch.bfloat16:  # NumPy has no such type
            dtype = np.dtype(np.float32)
        else:
            dtype = torch.empty(0, dtype=tensor.dtype).numpy().dtype
        super().__init__(path, tensor.shape, dtype)
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UsageError(f"{path} holds a view that repeats its numbers: save it with .contiguous()")
        self._tensor = tensor.detach()

    def _read(self, start: int, out: Array) -> None:
        torch.from_numpy(out).copy_(self._tensor[start : start + len(out)])


def open_tensor(path: Path, select: Sequence[str]) -> Source:
    """Open a tensor that torch.save wrote, or one of a dict of tensors.

    Raises UsageError as `open_source` does, or what torch raises.
    """
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # the message of torch advises to load the file with pickle
        raise ValueError("it is damaged, or holds other objects than tensors") from error
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        return TensorSource(path, tensors[array_name(path, list(tensors), select)])
    if not isinstance(content, Tensor):
        raise UsageError(f"{path} holds a {type(content).__name__}, and a set is a tensor n x d")
    if select:
        raise UsageError(f"{path} holds one tensor and has no names to select {', '.join(select)} from")
    return TensorSource(path, content)
