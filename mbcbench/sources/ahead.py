"""Blocks of a source: where they lie in the file, or copied by a thread that reads ahead while others are encoded."""

import contextlib
import threading
from collections import deque
from collections.abc import Generator
from queue import SimpleQueue
from typing import Any

import numpy as np

from mbcbench.sources.base import Array, Source


def blocks(
    source: Source, start: int, size: int, *, dtype: np.dtype[Any], held: int = 1
) -> Generator[tuple[int, Array]]:
    """The elements from `start` on, `size` at a time (`n_c x d`), and where each block begins.

    held: the number of blocks that are good at a time; each more asked for overwrites the oldest.
    Raises UsageError when elements cannot be read.
    """
    found = source.windows(start, size, dtype)
    with contextlib.closing(_read_ahead(source, start, size, dtype, held)) as copied:
        yield from zip(range(start, source.length, size), copied if found is None else found, strict=True)


def _read_ahead(source: Source, start: int, size: int, dtype: np.dtype[Any], held: int) -> Generator[Array]:
    free: SimpleQueue[Array | None] = SimpleQueue()
    ready: SimpleQueue[tuple[Array, int] | BaseException | None] = SimpleQueue()
    for _ in range(held + 1):  # one that is read into
        free.put(np.empty((min(size, source.length - start), source.width), dtype))

    def read() -> None:
        try:
            for at in range(start, source.length, size):
                buffer = free.get()
                if buffer is None:  # nobody wants more
                    return
                block = buffer[: source.length - at]
                source.read(at, block)
                ready.put((buffer, len(block)))
            ready.put(None)
        except BaseException as error:  # it is raised where the elements are used
            ready.put(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    lent: deque[Array] = deque()
    try:
        while (got := ready.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            buffer, length = got
            lent.append(buffer)
            yield buffer[:length]
            if len(lent) == held:
                free.put(lent.popleft())
    finally:
        free.put(None)
        thread.join()
