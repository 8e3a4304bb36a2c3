"""Concurrent work on threads, and torch's settings for its own threads.

Threads pay off because torch releases Python's lock while it computes, and file reads do so too.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch

Worker = TypeVar("Worker")
Item = TypeVar("Item")
Result = TypeVar("Result")


def concurrent_map(
    function: Callable[[Worker, Item], Result], workers: Iterable[Worker], items: Iterable[Item], *, in_flight: int
) -> Generator[Result]:
    """Yield `function(worker, item)` for each item, in the order of the items, computed on one thread per worker.

    A worker is used by one thread at a time. At most `in_flight` items are taken from `items` and not yet yielded,
    so `items` may reuse the memory of the item that many places earlier. An exception is raised in place of its result.
    """
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run(item: Item) -> Result:
        worker = idle.get()
        try:
            return function(worker, item)
        finally:
            idle.put(worker)

    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(idle.qsize()) as pool:
        for item in items:
            pending.append(pool.submit(run, item))
            if len(pending) == in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def read_ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yield the items; another thread makes the next item while one is used."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, items, None)
            yield item


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def torch_settings(*, threads: int, seed: int) -> Iterator[None]:
    """Let torch use `threads` threads and draw from `seed` on within the block; restore both afterwards."""
    with torch.random.fork_rng(devices=[]), torch_threads(threads):
        torch.manual_seed(seed)
        yield
