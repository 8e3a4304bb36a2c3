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
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

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
_NUMBERS = itertools.count()  # of requests to servers
_folders: list[str] = []  # the working directory when a process was last started
# What the fork server imports. Never a plug-in: it could hang or crash.
PRELOADED = [
    "torch",
    "psutil",
    "scipy.special",
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
    """The process of a cell has reported how far it is."""

    cell: Cell
    report: "Report"


Event = Started | Advanced | Finished


@dataclass(frozen=True)
class Job:
    """A cell and its limits.

    needs: data that must be ready before it runs. progress: file in which its process reports how far it is.
    """

    cell: Cell
    limits: Limits
    needs: tuple[DataNeed, ...] = ()
    progress: Path | None = None


def run(
    jobs: Sequence[Job], *, workers: int, libraries: Sequence[str] = (), servers: EncoderServers | None = None
) -> Iterator[Event]:
    """Run jobs in their order, at most `workers` at a time, and yield when each starts and ends.

    libraries: modules that many cells import, and that the fork server loads once. The first call of a process decides.
    servers: those of encoders whose module is imported once for all cells.
    An encoder that timed out twice is not run again, so that one that hangs cannot hold up the rest.
    """
    waiting = deque(jobs)
    timeouts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="mbcbench-") as logs, _Pool(Path(logs), libraries, servers) as pool:
        while waiting or pool.running:
            while waiting and len(pool.running) < workers:
                job = waiting.popleft()
                if job.cell.encoder and timeouts[job.cell.encoder] >= TIMEOUTS_BEFORE_GIVING_UP:
                    yield Finished(job.cell, (_give_up(job.cell),))
                    continue
                yield Started(job.cell)
                pool.start(job)
            yield from pool.advances()
            for job, records in pool.finished() if pool.running else ():
                timeouts[job.cell.encoder] += any(r.status is Status.TIMEOUT for r in records)
                yield Finished(job.cell, records)


def _give_up(cell: Cell) -> Record:
    message = f"{NOT_RUN}{TIMEOUTS_BEFORE_GIVING_UP} cells of this encoder took longer than their limit"
    return cell.record(Status.TIMEOUT, message=message)


class _Pool:
    """The processes of the cells that are running."""

    def __init__(self, logs: Path, libraries: Sequence[str], servers: EncoderServers | None) -> None:
        self.running: dict[Future[list[str]], Job] = {}
        self._servers = servers
        self._context = _fork_server(libraries)
        self._logs = logs
        self._name = f"mbcbench-{time.monotonic_ns()}-"  # of the processes, so that no others are killed

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the cells that still run; native code ignores anything gentler."""
        for child in multiprocessing.active_children():
            if child.name.startswith(self._name):
                child.kill()
        wait(list(self.running), timeout=SECONDS_TO_DIE)

    def start(self, job: Job) -> None:
        future = self._fork(job) if self._is_served(job) else self._start_process(job)
        self.running[future] = job

    def _is_served(self, job: Job) -> bool:
        return self._servers is not None and self._servers.serves(job.cell.encoder)

    def _fork(self, job: Job) -> "Future[list[str]]":
        assert self._servers is not None
        limits, log = job.limits, str(self._log(job.cell))
        request = Request(next(_NUMBERS), job.cell, limits.seconds, limits.memory_bytes, log)
        with _without_main():
            return self._servers.submit(self._context, request, working_directory())

    def _start_process(self, job: Job) -> "Future[list[str]]":
        # pebble accepts `context`, though its type hints do not
        launch = process(  # type: ignore[call-overload]
            name=self._name + job.cell.key, timeout=job.limits.seconds, context=self._context
        )
        limits, log, folder = job.limits, str(self._log(job.cell)), working_directory()
        with _without_main():
            future: ProcessFuture[list[str]] = launch(worker.execute)(
                job.cell, limits.seconds, limits.memory_bytes, log, folder
            )
        return future

    def finished(self) -> list[tuple[Job, tuple[Record, ...]]]:
        """Wait until a job ends or may have reported, and return all that have ended with their records."""
        timeout = SECONDS_BETWEEN_POLLS if any(job.progress for job in self.running.values()) else None
        done, _ = wait(list(self.running), timeout, return_when=FIRST_COMPLETED)
        ended = [(self.running.pop(future), future) for future in done]
        for job, future in list(ended):
            if isinstance(future.exception(), NotForkableError):
                assert self._servers is not None
                self._servers.withdraw(job.cell.encoder)
                self.start(job)
                ended.remove((job, future))
        return [(job, self._records(job, future)) for job, future in ended]

    def advances(self) -> Iterator[Advanced]:
        """Yield the latest report of each running job that has made one, also again: the display needs a pulse."""
        for job in self.running.values():
            if job.progress is not None and job.progress.exists():
                from mbcbench.datasets.progress import Report  # and all data sets, which most runs do without

                yield Advanced(job.cell, Report(**json.loads(job.progress.read_text())))

    def _log(self, cell: Cell) -> Path:
        return self._logs / f"{cell.key}.log"

    def _records(self, job: Job, future: "Future[list[str]]") -> tuple[Record, ...]:
        cell = job.cell
        try:
            return tuple(Record.from_dict(json.loads(line)) for line in future.result())
        except FutureTimeout:
            seconds = job.limits.seconds or 0.0
            message = f"took longer than its limit of {seconds:g} s"
            return (cell.record(Status.TIMEOUT, message=message, seconds=seconds),)
        except ProcessExpired as error:
            return (cell.record(Status.CRASH, message=f"its process ended with {_ending(error)}{self._tail(cell)}"),)
        except Exception as error:  # what came through the pipe could not be decoded: the fault of the cell
            return (cell.record(Status.ERROR, message=one_line(error)),)

    def _tail(self, cell: Cell) -> str:
        """Return the last line that the process wrote before it died."""
        log = self._log(cell)
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last[:MAX_TAIL_LENGTH]})" if last else ""


def working_directory() -> str:
    """Return the working directory; make it again, empty, if an encoder has deleted it: all cells run there."""
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
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # OpenMP reads it when torch is loaded, so a cell cannot set it
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    return context
