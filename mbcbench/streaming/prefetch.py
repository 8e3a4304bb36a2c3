"""Blocks of a source: read by whoever wants them, or by a thread that reads ahead while others are encoded."""

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from mbcbench.streaming.sources.base import Array, Source


class Block(NamedTuple):
    """The elements of a set from `start` on, as many as there is room for (`n_c x d`)."""

    start: int
    room: Array
    unread: Source | None = None

    def chunks(self, size: int) -> Iterator[tuple[int, Array]]:
        """The elements, `size` at a time, and where each chunk starts.

        What is unread is read chunk by chunk, so that it is in cache when it is wanted.
        Raises UsageError when elements cannot be read.
        """
        for at in range(0, len(self.room), size):
            chunk = self.room[at : at + size]
            if self.unread is not None:
                self.unread.read(self.start + at, chunk)
            yield self.start + at, chunk


def blocks(source: Source, start: int, size: int, *, dtype: np.dtype[Any], held: int = 1) -> Generator[Block]:
    """The elements from `start` on, `size` at a time. Those of a source that can be read anywhere are not yet read.

    held: the number of blocks that are good at a time; each more asked for overwrites the oldest.
    Raises UsageError when elements cannot be read.
    """
    starts = range(start, source.length, size)
    rooms = [np.empty((min(size, source.length - start), source.width), dtype) for _ in range(held)]
    if source.anywhere:
        for at, room in zip(starts, itertools.cycle(rooms), strict=False):
            yield Block(at, room[: source.length - at], source)
    else:
        rooms.append(np.empty_like(rooms[0]))  # that is read into
        with contextlib.closing(_read_ahead(source, starts, rooms)) as found:
            yield from found


def _read_ahead(source: Source, starts: range, rooms: list[Array]) -> Generator[Block]:
    free: SimpleQueue[Array | None] = SimpleQueue()
    ready: SimpleQueue[tuple[int, Array] | BaseException | None] = SimpleQueue()
    for room in rooms:
        free.put(room)

    def read() -> None:
        try:
            for at in starts:
                room = free.get()
                if room is None:  # nobody wants more
                    return
                source.read(at, room[: source.length - at])
                ready.put((at, room))
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
            at, room = got
            lent.append(room)
            yield Block(at, room[: source.length - at])
            if len(lent) == len(rooms) - 1:
                free.put(lent.popleft())
    finally:
        free.put(None)
        thread.join()
