"""The pool of a cluster: the cells of one stage of a command that its workers run."""

import json
from collections import deque
from collections.abc import Iterator

from mbcbench.errors import one_line
from mbcbench.execution.cluster.connection import SECONDS_TO_FETCH, Attempt, Connection, Kind
from mbcbench.execution.runner import Ended, Event, Job
from mbcbench.records.record import NOT_RUN, Record, Status

ATTEMPTS = 3  # to run a cell whose worker is lost
LOST = ("cancelled", "lost")  # status of a future whose scheduler was restarted
LOST_ERRORS = ("KilledWorker", "NoValidWorkerError", "TimeoutError")  # with which Dask says that a worker was lost


class ClusterPool:
    """The cells of one stage that run on the cluster (see `runner.Pool`)."""

    def __init__(self, connection: Connection, *, exclusive: bool) -> None:
        self.running: list[Attempt] = []
        self._connection = connection
        self._exclusive = exclusive
        self._homeless: list[Attempt] = []  # those of `running` that wait for a worker

    def _kind(self, job: Job) -> Kind:
        return Kind(needs_gpu=job.cell.device == "cuda", exclusive=self._exclusive)

    def take(self, waiting: deque[Job]) -> Job | None:
        can_start: dict[Kind, bool] = {}
        for position, job in enumerate(waiting):
            kind = self._kind(job)
            if kind not in can_start:
                can_start[kind] = not self._homeless and self._can_start(kind)
            if can_start[kind]:
                del waiting[position]
                return job
            if len(can_start) == 2:
                break
        return None

    def _can_start(self, kind: Kind) -> bool:
        """Return True if a worker has room for such a cell, or if none ever will, so that it ends at once."""
        return self._connection.place(kind) is not None or bool(self._connection.why_hopeless(kind))

    def start(self, job: Job) -> None:
        self._add(Attempt(job, self._kind(job)))

    def _add(self, attempt: Attempt) -> None:
        self.running.append(attempt)
        self._homeless.append(attempt)
        self._find_homes()

    def _find_homes(self) -> None:
        for attempt in list(self._homeless):
            worker = self._connection.place(attempt.kind)
            if worker is not None:
                self._homeless.remove(attempt)
                self._connection.start(attempt, worker)

    def reports(self) -> Iterator[Event]:
        yield from self._connection.pop_events()

    def finished(self) -> list[Ended]:
        self._connection.wait()
        ended = self._give_up()
        for attempt in self._connection.pop_ended():
            self.running.remove(attempt)
            records = _records(attempt)
            if records is not None:
                ended.append((attempt.job, records))
            elif attempt.number < ATTEMPTS:
                self._add(Attempt(attempt.job, attempt.kind, attempt.number + 1))
            else:
                message = f"its worker was lost {attempt.number} times"
                ended.append((attempt.job, (attempt.job.cell.record(Status.CRASH, message=message),)))
        self._find_homes()
        return ended

    def _give_up(self) -> list[Ended]:
        """Return the jobs that no worker will run, with records that say why."""
        ended: list[Ended] = []
        for attempt in list(self._homeless):
            reason = self._connection.why_hopeless(attempt.kind)
            if reason:
                self._homeless.remove(attempt)
                self.running.remove(attempt)
                record = attempt.job.cell.record(Status.ERROR, message=f"{NOT_RUN}{reason}")
                ended.append((attempt.job, (record,)))
        return ended


def _records(attempt: Attempt) -> tuple[Record, ...] | None:
    """Return the records of an attempt that has ended, or None if its worker was lost."""
    future = attempt.future
    if future is None or not future.done() or future.status in LOST:
        if future is not None:
            future.cancel()
        return None
    try:
        lines = future.result(timeout=SECONDS_TO_FETCH)
        return tuple(Record.from_dict(json.loads(line)) for line in lines)
    except Exception as error:  # Dask's own, or what could not be decoded: the fault of the cell
        if type(error).__name__ in LOST_ERRORS:
            return None
        return (attempt.job.cell.record(Status.ERROR, message=one_line(error)),)
