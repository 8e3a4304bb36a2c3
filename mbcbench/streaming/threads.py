"""Work done side by side on threads, its results in order: torch leaves Python's lock while it computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Tool = TypeVar("Tool")
Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    function: Callable[[Tool, Item], Result], tools: Iterable[Tool], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """`function(tool, item)` for each item, in the order of the items, a thread for each tool.

    No tool is used by two threads at a time. `ahead` items are under way, or done and not asked for, at a time.
    """
    free: SimpleQueue[Tool] = SimpleQueue()
    for tool in tools:
        free.put(tool)

    def work(item: Item) -> Result:
        tool = free.get()
        try:
            return function(tool, item)
        finally:
            free.put(tool)

    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(free.qsize()) as pool:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) == ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
