"""Encoder servers: processes that import an encoder once, from which the processes of its cells are forked.

An import may take seconds, and a check has dozens of cells. A process forked from a server is isolated like any other
cell: it has its own limits, and its failure becomes a record. An import that fails, crashes or hangs is the result of
the first cell. Work that the cells of a suite repeat is done in the server (`Suite.warm_up`). An encoder whose module
starts threads or CUDA when it is imported or called cannot be forked: `NotForkableError`.
"""

import contextlib
import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, ForkProcess, ForkServerContext
from pathlib import Path

from pebble import ProcessExpired

from mbcbench.errors import UsageError
from mbcbench.execution import worker
from mbcbench.records.cell import Cell

NAME = "mbcbench-server"
# jemalloc, which pyarrow and so pandas load, restarts its thread after a fork. A thread without a name has just ended.
FORKABLE_THREADS = {"jemalloc_bg_thd", ""}
SECONDS_TO_STOP = 5.0  # for a server to stop after its connection is closed
SECONDS_TO_EXIT = 5.0  # for a finished thread to exit


class NotForkableError(Exception):
    """The processes of an encoder cannot be forked from its server."""


@dataclass(frozen=True)
class Request:
    """A cell to run in a process forked from a server, and its limits (see `worker.execute`)."""

    number: int
    cell: Cell
    seconds: float | None
    memory_bytes: int
    log: str
    folder: str


@dataclass(frozen=True)
class Imported:
    """First message of a server. lines: records of the cell that the import broke, or None if it succeeded."""

    lines: list[str] | None = None
    is_forkable: bool = True


@dataclass(frozen=True)
class Ended:
    """The process of a request has ended: with its records, at its time limit, or with an exit code.

    is_forkable: False if the process was not started, since the server cannot be forked any more.
    """

    number: int
    lines: list[str] | None = None
    timed_out: bool = False
    exit_code: int | None = None
    is_forkable: bool = True


# ---- in the main process


class EncoderServers:
    """The servers of a command: one for each of `encoders`, started with its first cell."""

    def __init__(self, encoders: Collection[str]) -> None:
        self._servers: dict[str, _Server] = {}
        self._encoders = set(encoders)
        self._lock = threading.Lock()  # two threads would each start a server

    def __enter__(self) -> "EncoderServers":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all servers, which kill the cells that still run."""
        for server in self._servers.values():
            server.stop()

    def serves(self, encoder: str) -> bool:
        """Return True if the cells of an encoder are to be forked from a server."""
        return encoder in self._encoders

    def withdraw(self, encoder: str) -> None:
        """Stop serving an encoder that cannot be forked."""
        self._encoders.discard(encoder)

    def submit(self, context: ForkServerContext, request: Request) -> "Future[list[str]]":
        """Run a cell, and return its future: the records as lines of JSON, or the exceptions that pebble raises."""
        encoder = request.cell.encoder
        with self._lock:
            server = self._servers.get(encoder)
            if server is None or server.has_ended:
                server = self._servers[encoder] = _Server(context, request)
                future = server.submit(request)
                server.start()  # now that Ctrl-C would stop it, and a future waits for its first message
                return future
        return server.submit(request)


class _Server:
    """A server, seen from the main process. A thread resolves the futures of its cells."""

    def __init__(self, context: ForkServerContext, first: Request) -> None:
        self.has_ended = False
        self._has_imported = False
        self._first = first
        self._pending: dict[int, Future[list[str]]] = {}
        self._lock = threading.Lock()  # guards `has_ended` and `_pending`, which `submit` and the thread share
        self._connection, self._theirs = multiprocessing.Pipe()
        self._process = context.Process(target=serve, args=(self._theirs, first), name=NAME)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Start the process and the thread that listens to it."""
        self._process.start()
        self._theirs.close()
        self._thread.start()

    def submit(self, request: Request) -> "Future[list[str]]":
        """Send a request, and return the future of its records."""
        future: Future[list[str]] = Future()
        with self._lock:
            if self.has_ended:
                future.set_exception(self._death())
                return future
            self._pending[request.number] = future
            with contextlib.suppress(OSError):  # the server has just died, which the thread will notice
                self._connection.send(request)
        return future

    def stop(self) -> None:
        """Ask the server to kill its cells and exit; kill it if it does not exit."""
        if self._process.pid is not None:  # Ctrl-C may have come before
            with contextlib.suppress(OSError):
                self._connection.send(None)
            self._process.join(SECONDS_TO_STOP if self._has_imported else 0)
            self._process.kill()
            self._process.join()
        if self._thread.is_alive():
            self._thread.join(SECONDS_TO_STOP)  # a cell that hangs as it is forked keeps the connection open
        self._connection.close()

    def _listen(self) -> None:
        try:
            error = self._await_import()
            while error is None:
                self._settle(self._connection.recv())
        except (EOFError, OSError):
            error = self._death()
        except Exception as unreadable:  # the encoder has written to the connection
            self._process.kill()
            error = unreadable
        with self._lock:
            self.has_ended = True
            pending, self._pending = self._pending, {}
        for future in pending.values():
            future.set_exception(error)

    def _await_import(self) -> Exception | None:
        """Wait until the encoder is imported; return why nothing can be forked, or None."""
        if not self._connection.poll(self._first.seconds):
            self._process.kill()
            return FutureTimeout()
        imported: Imported = self._connection.recv()
        self._has_imported = True
        if imported.lines is not None:
            self._settle(Ended(self._first.number, imported.lines))
        return None if imported.is_forkable else NotForkableError()

    def _settle(self, ended: Ended) -> None:
        with self._lock:
            future = self._pending.pop(ended.number)
        if not ended.is_forkable:
            future.set_exception(NotForkableError())
        elif ended.lines is not None:
            future.set_result(ended.lines)
        elif ended.timed_out:
            future.set_exception(FutureTimeout())
        else:
            future.set_exception(_expired(ended.exit_code))

    def _death(self) -> Exception:
        self._process.join()
        if self._process.exitcode == -signal.SIGALRM:  # during the warm-up
            return FutureTimeout()
        return _expired(self._process.exitcode)


def _expired(exit_code: int | None) -> ProcessExpired:
    return ProcessExpired("its process died", code=exit_code)  # type: ignore[no-untyped-call]


# ---- in the process of a server


def serve(connection: Connection, first: Request) -> None:
    """Import the encoder of a request, and run requests until the main process sends None or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main one ends the others
    try:
        worker.set_up(first.log, first.folder)
    except FileNotFoundError:  # the main process has ended, and removed the folder
        return
    with _end_with_main_process(first.seconds):
        lines = worker.attempt(first.cell, first.memory_bytes, lambda: _import(first.cell.encoder))
    is_forkable = lines is None and not _has_threads_or_cuda()
    connection.send(Imported(lines, is_forkable))
    if is_forkable:
        gc.freeze()  # otherwise a collection in a cell would copy all imported objects
        _Children(connection).run()


def _import(encoder: str) -> None:
    from mbcbench.protocol.build import get_spec  # imports torch, which the main process does without

    with contextlib.suppress(UsageError):  # the cell will report it
        get_spec(encoder)


@contextlib.contextmanager
def _end_with_main_process(seconds: float | None) -> Iterator[None]:
    """End this process with the main process during an import, as in cells.

    The thread that watches the main process ends before any fork.
    """
    main = multiprocessing.parent_process()
    assert main is not None
    reader, writer = multiprocessing.Pipe(duplex=False)

    def watch() -> None:
        if main.sentinel in wait([main.sentinel, reader]):
            os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    worker.set_alarm(seconds)
    try:
        yield
    finally:
        worker.set_alarm(None)
        writer.close()
        thread.join()
        _await_exit(thread)


def _await_exit(thread: threading.Thread) -> None:
    """Wait until the kernel has ended a thread that Python has joined, which takes a moment on a busy machine."""
    deadline = time.monotonic() + SECONDS_TO_EXIT
    while Path(f"/proc/self/task/{thread.native_id}").exists() and time.monotonic() < deadline:
        time.sleep(0.001)


def _has_threads_or_cuda() -> bool:
    """Return True if forking is unsafe: a lock that another thread holds would never be released."""
    import torch

    if threading.active_count() > 1 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return True
    main = str(os.getpid())
    names = [_thread_name(task) for task in Path("/proc/self/task").glob("*") if task.name != main]  # Linux
    return not FORKABLE_THREADS.issuperset(names)


def _thread_name(task: Path) -> str:
    try:
        return (task / "comm").read_text().strip()
    except OSError:  # it has just ended
        return ""


@dataclass
class _Child:
    """The process of a cell. deadline: moment of the monotonic clock."""

    number: int
    process: ForkProcess
    reader: Connection
    deadline: float


class _Children:
    """The processes forked from this one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._context: ForkContext = multiprocessing.get_context("fork")
        self._running: list[_Child] = []
        self._warmed_up: set[str] = set()  # suites
        self._is_forkable = True

    def run(self) -> None:
        """Run requests until there are no more, then kill what still runs."""
        with contextlib.suppress(EOFError, OSError):  # the main process is gone
            while self._step():
                pass
        for child in self._running:
            child.process.kill()

    def _step(self) -> bool:
        """Wait for a request, an end or a deadline; return False after the last request."""
        deadline = min((child.deadline for child in self._running), default=math.inf)
        timeout = max(0.0, deadline - time.monotonic()) if math.isfinite(deadline) else None
        ready = wait([self._connection, *(child.reader for child in self._running)], timeout)
        for child in list(self._running):
            is_late = time.monotonic() >= child.deadline
            if child.reader in ready or is_late:
                self._running.remove(child)
                self._connection.send(_end(child, timed_out=child.reader not in ready))
        if self._connection in ready:
            request: Request | None = self._connection.recv()
            if request is None:
                return False
            if self._warm_up(request):
                self._running.append(self._fork(request))
            else:
                self._connection.send(Ended(request.number, is_forkable=False))
        return True

    def _warm_up(self, request: Request) -> bool:
        """Do the work that cells of a suite repeat, under the limits of one; return True if forking is possible.

        The kernel ends the server if this takes too long: no timer of Python interrupts native code.
        """
        cell = request.cell
        if cell.suite not in self._warmed_up:
            self._warmed_up.add(cell.suite)
            worker.set_alarm(request.seconds, grace=0.0)
            worker.attempt(cell, request.memory_bytes, lambda: worker.load_suite(cell.suite).warm_up(cell))
            worker.set_alarm(None)
            gc.freeze()
            self._is_forkable = not _has_threads_or_cuda()
        return self._is_forkable

    def _fork(self, request: Request) -> _Child:
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = self._context.Process(target=_run, args=(request, self._connection, writer), daemon=True)
        process.start()
        writer.close()  # so that the pipe ends with the process
        seconds = math.inf if request.seconds is None else request.seconds
        return _Child(request.number, process, reader, time.monotonic() + seconds)


def _end(child: _Child, *, timed_out: bool) -> Ended:
    """Return how a process ended. Kill it first: a thread that the encoder started may keep it alive."""
    lines: list[str] | None = None
    if not timed_out:
        with contextlib.suppress(EOFError, OSError):
            lines = child.reader.recv()
    if timed_out or lines is not None:
        child.process.kill()
    child.process.join()
    child.reader.close()
    return Ended(child.number, lines, timed_out, child.process.exitcode)


def _run(request: Request, connection: Connection, writer: Connection) -> None:
    connection.close()  # otherwise the main process would not notice the end of the server
    lines = worker.execute(request.cell, request.seconds, request.memory_bytes, request.log, request.folder)
    writer.send(lines)
