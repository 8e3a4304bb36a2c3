"""Run one cell, inside a process of its own."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import replace

from mbcbench import registry, system
from mbcbench.errors import BrokenPluginError, one_line
from mbcbench.execution.suite import PROBE, Suite
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

OUT_OF_MEMORY = ("can't allocate memory", "bad_alloc", "Cannot allocate memory")
GRACE = 10.0  # seconds; the runner ends a cell that takes too long well before this


def execute(cell: Cell, seconds: float, memory_bytes: int, log: str, folder: str) -> list[str]:
    """Run one cell in `folder` under a memory limit, with its output sent to the file `log`.

    Return its records as lines of JSON, so that no object of a plug-in reaches the main process. An exception becomes a
    record.
    """
    import torch

    gc.freeze()  # a collection would touch, and so copy, all that the fork server has loaded: a fifth of a second
    torch.set_num_threads(1)
    _die_with_the_run(seconds)
    _redirect_output(log)
    os.chdir(folder)
    began = time.perf_counter()
    try:
        with system.limit_private_memory(memory_bytes):
            records = list(_suite(cell.suite).run(cell)) or [_nothing(cell)]
            lines = [_stamped(record, began).to_json() for record in records]
    except BaseException as error:  # a plug-in may call sys.exit
        lines = [_stamped(cell.record(_status(error), message=_message(error)), began).to_json()]
    return lines


def _suite(name: str) -> Suite:
    if name == PROBE:
        from mbcbench.execution.probe import SUITE

        return SUITE
    suite: Suite = registry.plugin(registry.SUITES, name).load()
    return suite


def _nothing(cell: Cell) -> Record:
    return cell.record(Status.ERROR, message=f"suite {cell.suite} returned no record of this cell")


def _stamped(record: Record, began: float) -> Record:
    seconds = record.seconds or time.perf_counter() - began
    return replace(record, seconds=seconds, detail={**record.detail, "peak_rss_bytes": system.peak_resident_bytes()})


def _status(error: BaseException) -> Status:
    cause = error.__cause__ if isinstance(error, BrokenPluginError) and error.__cause__ else error
    short_of_memory = isinstance(cause, MemoryError) or any(words in str(cause) for words in OUT_OF_MEMORY)
    return Status.OOM if short_of_memory else Status.ERROR


def _message(error: BaseException) -> str:
    if isinstance(error, MemoryError) and not str(error):  # Python's own says nothing
        return "MemoryError: the cell's memory limit was reached"
    return str(error) if isinstance(error, BrokenPluginError) else one_line(error)


def _redirect_output(log: str) -> None:
    """Send standard output and error, of native code too, to a file: a plug-in must not write over the display."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _die_with_the_run(seconds: float) -> None:
    """End this process when the run that started it is gone, even one that was killed.

    A thread waits for that; where native code lets no thread run, the kernel's alarm ends the process in the end.
    """
    run = multiprocessing.parent_process()
    assert run is not None

    def watch() -> None:
        run.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if hasattr(signal, "setitimer"):  # POSIX
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
