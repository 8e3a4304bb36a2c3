"""Work in parts on all cores. Each finished part is saved, so that interrupted work can be continued."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.datasets.progress import Tracker, progress

Task = TypeVar("Task")
Item = TypeVar("Item")


class Work(NamedTuple):
    """Description of work for the display, with its total amount and unit."""

    description: str
    total: int
    unit: str


def compute_in_parts(
    key: str, tasks: Iterable[tuple[int, Task]], compute: Callable[[Task], NDArray[Any]], work: Work
) -> NDArray[Any]:
    """Return `compute(task)` of all tasks, concatenated; parts of an interrupted call with the same key are reused.

    Call it in the `make` of `cache.cached_arrays` with that key. The tasks run in threads, one per core, so `compute`
    should spend its time in native code. Each pair of an amount of work and a task is taken from `tasks`
    shortly before it runs. The saved parts are deleted when the arrays of the key are complete.
    """
    folder = cache.parts_folder(key)
    folder.mkdir(parents=True, exist_ok=True)
    workers = _cores()
    files: list[Path] = []
    running: dict[Future[None], int] = {}  # with their amounts of work
    pool = ThreadPoolExecutor(workers)
    with progress(*work) as tracker:
        try:
            for number, (amount, task) in enumerate(tasks):
                files.append(folder / f"{number:05}.npy")
                if _is_readable(files[-1]):
                    tracker.reuse(amount)
                    continue
                running[pool.submit(_compute_part, files[-1], task, compute)] = amount
                if len(running) > workers:  # one more, so that no thread waits for its task
                    _wait_for_any(running, tracker)
            while running:
                _wait_for_any(running, tracker)
        finally:
            pool.shutdown(cancel_futures=True)
    return np.concatenate([np.load(file, mmap_mode="r", allow_pickle=False) for file in files])


def in_blocks(items: Sequence[Item], size: int) -> Iterator[tuple[int, Sequence[Item]]]:
    """Yield the items in blocks of `size`, each with its length: tasks for `compute_in_parts`."""
    for start in range(0, len(items), size):
        block = items[start : start + size]
        yield len(block), block


def _cores() -> int:
    """Return the number of usable cores, without `mbcbench.system`: a change there would invalidate more records."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wait_for_any(running: dict[Future[None], int], tracker: Tracker) -> None:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        future.result()
        tracker.advance(running.pop(future))


def _compute_part(file: Path, task: Task, compute: Callable[[Task], NDArray[Any]]) -> None:
    """Compute and save one part, all of it or nothing."""
    part = file.with_suffix(".part")
    with part.open("wb") as open_file:
        np.save(open_file, compute(task), allow_pickle=False)
        open_file.flush()
        os.fsync(open_file.fileno())  # on disk before the name points to it
    part.replace(file)


def _is_readable(file: Path) -> bool:
    try:
        np.load(file, mmap_mode="r", allow_pickle=False)
    except cache.UNREADABLE:
        return False
    return True
