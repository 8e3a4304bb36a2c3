"""What happens inside a cell's own process."""

import contextlib
import ctypes
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mbcbench import registry
from mbcbench.cell import Cell, Suite
from mbcbench.record import Record, Status
from mbcbench.target import BrokenPluginError, one_line


def execute(cell: Cell, memory_bytes: int, log: str) -> list[Record]:
    """Run one cell under a memory limit, its output sent to the file `log`; what it raises becomes a record."""
    import torch

    torch.set_num_threads(1)
    _die_with_parent()
    _redirect_output(log)
    _limit_memory(memory_bytes)
    began = time.perf_counter()
    try:
        suite: Suite = registry.plugin(registry.SUITES, cell.suite).load()
        with _prompt_about_memory():
            records = list(suite.run(cell))
    except BaseException as error:  # a plug-in may call sys.exit
        records = [cell.record(_status(error), message=_message(error))]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return [replace(r, seconds=r.seconds or seconds, detail={**r.detail, "peak_rss_bytes": peak}) for r in records]


def _status(error: BaseException) -> Status:
    cause = error.__cause__ if isinstance(error, BrokenPluginError) and error.__cause__ else error
    short_of_memory = isinstance(cause, MemoryError) or "can't allocate memory" in str(cause)
    return Status.OOM if short_of_memory else Status.ERROR


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, BrokenPluginError) else one_line(error)


@contextlib.contextmanager
def _prompt_about_memory() -> Iterator[None]:
    """Python's own error when memory runs out says nothing: name the limit."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError("the cell's memory limit was reached") from error


def _limit_memory(extra: int) -> None:
    """Allow `extra` bytes of private memory beyond what the process has when the cell begins (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return
    line = next(row for row in status.read_text().splitlines() if row.startswith("VmData"))
    limit = int(line.split()[1]) * 1024 + extra
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _redirect_output(log: str) -> None:
    """Send standard output and error, of native code too, to a file: a plug-in must not write over the display."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _die_with_parent() -> None:
    """End this process when the run that started it is gone, even one that was killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: Linux only
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
