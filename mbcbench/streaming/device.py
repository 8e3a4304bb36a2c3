"""Chunks of a set on a CUDA device: the file is read into pinned memory while the device copies and encodes."""

import itertools
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mbcbench.streaming.sources.base import Array, Source

CHUNK_NUMBERS = 2**24  # numbers in a default chunk: copying takes a millisecond, far longer than a kernel launch
BUFFERS = 2  # one is read into while the device copies the other


class DeviceChunk(NamedTuple):
    """The elements from `start` on, `1 x n_c x d`, on the device."""

    start: int
    x: Tensor


def iter_device_chunks(
    source: Source,
    start: int,
    size: int,
    *,
    dtype: np.dtype[Any],
    device: torch.device,
    threads: int,
    allow_nonfinite: bool = False,
) -> Generator[DeviceChunk]:
    """Yield the elements from `start` on, `size` at a time. `threads` read a source that supports random access.

    Raises UsageError when elements cannot be read or are not finite.
    """
    shape = min(size, source.length - start), source.width
    link = _CudaLink(device) if device.type == "cuda" else _NoLink()
    buffers = itertools.cycle([link.new_buffer(shape, dtype) for _ in range(BUFFERS)])
    readers = threads if source.supports_random_access else 1
    with ThreadPoolExecutor(readers) as pool:
        for first in range(start, source.length, size):
            buffer = next(buffers)
            link.wait_until_copied(buffer)
            elements = buffer[: source.length - first]
            _read(source, first, elements.numpy(), pool, readers, allow_nonfinite)
            yield DeviceChunk(first, link.copy(elements, buffer)[None])


def _read(
    source: Source, start: int, out: Array, pool: ThreadPoolExecutor, readers: int, allow_nonfinite: bool
) -> None:
    """Fill `out` with the elements from `start` on, a part on each thread."""

    def read_part(bounds: tuple[int, int]) -> None:
        first, end = bounds
        source.read(start + first, out[first:end])
        if not allow_nonfinite:
            source.refuse_nonfinite(start + first, out[first:end])

    ends = np.linspace(0, len(out), min(readers, len(out)) + 1).astype(int).tolist()
    for _ in pool.map(read_part, itertools.pairwise(ends)):  # an error of any part is raised here
        pass


class _CudaLink:
    """Copies from pinned memory, on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copied: dict[int, torch.cuda.Event] = {}

    def new_buffer(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Tensor:
        return torch.from_numpy(np.empty(shape, dtype)).pin_memory()

    def wait_until_copied(self, buffer: Tensor) -> None:
        if buffer.data_ptr() in self._copied:
            self._copied[buffer.data_ptr()].synchronize()

    def copy(self, elements: Tensor, buffer: Tensor) -> Tensor:
        """Start a copy of the first elements of a buffer; kernels that are launched afterwards wait for it."""
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            x = elements.to(self._device, non_blocking=True)
            self._copied[buffer.data_ptr()] = self._stream.record_event()
        current.wait_stream(self._stream)
        x.record_stream(current)  # its memory is not used again before the encoder has read it
        return x


class _NoLink:
    """The interface of `_CudaLink` without a device."""

    def new_buffer(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Tensor:
        return torch.from_numpy(np.empty(shape, dtype))

    def wait_until_copied(self, buffer: Tensor) -> None:
        """Return at once: a copy is complete when it is returned."""

    def copy(self, elements: Tensor, buffer: Tensor) -> Tensor:
        return elements.clone()
