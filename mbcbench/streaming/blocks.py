"""Blocks of a set that is read from a file."""

import itertools
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

from mbcbench.streaming.sources.base import Array, Source
from mbcbench.streaming.threads import concurrent_map


class Block(NamedTuple):
    """Consecutive elements of a set.

    start: index of the first element.
    buffer: memory for the elements (`n_c x d`).
    unread: the source to read them from, if that is still to be done.
    """

    start: int
    buffer: Array
    unread: Source | None = None

    def chunks(self, size: int) -> Iterator[tuple[int, Array]]:
        """Yield the index of each chunk's first element and its elements, `size` at a time.

        The elements of an unread block are read chunk by chunk, so that they are in cache when they are encoded.
        Raises UsageError when elements cannot be read.
        """
        for offset in range(0, len(self.buffer), size):
            chunk = self.buffer[offset : offset + size]
            if self.unread is not None:
                self.unread.read(self.start + offset, chunk)
            yield self.start + offset, chunk


def iter_blocks(source: Source, start: int, size: int, *, dtype: np.dtype[Any], in_use: int = 1) -> Generator[Block]:
    """Yield the elements from `start` on, `size` at a time.

    A source that supports random access gives unread blocks, which any thread may read. Any other is read ahead on a
    thread of its own, one block at a time.

    in_use: number of blocks that stay valid; a further one overwrites the oldest.
    Raises UsageError when elements cannot be read.
    """
    if source.supports_random_access:
        yield from _unread_blocks(source, start, size, dtype, buffers=in_use)
    else:
        blocks = _unread_blocks(source, start, size, dtype, buffers=in_use + 1)  # one more is being filled
        yield from concurrent_map(_read, [source], blocks, in_flight=2)


def _unread_blocks(source: Source, start: int, size: int, dtype: np.dtype[Any], buffers: int) -> Iterator[Block]:
    shape = min(size, source.length - start), source.width
    memory = itertools.cycle([np.empty(shape, dtype) for _ in range(buffers)])
    for first in range(start, source.length, size):
        yield Block(first, next(memory)[: source.length - first], source)


def _read(source: Source, block: Block) -> Block:
    source.read(block.start, block.buffer)
    return Block(block.start, block.buffer)
