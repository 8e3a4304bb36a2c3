"""Reading ahead: a thread reads the next elements while the present ones are encoded."""

import threading
from collections import deque
from collections.abc import Generator
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from mbcbench.errors import UsageError
from mbcbench.sources.base import Array, Source

BLOCK_BYTES = 2**21  # read at a time: more costs cache, less costs handing over


def read_ahead(
    source: Source, start: int, size: int, *, dtype: np.dtype[Any], allow_nonfinite: bool = False, held: int = 1
) -> Generator[Array]:
    """The elements from `start` on, `size` at a time (`n_c x d`).

    held: the number of chunks that are good at a time; each more asked for overwrites the oldest.
    Raises UsageError when elements cannot be read, or are not finite.
    """
    rows = size * max(1, BLOCK_BYTES // (size * source.width * dtype.itemsize))
    free: SimpleQueue[Array | None] = SimpleQueue()
    ready: SimpleQueue[tuple[Array, int] | BaseException | None] = SimpleQueue()
    for _ in range(held + 1):  # one that is read into
        free.put(np.empty((min(rows, source.length - start), source.width), dtype))

    def read() -> None:
        try:
            for at in range(start, source.length, rows):
                buffer = free.get()
                if buffer is None:  # nobody wants more
                    return
                block = buffer[: source.length - at]
                source.read(at, block)
                if not allow_nonfinite:
                    _check_finite(source, at, block)
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
            for at in range(0, length, size):
                yield buffer[at : min(at + size, length)]
            if len(lent) == held:
                free.put(lent.popleft())
    finally:
        free.put(None)
        thread.join()


def _check_finite(source: Source, start: int, block: Array) -> None:
    """Raise UsageError naming the first row that is not finite. The sum tells of one at once, and far faster."""
    if torch.from_numpy(block).sum().isfinite():
        return
    bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(bad):
        row = start + int(bad[0])
        raise UsageError(
            f"{source.path}: row {row} (counted from 0) is not finite; drop it, or encode it with --allow-nonfinite"
        )
