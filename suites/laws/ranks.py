"""Functions that are called in the forked processes of a group of `torch.distributed`.

Processes are forked, so that any encoder can be tried: an encoder that is defined in a notebook cannot be sent to a new
process. The processes find each other through a socket that this process has bound, so that many groups can exist at a
time and none leaves a file. No process outlives the call: each is killed after its report, and ends on its own if this
process is gone.
"""

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor

from mbcbench.errors import is_out_of_memory, one_line, user_frame
from mbcbench.protocol import state as pytree
from mbcbench.verify.isolation import seed_torch
from mbcbench.verify.law_run import LawTimeout

SECONDS = 30.0  # of a call: a group that takes longer is assumed to wait for ever
POLL_SECONDS = 0.2
SECONDS_OF_DEATH = 0.2  # after the first failure: a rank that died is noticed later than those that talked to it
DIES = "dies"
HOST = "127.0.0.1"

_FORKING = threading.Lock()  # filelock, where it is imported, refuses a fork while another thread forks

Result = TypeVar("Result", bound=tuple[Tensor, ...])


class RankError(RuntimeError):
    """Raised if a process of a group raised an exception or died. The message says which process."""


class NoGroupError(Exception):
    """Raised if no group of processes can be formed. The message is the reason."""


@dataclass(frozen=True)
class _Report:
    """Message of a rank. It consists of plain values: PyTorch would send tensors through shared memory."""

    result: bytes = b""
    error: str = ""
    is_connected: bool = True
    is_out_of_memory: bool = False


@dataclass(frozen=True)
class _Rank:
    number: int
    pid: int
    reader: Connection

    def end(self) -> int:
        """Kill the process and return its exit status, as `os.waitstatus_to_exitcode` does."""
        os.kill(self.pid, signal.SIGKILL)  # nothing else waits for the process, so its id is still valid
        self.reader.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def why_not_forkable() -> str | None:
    """Return the reason why this process cannot be forked to encode in its copies, or None."""
    if not torch.distributed.is_available() or not hasattr(os, "fork"):
        return "it needs torch.distributed and processes that can be forked"
    threads = [_read(path) for path in Path("/proc/self/task").glob("*/comm")]  # Linux
    # With GPUs, the first backward pass starts threads, which a forked copy would wait for.
    has_autograd_threads = any(name.startswith("pt_autograd") for name in threads)
    if torch.cuda.is_initialized() or has_autograd_threads:  # type: ignore[no-untyped-call] # of torch
        return "this process has used CUDA or its threads and cannot be forked; the command line starts one per law"
    return None


def call_in_ranks(function: Callable[[int], Result], like: Result, size: int, seed: int) -> list[Result]:
    """Call `function(rank)` in each of `size` processes of a group, and return the results by rank.

    Each rank has random generators of its own, as processes that are started separately do. Those of rank 0 depend on
    `seed` only, not on `size`. like: a result, whose type the results have.

    Raises RankError if a rank raises or dies, MemoryError if its memory runs out, NoGroupError if there can be no
    group, and LawTimeout if the call takes longer than `SECONDS`.
    """
    ranks: list[_Rank] = []
    with _no_group_if_refused():
        listener = socket.create_server((HOST, 0))
    with listener:
        try:
            with _no_group_if_refused():
                for number in range(size):
                    ranks.append(_fork(function, number, size, seed, listener))  # noqa: PERF401 # all forked are ended
            reports = _collect(ranks)
        finally:
            for rank in ranks:
                rank.end()
    return [pytree.from_bytes(report.result, like) for report in reports]


@contextlib.contextmanager
def _no_group_if_refused() -> Iterator[None]:
    """Raise NoGroupError if the machine allows no further process, pipe or connection."""
    try:
        yield
    except OSError as error:
        raise NoGroupError(f"processes cannot be started here: {one_line(error)}") from error


def _fork(function: Callable[[int], Result], number: int, size: int, seed: int, listener: socket.socket) -> _Rank:
    reader, writer = Pipe(duplex=False)
    parent = os.getpid()
    with _FORKING:
        pid = os.fork()
    if pid == 0:
        try:
            _run(function, number, size, seed, listener, writer, parent)
        finally:
            os._exit(1)  # in any case: a copy of this process must not continue the caller's code
    writer.close()
    return _Rank(number, pid, reader)


def _collect(ranks: list[_Rank]) -> list[_Report]:
    """Return the reports of all ranks. Raise as soon as one rank fails, since the others may wait for it."""
    deadline = time.monotonic() + SECONDS
    reports: dict[int, _Report] = {}
    while len(reports) < len(ranks):
        if not _receive_ready(ranks, reports, max(0.0, deadline - time.monotonic())):
            raise LawTimeout(f"{len(ranks)} processes did not agree on an encoding within {SECONDS:g} s")
        if any(report.error for report in reports.values()):
            time.sleep(SECONDS_OF_DEATH)
            _receive_ready(ranks, reports, 0.0)
            _raise_failure(reports, len(ranks))
    return [reports[number] for number in range(len(ranks))]


def _receive_ready(ranks: list[_Rank], reports: dict[int, _Report], seconds: float) -> int:
    """Wait for reports of ranks that have not reported, and add them; return their number."""
    pending = {rank.reader: rank.number for rank in ranks if rank.number not in reports}
    ready = wait(list(pending), seconds)
    for reader in ready:
        assert isinstance(reader, Connection)
        reports[pending[reader]] = _receive(reader)
    return len(ready)


def _receive(reader: Connection) -> _Report:
    try:
        report: _Report = reader.recv()
    except (EOFError, OSError):
        return _Report(error=DIES)
    return report


def _raise_failure(reports: dict[int, _Report], size: int) -> None:
    """Raise the error of a rank that failed: first one that died, which made others fail that talked to it."""
    number, report = min(reports.items(), key=lambda item: (not item[1].error, item[1].error != DIES, item[0]))
    if not report.is_connected:
        raise NoGroupError(f"processes cannot form a group here: {report.error}")
    rank = f"rank {number} of {size}" if size > 1 else "one process"
    if report.is_out_of_memory:
        raise MemoryError(f"{rank}: {report.error}")
    raise RankError(f"{rank} {report.error}")


# ---- in the process of a rank


def _run(
    function: Callable[[int], Result],
    number: int,
    size: int,
    seed: int,
    listener: socket.socket,
    writer: Connection,
    parent: int,
) -> NoReturn:
    """Report the result of a function, and wait for the end.

    If a rank exited after an exception, others would fail too and might report that first.
    """
    _end_with(parent)
    _seed_generators(seed + number)
    report = _Report(is_connected=False)
    try:
        _join_group(number, size, listener)
        report = _Report()
        report = _Report(pytree.to_bytes(function(number)))
    except BaseException as error:  # an encoder may call sys.exit
        text = f"{one_line(error)}{user_frame(error)}"
        has_no_memory = isinstance(error, Exception) and is_out_of_memory(error)
        error_text = f"raises {text}" if report.is_connected else text
        report = _Report(error=error_text, is_connected=report.is_connected, is_out_of_memory=has_no_memory)
    writer.send(report)
    while True:
        time.sleep(SECONDS)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone. If native code lets no thread run, the kernel's alarm does so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent kills this one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
    threading.Thread(target=watch, daemon=True).start()


def _seed_generators(seed: int) -> None:
    seed_torch(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _join_group(number: int, size: int, listener: socket.socket) -> None:
    timeout = timedelta(seconds=SECONDS)
    store = torch.distributed.TCPStore(  # type: ignore[attr-defined] # of torch
        HOST,
        listener.getsockname()[1],
        size,
        is_master=number == 0,
        timeout=timeout,
        wait_for_workers=False,
        master_listen_fd=listener.fileno() if number == 0 else None,
    )
    torch.distributed.init_process_group("gloo", store=store, rank=number, world_size=size, timeout=timeout)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread has just ended
        return ""
