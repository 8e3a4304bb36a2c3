"""Runner: run each cell in a process of its own, forked from a server that has loaded torch."""

import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from pebble import ProcessExpired, ProcessFuture
from pebble.concurrent import process

from mbcbench.errors import UsageError, one_line
from mbcbench.execution import worker
from mbcbench.execution.encoder_server import EncoderServers, NotForkableError, Request
from mbcbench.execution.suite import DataNeed
from mbcbench.records.cell import Cell
from mbcbench.records.record import NOT_RUN, Record, Status

if TYPE_CHECKING:
    from mbcbench.datasets.progress import Report

logger = logging.getLogger(__name__)

TIMEOUTS_BEFORE_GIVING_UP = 2
MAX_TAIL_LENGTH = 160  # characters of the last output of a process that died
SECONDS_BETWEEN_POLLS = 0.5  # for the progress that processes report
SECONDS_TO_DIE = 5.0  # of processes that were killed
NAME = "mbcbench"
_NUMBERS = itertools.count()  # of pools, and of requests to servers
_folders: list[str] = []  # the working directory when a process was last started
_STARTING = threading.Lock()  # held while global state is changed to start a process
# Modules that the fork server imports. Never a plug-in, which could hang or crash.
PRELOADED = [
    "torch",
    "psutil",
    "mbcbench.verify.checker",
    "mbcbench.execution.probe",
    "mbcbench.execution.encoder_server",
]


@dataclass(frozen=True)
class Limits:
    """Limits of one cell: seconds, or None, and bytes of private memory beyond those that its process starts with."""

    seconds: float | None = 60.0
    memory_bytes: int = 2 * 2**30


@dataclass(frozen=True)
class Started:
    """The process of a cell has started."""

    cell: Cell


@dataclass(frozen=True)
class Finished:
    """A cell has ended. reused: True if its records are those of an earlier run."""

    cell: Cell
    records: tuple[Record, ...]
    reused: bool = False


@dataclass(frozen=True)
class Advanced:
    """The process of a cell has reported its progress."""

    cell: Cell
    report: "Report"


Event = Started | Advanced | Finished


@dataclass(frozen=True)
class Job:
    """A cell and its limits.

    needs: data that must be ready before it runs. progress: file to which its process writes its progress.
    folder: working directory of its process; empty for that of this process.
    """

    cell: Cell
    limits: Limits
    needs: tuple[DataNeed, ...] = ()
    progress: Path | None = None
    folder: str = ""


Ended = tuple[Job, tuple[Record, ...]]  # with the records of the job


class Pool(Protocol):
    """Processes in which jobs run: on this machine, or on those of a cluster (see `mbcbench.execution.cluster`)."""

    @property
    def running(self) -> Collection[object]:
        """The jobs that have started and not ended."""

    def take(self, waiting: deque[Job]) -> Job | None:
        """Remove and return the first waiting job that can start now, or return None."""

    def start(self, job: Job) -> Iterator["Event"]:
        """Start the job that was taken last. If its process starts at once, yield that."""

    def reports(self) -> Iterator["Event"]:
        """Yield the progress of running jobs, and the events of the work that they wait for."""

    def finished(self) -> list[Ended]:
        """Wait until a job ends, or for a moment, and return all that have ended with their records."""


def run(
    jobs: Sequence[Job],
    *,
    workers: int,
    libraries: Sequence[str] = (),
    servers: EncoderServers | None = None,
    name: str = NAME,
) -> Iterator[Event]:
    """Run jobs in their order, at most `workers` at a time, and yield when each starts and ends.

    libraries: modules that many cells import, and that the fork server loads once. The first call in a process decides.
    servers: for encoders whose module is imported once for all cells. name: prefix of the names of processes.
    Several threads may call this function at the same time.
    """
    with (
        # A cell that its server has not killed yet may write to its log.
        tempfile.TemporaryDirectory(prefix="mbcbench-", ignore_cleanup_errors=True) as logs,
        _LocalPool(Path(logs), workers, libraries, servers, name) as pool,
    ):
        yield from run_in(pool, jobs)


def run_in(pool: Pool, jobs: Sequence[Job]) -> Iterator[Event]:
    """Run jobs in a pool, and yield when each starts and ends.

    An encoder that timed out twice is not run again, so that one that hangs cannot hold up the rest.
    """
    waiting = deque(jobs)
    timeouts: Counter[str] = Counter()
    while waiting or pool.running:
        while (job := pool.take(waiting)) is not None:
            if job.cell.encoder and timeouts[job.cell.encoder] >= TIMEOUTS_BEFORE_GIVING_UP:
                yield Finished(job.cell, (_give_up(job.cell),))
                continue
            yield from pool.start(job)
        yield from pool.reports()
        for job, records in pool.finished():
            timeouts[job.cell.encoder] += any(r.status is Status.TIMEOUT for r in records)
            yield Finished(job.cell, records)


def _give_up(cell: Cell) -> Record:
    message = f"{NOT_RUN}{TIMEOUTS_BEFORE_GIVING_UP} cells of this encoder took longer than their limit"
    return cell.record(Status.TIMEOUT, message=message)


class _LocalPool:
    """The processes of this machine in which cells are running."""

    def __init__(
        self, logs: Path, workers: int, libraries: Sequence[str], servers: EncoderServers | None, name: str
    ) -> None:
        self.running: dict[Future[list[str]], Job] = {}
        self._workers = workers
        self._servers = servers
        self._context = _fork_server(libraries)
        self._logs = logs
        self._name = f"{name}-{next(_NUMBERS)}-"  # prefix of the names of processes, so that no others are killed

    def __enter__(self) -> "_LocalPool":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the cells that still run; native code ignores anything gentler. Servers kill those forked from them."""
        kill_cells(self._name)
        own = [future for future, job in self.running.items() if not self._is_served(job)]
        wait(own, timeout=SECONDS_TO_DIE)

    def take(self, waiting: deque[Job]) -> Job | None:
        return waiting.popleft() if waiting and len(self.running) < self._workers else None

    def start(self, job: Job) -> Iterator[Event]:
        yield Started(job.cell)
        self._start(job)

    def _start(self, job: Job) -> None:
        future = self._fork(job) if self._is_served(job) else self._start_process(job)
        self.running[future] = job

    def _is_served(self, job: Job) -> bool:
        return self._servers is not None and self._servers.serves(job.cell.encoder)

    def _fork(self, job: Job) -> "Future[list[str]]":
        assert self._servers is not None
        limits, log = job.limits, str(self._log(job.cell))
        folder = job.folder or working_directory()
        request = Request(next(_NUMBERS), job.cell, limits.seconds, limits.memory_bytes, log, folder)
        with _without_main():
            return self._servers.submit(self._context, request)

    def _start_process(self, job: Job) -> "Future[list[str]]":
        # pebble accepts `context`, though its type hints do not
        launch = process(  # type: ignore[call-overload]
            name=self._name + job.cell.key, timeout=job.limits.seconds, context=self._context
        )
        limits, log = job.limits, str(self._log(job.cell))
        with _without_main():
            future: ProcessFuture[list[str]] = launch(worker.execute)(
                job.cell, limits.seconds, limits.memory_bytes, log, job.folder or working_directory()
            )
        return future

    def finished(self) -> list[Ended]:
        """Wait until a job ends or may have reported, and return all that have ended with their records."""
        if not self.running:
            return []
        timeout = SECONDS_BETWEEN_POLLS if any(job.progress for job in self.running.values()) else None
        done, _ = wait(list(self.running), timeout, return_when=FIRST_COMPLETED)
        ended = [(self.running.pop(future), future) for future in done]
        for job, future in list(ended):
            if isinstance(future.exception(), NotForkableError):
                assert self._servers is not None
                self._servers.withdraw(job.cell.encoder)
                self._start(job)
                ended.remove((job, future))
        return [(job, self._records(job, future)) for job, future in ended]

    def reports(self) -> Iterator[Event]:
        """Yield the latest report of each running job, even if it was yielded before, to refresh the display."""
        for job in self.running.values():
            if job.progress is not None and job.progress.exists():
                from mbcbench.datasets.progress import Report  # imports all data sets, which most runs do not need

                yield Advanced(job.cell, Report(**json.loads(job.progress.read_text())))

    def _log(self, cell: Cell) -> Path:
        return self._logs / f"{cell.key}.log"

    def _records(self, job: Job, future: "Future[list[str]]") -> tuple[Record, ...]:
        cell = job.cell
        try:
            return tuple(Record.from_dict(json.loads(line)) for line in future.result())
        except FutureTimeout:
            seconds = job.limits.seconds or 0.0
            message = f"took longer than its limit of {seconds:g} s (--time-limit)"
            return (cell.record(Status.TIMEOUT, message=message, seconds=seconds),)
        except ProcessExpired as error:
            return (cell.record(Status.CRASH, message=f"its process ended with {_ending(error)}{self._tail(cell)}"),)
        except Exception as error:  # the records cannot be decoded: a fault of the cell
            return (cell.record(Status.ERROR, message=one_line(error)),)

    def _tail(self, cell: Cell) -> str:
        """Return the last line that the process wrote before it died."""
        log = self._log(cell)
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last[:MAX_TAIL_LENGTH]})" if last else ""


def kill_cells(name: str) -> None:
    """Kill the processes of cells whose names begin with `name`, which excludes cells forked from a server."""
    for child in multiprocessing.active_children():
        if child.name.startswith(name):
            child.kill()


def working_directory() -> str:
    """Return the working directory. Recreate it, empty, if an encoder has deleted it: all cells run there."""
    try:
        _folders[:] = [os.getcwd()]
    except FileNotFoundError:
        logger.warning(
            "the working directory %s was deleted, perhaps by an encoder; it is made again, empty", *_folders
        )
        os.makedirs(_folders[0], exist_ok=True)
        os.chdir(_folders[0])
    return _folders[0]


def _ending(error: ProcessExpired) -> str:
    """Return how a process ended: its exit code, or the signal that killed it."""
    code = error.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    hint = "; the system may have run out of memory" if code == -signal.SIGKILL else ""
    return f"signal {-code} ({signal.Signals(-code).name}){hint}"


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program from multiprocessing while it starts a process.

    multiprocessing sends every new process the path of `__main__`, and the process first imports it as `__mp_main__`:
    a script without `if __name__ == "__main__"` would run again in every cell. A module without a file is not sent.
    See "Safe importing of main module" in
    https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods and
    `get_preparation_data` in https://github.com/python/cpython/blob/3.11/Lib/multiprocessing/spawn.py.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _fork_server(libraries: Sequence[str]) -> ForkServerContext:
    """Return the context of a fork server that has loaded what every cell needs, with one thread per process."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise UsageError(f"{sys.platform} has no fork server, which cells run on; use Linux, macOS or WSL")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *libraries])
    # OpenMP reads the number when torch is loaded, so a cell cannot set it. The server is a `python -c`: with an unsafe
    # path it would import a folder mbcbench or a file torch.py of the working directory in place of the library.
    with _STARTING, _environment(OMP_NUM_THREADS="1", PYTHONSAFEPATH="1"):
        # Ctrl-C reaches all processes, and the main one ends the others. The server inherits that the signal is
        # blocked; by itself it ignores it only after it has loaded the libraries. Starting the resource tracker, which
        # the server needs, would unblock the signal.
        resource_tracker.ensure_running()
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    return context


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for processes that start meanwhile."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)
