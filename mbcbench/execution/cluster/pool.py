"""The pool of a cluster: the cells of one stage of a command that its workers run."""

import json
from collections import deque
from collections.abc import Iterator

from mbcbench.errors import one_line
from mbcbench.execution.cluster.connection import SECONDS_TO_FETCH, Attempt, Connection, Kind, Worker
from mbcbench.execution.runner import Ended, Event, Job
from mbcbench.records.record import NOT_RUN, Record, Status

ATTEMPTS = 3  # to run a cell whose worker is lost
QUEUED = 1  # short cells that wait on a worker, so that it never idles between cells
SHORT_SECONDS = 60.0  # limit of a short cell
LOST = ("cancelled", "lost")  # statuses of a future after its scheduler restarted
LOST_ERRORS = ("KilledWorker", "NoValidWorkerError", "TimeoutError")  # by which Dask reports a lost worker


class ClusterPool:
    """The cells of one stage that run on the cluster (see `runner.Pool`)."""

    def __init__(self, connection: Connection, *, exclusive: bool) -> None:
        self.running: list[Attempt] = []
        self._connection = connection
        self._exclusive = exclusive
        self._homeless: list[Attempt] = []  # those of `running` that wait for a worker
        self._chosen: Worker | None = None  # for the job that was taken last

    def _kind(self, job: Job) -> Kind:
        return Kind(needs_gpu=job.cell.device == "cuda", exclusive=self._exclusive)

    def take(self, waiting: deque[Job]) -> Job | None:
        can_start: dict[Kind, bool] = {}
        for position, job in enumerate(waiting):
            kind = self._kind(job)
            if kind not in can_start:
                can_start[kind] = not self._homeless and self._can_start(job, kind, len(waiting))
            if can_start[kind]:
                del waiting[position]
                return job
            if len(can_start) == 2:
                break
        return None

    def _can_start(self, job: Job, kind: Kind, waiting: int) -> bool:
        """Return True if a worker has room for such a cell, or if none ever will: the cell then ends at once."""
        # The last cells go to the first free worker, and no cell queues behind a long one.
        is_short = job.limits.seconds is not None and job.limits.seconds <= SHORT_SECONDS
        may_queue = is_short and waiting > self._connection.slots and not kind.needs_gpu and not kind.exclusive
        self._chosen = self._connection.place(kind, queued=QUEUED if may_queue else 0)
        return self._chosen is not None or bool(self._connection.why_hopeless(kind))

    def start(self, job: Job) -> Iterator[Event]:
        yield from ()  # the worker reports when the process of the cell starts
        attempt = Attempt(job, self._kind(job))
        self.running.append(attempt)
        worker, self._chosen = self._chosen, None
        if worker is not None:
            self._connection.start(attempt, worker)
        else:
            self._homeless.append(attempt)

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
                again = Attempt(attempt.job, attempt.kind, attempt.number + 1)
                self.running.append(again)
                self._homeless.append(again)
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
    except Exception as error:  # an error of Dask or of decoding: a fault of the cell
        if type(error).__name__ in LOST_ERRORS:
            return None
        return (attempt.job.cell.record(Status.ERROR, message=one_line(error)),)
