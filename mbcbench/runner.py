"""The runner: each cell in a process of its own, forked from a server that has torch loaded already."""

import multiprocessing
import os
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

from pebble import ProcessExpired, ProcessFuture
from pebble.concurrent import process

from mbcbench import registry, worker
from mbcbench.cell import Cell
from mbcbench.record import BROKEN, Record, Status

PROBE = "probe"
TIMEOUTS_BEFORE_GIVING_UP = 2


@dataclass(frozen=True)
class Limits:
    """What one cell may take: seconds, and bytes beyond what its process begins with."""

    seconds: float = 60.0
    memory_bytes: int = 2 * 2**30


@dataclass(frozen=True)
class Started:
    cell: Cell


@dataclass(frozen=True)
class Finished:
    cell: Cell
    records: tuple[Record, ...]


Event = Started | Finished


@dataclass(frozen=True)
class Job:
    """A cell, its limits, and the cells of the same encoder whose failure makes it pointless."""

    cell: Cell
    limits: Limits


def run(jobs: Sequence[Job], *, workers: int) -> Iterator[Event]:
    """Run the jobs, at most `workers` at a time, and say when each starts and what it gave.

    An encoder whose probe broke is not run further: its other cells take over the probe's status and message.
    An encoder that timed out twice is given up likewise, so that one that hangs cannot hold up the rest.
    """
    with tempfile.TemporaryDirectory(prefix="mbcbench-") as logs:
        pool = _Pool(_context(), Path(logs))
        waiting = deque(jobs)
        verdict = _Verdict()
        try:
            while waiting or pool.running:
                while waiting and len(pool.running) < workers:
                    job = verdict.next_ready(waiting, {j.cell.encoder for j in pool.running.values()})
                    if job is None:
                        break
                    reason = verdict.hopeless(job.cell)
                    if reason is not None:
                        yield Finished(job.cell, (reason,))
                        continue
                    yield Started(job.cell)
                    pool.start(job)
                for job, records in pool.finished():
                    verdict.note(job.cell, records)
                    yield Finished(job.cell, records)
        finally:
            pool.stop()


class _Verdict:
    """What is known of the encoders so far, to decide which cells are still worth running."""

    def __init__(self) -> None:
        self._broken: dict[str, Record] = {}
        self._timeouts: Counter[str] = Counter()
        self._unprobed: set[str] = set()

    def next_ready(self, waiting: deque[Job], running: set[str]) -> Job | None:
        """Take the first job that need not wait for its encoder's probe."""
        for job in waiting:
            if job.cell.suite == PROBE or job.cell.encoder not in self._unprobed | self._probing(running, waiting):
                waiting.remove(job)
                if job.cell.suite == PROBE:
                    self._unprobed.add(job.cell.encoder)
                return job
        return None

    def _probing(self, running: set[str], waiting: deque[Job]) -> set[str]:
        return {job.cell.encoder for job in waiting if job.cell.suite == PROBE}

    def note(self, cell: Cell, records: Sequence[Record]) -> None:
        worst = next((r for r in records if r.status in BROKEN), None)
        if cell.suite == PROBE:
            self._unprobed.discard(cell.encoder)
            if worst is not None:
                self._broken[cell.encoder] = worst
        elif worst is not None and worst.status is Status.TIMEOUT:
            self._timeouts[cell.encoder] += 1
            if self._timeouts[cell.encoder] >= TIMEOUTS_BEFORE_GIVING_UP:
                self._broken[cell.encoder] = worst

    def hopeless(self, cell: Cell) -> Record | None:
        """The record of a cell that is not run, because its encoder broke before."""
        cause = self._broken.get(cell.encoder)
        if cause is None:
            return None
        return cell.record(cause.status, message=f"not run, since {cause.suite} {cause.case} broke: {cause.message}")


class _Pool:
    def __init__(self, context: ForkServerContext, logs: Path) -> None:
        self._context = context
        self._logs = logs
        self.running: dict[ProcessFuture[list[Record]], Job] = {}

    def start(self, job: Job) -> None:
        launch = process(timeout=job.limits.seconds, mp_context=self._context)(worker.execute)
        future = launch(job.cell, job.limits.memory_bytes, str(self._log(job.cell)))
        self.running[future] = job

    def finished(self) -> list[tuple[Job, tuple[Record, ...]]]:
        """Wait for at least one running job; the jobs that ended, with their records."""
        done, _ = wait(list(self.running), return_when=FIRST_COMPLETED)
        ended = [(self.running.pop(future), future) for future in list(self.running) if future in done]
        return [(job, self._records(job, future)) for job, future in ended]

    def stop(self) -> None:
        for future in self.running:
            future.cancel()  # type: ignore[no-untyped-call]

    def _log(self, cell: Cell) -> Path:
        return self._logs / f"{cell.key}.log"

    def _records(self, job: Job, future: "ProcessFuture[list[Record]]") -> tuple[Record, ...]:
        cell = job.cell
        try:
            return tuple(future.result())
        except FutureTimeout:
            message = f"took longer than its limit of {job.limits.seconds:g} s"
            return (cell.record(Status.TIMEOUT, message=message, seconds=job.limits.seconds),)
        except ProcessExpired as error:
            return (cell.record(Status.CRASH, message=f"its process ended with {_ending(error)}{self._tail(cell)}"),)
        except Exception as error:  # whatever came through the pipe is the cell's own doing
            return (cell.record(Status.ERROR, message=f"{type(error).__name__}: {error}"),)

    def _tail(self, cell: Cell) -> str:
        """The last line that the process wrote before it died."""
        log = self._log(cell)
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        written = [line.strip() for line in lines if line.strip()]
        return f" ({written[-1][:160]})" if written else ""


def _ending(error: ProcessExpired) -> str:
    import signal

    code = error.exitcode
    if code is not None and code < 0:
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"


def _context() -> ForkServerContext:
    """A fork server that has loaded what every cell needs; one thread a process."""
    context = multiprocessing.get_context("forkserver")
    suites = [plugin.entry.module for plugin in registry.plugins(registry.SUITES).values()]
    context.set_forkserver_preload(["torch", "mbcbench.worker", *suites])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return context
