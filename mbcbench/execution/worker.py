"""Worker: the code that runs in the process of a cell."""

import gc
import math
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from mbcbench import registry, system
from mbcbench.errors import (
    BrokenPluginError,
    LawOutOfMemoryError,
    is_out_of_memory,
    one_line,
    user_frame,
    user_traceback,
)
from mbcbench.execution.suite import PROBE, Suite
from mbcbench.records.cell import Cell
from mbcbench.records.detail import ErrorDetail
from mbcbench.records.record import Record, Status

REQUESTED_BYTES = re.compile(r"tried to allocate (\d+) bytes")  # in the message of PyTorch's allocator
GRACE_SECONDS = 10.0  # the runner kills a process that takes too long well before this


def execute(cell: Cell, seconds: float | None, memory_bytes: int, log: str, folder: str) -> list[str]:
    """Run one cell in `folder` under a memory limit, and send its output to the file `log`.

    Return its records as lines of JSON, so that no object of a plug-in reaches the main process. An exception of the
    cell becomes a record.
    """
    gc.freeze()  # a collection would visit, and so copy, all objects of the fork server: a fifth of a second
    _end_with_main_process(seconds)
    set_up(log, folder)
    lines: list[str] = []
    start = time.perf_counter()

    def run() -> None:
        records = list(load_suite(cell.suite).run(cell)) or [_no_record(cell)]
        lines.extend(_to_lines(records, start))

    return attempt(cell, memory_bytes, run) or lines


def set_up(log: str, folder: str) -> None:
    """Run on one thread, in `folder`, and send the output to the file `log`."""
    import torch

    torch.set_num_threads(1)
    os.environ.pop("PYTHONSAFEPATH", None)  # meant for the fork server, not for programs that a plug-in starts
    _redirect_output(log)
    os.makedirs(folder, exist_ok=True)  # another cell may have deleted it
    os.chdir(folder)


def attempt(cell: Cell, memory_bytes: int, action: Callable[[], None]) -> list[str] | None:
    """Run an action for a cell under a memory limit; return records of the error if it raises, else None."""
    start = time.perf_counter()
    try:
        with system.limit_private_memory(memory_bytes):
            action()
        return None
    except BaseException as error:  # a plug-in may call sys.exit
        detail = ErrorDetail(traceback=user_traceback(error))
        return _to_lines([cell.record(_status(error), message=_message(error, memory_bytes), detail=detail)], start)


def load_suite(name: str) -> Suite:
    """Return a registered suite, or that of the probes."""
    if name == PROBE:
        from mbcbench.execution.probe import SUITE

        return SUITE
    suite: Suite = registry.plugin(registry.SUITES, name).load()
    return suite


def _no_record(cell: Cell) -> Record:
    return cell.record(Status.ERROR, message=f"suite {cell.suite} returned no record of this cell")


def _to_lines(records: Iterable[Record], start: float) -> list[str]:
    """Return records as JSON, with the time and memory of the cell where they have none of their own."""
    seconds, peak = time.perf_counter() - start, {"peak_rss_bytes": system.peak_resident_bytes()}
    stamped = (replace(r, seconds=r.seconds or seconds, detail={**r.detail, **peak}) for r in records)
    return [record.to_json() for record in stamped]


def _status(error: BaseException) -> Status:
    cause = error.__cause__ if isinstance(error, BrokenPluginError) and error.__cause__ else error
    return Status.OOM if is_out_of_memory(cause) else Status.ERROR


def _message(error: BaseException, memory_bytes: int) -> str:
    if isinstance(error, MemoryError | LawOutOfMemoryError) and not str(error):  # Python's own has no message
        message = "MemoryError"
    else:
        message = str(error) if isinstance(error, BrokenPluginError) else f"{one_line(error)}{user_frame(error)}"
    if _status(error) is not Status.OOM:
        return message
    requested = REQUESTED_BYTES.search(message)
    gibibytes = memory_bytes / 2**30
    enough = max(2 * gibibytes, gibibytes + int(requested[1]) / 2**30 if requested else 0.0)
    # Of the message of PyTorch's allocator, only the size helps the reader.
    if requested:
        message = f"one tensor asked for {int(requested[1]) / 2**30:,.1f} GiB{user_frame(error.__cause__ or error)}"
    return f"mbcbench's own limit of {gibibytes:g} GiB was reached; try --memory-limit {math.ceil(enough)} ({message})"


def _redirect_output(log: str) -> None:
    """Send standard output and error, also of native code, to a file: a plug-in must not write over the display."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _end_with_main_process(seconds: float | None) -> None:
    """End this process when the main process is gone, even if it was killed.

    A thread waits for that. If native code lets no thread run, the kernel's alarm ends the process.
    """
    main = multiprocessing.parent_process()
    assert main is not None

    def watch() -> None:
        main.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    set_alarm(seconds)


def set_alarm(seconds: float | None, grace: float = GRACE_SECONDS) -> None:
    """Have the kernel end this process after `seconds` and a period of grace, or never."""
    if hasattr(signal, "setitimer"):  # POSIX
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.0 if seconds is None else seconds + grace)
