"""Run cells, each in a process of its own that is forked from a server in which torch is already loaded."""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType

from pebble import ProcessExpired, ProcessFuture
from pebble.concurrent import process

from mbcbench.errors import one_line
from mbcbench.execution import worker
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

TIMEOUTS_BEFORE_GIVING_UP = 2
# What the fork server imports. Never a plug-in, which could hang or crash.
PRELOADED = [
    "torch",
    "psutil",
    "scipy.special",
    "mbcbench.verify.checker",
    "mbcbench.execution.probe",
    "mbcbench.execution.worker",
]


@dataclass(frozen=True)
class Limits:
    """Limits of one cell: seconds, and bytes in addition to what its process starts with."""

    seconds: float = 60.0
    memory_bytes: int = 2 * 2**30


@dataclass(frozen=True)
class Started:
    """Event: the process of a cell was started."""

    cell: Cell


@dataclass(frozen=True)
class Finished:
    """Event: a cell ended. reused: its records are those of an earlier run."""

    cell: Cell
    records: tuple[Record, ...]
    reused: bool = False


Event = Started | Finished


@dataclass(frozen=True)
class Job:
    """A cell and its limits."""

    cell: Cell
    limits: Limits


def run(jobs: Sequence[Job], *, workers: int, libraries: Sequence[str] = ()) -> Iterator[Event]:
    """Run the jobs in order, at most `workers` at a time; yield an event when a cell starts and when it ends.

    libraries: modules that many cells import. The fork server imports them once; the first call in a process decides.
    The remaining cells of an encoder that timed out twice are not run, so that one that hangs cannot delay the others.
    """
    waiting = deque(jobs)
    timeouts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="mbcbench-") as logs, _Pool(Path(logs), libraries) as pool:
        while waiting or pool.running:
            while waiting and len(pool.running) < workers:
                job = waiting.popleft()
                if job.cell.encoder and timeouts[job.cell.encoder] >= TIMEOUTS_BEFORE_GIVING_UP:
                    yield Finished(job.cell, (_given_up(job.cell),))
                    continue
                yield Started(job.cell)
                pool.start(job)
            for job, records in pool.finished() if pool.running else ():
                timeouts[job.cell.encoder] += any(r.status is Status.TIMEOUT for r in records)
                yield Finished(job.cell, records)


def _given_up(cell: Cell) -> Record:
    message = f"not run: {TIMEOUTS_BEFORE_GIVING_UP} cells of this encoder took longer than their limit"
    return cell.record(Status.TIMEOUT, message=message)


class _Pool:
    """The cells that are running."""

    def __init__(self, logs: Path, libraries: Sequence[str]) -> None:
        self.running: dict[ProcessFuture[list[str]], Job] = {}
        self._context = _fork_server(libraries)
        self._logs = logs
        self._began = time.monotonic_ns()

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the processes that are still running; a gentler signal may be ignored."""
        for child in multiprocessing.active_children():
            if child.name.startswith(self._name):
                child.kill()
        wait(list(self.running), timeout=5)

    @property
    def _name(self) -> str:
        return f"mbcbench-{self._began}-"

    def start(self, job: Job) -> None:
        # pebble reads `context`, although its signature does not have it
        launch = process(  # type: ignore[call-overload]
            name=self._name + job.cell.key, timeout=job.limits.seconds, context=self._context
        )
        limits, log = job.limits, str(self._log(job.cell))
        with _without_main():
            future = launch(worker.execute)(job.cell, limits.seconds, limits.memory_bytes, log, os.getcwd())
        self.running[future] = job

    def finished(self) -> list[tuple[Job, tuple[Record, ...]]]:
        """Wait until at least one job ends; return the jobs that ended, with their records."""
        done, _ = wait(list(self.running), return_when=FIRST_COMPLETED)
        ended = [(self.running.pop(future), future) for future in list(self.running) if future in done]
        return [(job, self._records(job, future)) for job, future in ended]

    def _log(self, cell: Cell) -> Path:
        return self._logs / f"{cell.key}.log"

    def _records(self, job: Job, future: "ProcessFuture[list[str]]") -> tuple[Record, ...]:
        cell = job.cell
        try:
            return tuple(Record.from_dict(json.loads(line)) for line in future.result())
        except FutureTimeout:
            message = f"took longer than its limit of {job.limits.seconds:g} s"
            return (cell.record(Status.TIMEOUT, message=message, seconds=job.limits.seconds),)
        except ProcessExpired as error:
            return (cell.record(Status.CRASH, message=f"its process ended with {_ending(error)}{self._tail(cell)}"),)
        except Exception as error:  # an exception from the pipe is the cell's fault
            return (cell.record(Status.ERROR, message=one_line(error)),)

    def _tail(self, cell: Cell) -> str:
        """Return the last line that the process wrote before it died."""
        log = self._log(cell)
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        written = [line.strip() for line in lines if line.strip()]
        return f" ({written[-1][:160]})" if written else ""


def _ending(error: ProcessExpired) -> str:
    code = error.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    hint = "; the system may have run out of memory" if code == -signal.SIGKILL else ""
    return f"signal {-code} ({signal.Signals(-code).name}){hint}"


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module from multiprocessing.

    A child process that is started by a fork server imports the parent's `__main__` (`spawn.get_preparation_data` in
    CPython's Lib/multiprocessing), which would run a script without an `if __name__ == "__main__"` guard once more.
    Cells need nothing from the main module.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _fork_server(libraries: Sequence[str]) -> ForkServerContext:
    """Start a server that has imported what every cell needs, with one thread per process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *libraries])
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded: too late inside a cell
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    return context
