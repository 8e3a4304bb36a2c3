"""Connection to a Dask scheduler: the workers that can run cells, and the cells that they run.

The client chooses the worker of each cell. It therefore knows the cells of a lost worker, runs timed cells alone on a
machine, gives a GPU to one cell at a time, and gives up cells that no worker can run.
"""

import contextlib
import gc
import logging
import pickle
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbcbench.errors import UsageError, one_line, require
from mbcbench.execution.cluster import worker as worker_side
from mbcbench.execution.cluster.worker import Command, Greeting
from mbcbench.execution.runner import Event, Job

logger = logging.getLogger(__name__)

GPU = "GPU"  # the resource of workers with a GPU, as Dask's documentation calls it
SECONDS_TO_CONNECT = 10.0
SECONDS_TO_WRITE = 20.0  # the file of a scheduler that is just starting
SECONDS_TO_GREET = 30.0  # for workers to answer, once another one has
SECONDS_WITHOUT_WORKERS = 300.0  # until cells that no worker can run are given up
SECONDS_BETWEEN_POLLS = 0.5
SECONDS_TO_END = 5.0  # to end the command on all workers
SECONDS_TO_FETCH = 30.0  # to fetch a result from its worker

# Dask has no type hints for these.
Client = Any
Future = Any


@dataclass(frozen=True)
class Kind:
    """Requirements of a cell: a GPU, or a machine on which nothing else runs."""

    needs_gpu: bool
    exclusive: bool


@dataclass(eq=False)
class Worker:
    """A worker of the cluster. running: attempts to run cells on it.

    greeting: None until the worker has answered. first_task: requests the greeting; Dask drops a task without a future.
    """

    address: str
    host: str
    threads: int
    gpus: float
    status: str
    greeting: Greeting | None = None
    first_task: Future | None = None
    running: list["Attempt"] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return self.greeting is not None and not self.greeting.problem

    @property
    def processor(self) -> str:
        return self.greeting.processor if self.greeting is not None else ""


@dataclass(eq=False)
class Attempt:
    """An attempt to run a job. worker, future: None until a worker has room for the job."""

    job: Job
    kind: Kind
    number: int = 1
    worker: Worker | None = None
    future: Future | None = None


class Connection:
    """Connection of one command to a scheduler. processor: see `mbcbench.execution.executor.Executor`."""

    def __init__(self, scheduler: str, libraries: Sequence[str], encoders: Sequence[str]) -> None:
        folder = str(Path.cwd())
        self._command = Command(
            name=f"mbcbench-{uuid.uuid4().hex}",
            libraries=tuple(libraries),
            user_encoders=tuple(encoders),
            folder=folder,
            requirements=worker_side.list_requirements(encoders, folder),
        )
        self._client = connect(scheduler)
        self._workers: dict[str, Worker] = {}
        self._messages: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._events: list[Event] = []
        self._ended: list[Attempt] = []
        self._next_refresh = 0.0
        self._last_candidate: dict[Kind, float] = {}  # time at which there last was one
        self.processor = ""  # the most frequent one, on which all cells run that measure time or memory

    def __enter__(self) -> "Connection":
        self._client.subscribe_topic(self._command.name, self._receive)
        try:
            self._await_workers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the command on all workers, even if cells still run."""
        end = threading.Thread(target=self._end_command, daemon=True)  # a worker that is frozen does not answer
        end.start()
        end.join(SECONDS_TO_END)
        with contextlib.suppress(Exception):  # the scheduler may be lost
            self._client.close(timeout=SECONDS_TO_END)

    def _end_command(self) -> None:
        addresses = [worker.address for worker in self._workers.values() if worker.is_ready]
        with contextlib.suppress(Exception):
            if addresses and self._is_connected:
                end, name = worker_side.end_command, self._command.name
                self._client.run(end, name, workers=addresses, on_error="ignore")

    # ---- workers

    @property
    def processors(self) -> str:
        """The processors of all workers that can run cells."""
        return " or ".join(sorted({worker.processor for worker in self._workers.values() if worker.is_ready}))

    @property
    def slots(self) -> int:
        """Number of cells that the workers can run at a time."""
        return sum(worker.threads for worker in self._workers.values() if worker.is_ready)

    @property
    def _is_connected(self) -> bool:
        return bool(self._client.status == "running")

    def _await_workers(self) -> None:
        """Wait until the workers have answered. Raises UsageError if none can run cells."""
        start = time.monotonic()
        self._last_candidate = {Kind(gpu, alone): start for gpu in (False, True) for alone in (False, True)}
        self._refresh()
        if not self._workers:
            logger.warning("the cluster has no workers yet; waiting for one up to %g s", SECONDS_WITHOUT_WORKERS)
        self.wait()
        while not self._workers or any(worker.greeting is None for worker in self._workers.values()):
            waited = time.monotonic() - start
            if waited > SECONDS_TO_GREET and any(worker.is_ready for worker in self._workers.values()):
                break  # the others are busy with something else
            if waited > SECONDS_WITHOUT_WORKERS:
                raise UsageError(f"no worker of the cluster has answered in {waited:.0f} s; start workers")
            self.wait()
        processors = Counter(worker.processor for worker in self._workers.values() if worker.is_ready)
        if not processors:
            raise UsageError(f"no worker of the cluster can run cells: {self._problem()}")
        self.processor = max(sorted(processors), key=lambda name: processors[name])

    def wait(self) -> None:
        """Handle the messages of workers; wait for one for a moment if there are none."""
        with contextlib.suppress(queue.Empty):
            self._messages.get(timeout=SECONDS_BETWEEN_POLLS)()
            while True:
                self._messages.get_nowait()()
        if time.monotonic() >= self._next_refresh:
            self._refresh()

    def _refresh(self) -> None:
        """Update the workers: some may have joined or left."""
        now = time.monotonic()
        self._next_refresh = now + SECONDS_BETWEEN_POLLS
        present = self._client.scheduler_info(n_workers=-1)["workers"] if self._is_connected else {}
        for address in self._workers.keys() - present.keys():
            self._lose(self._workers.pop(address))
        for address in present.keys() - self._workers.keys():
            self._greet(address, present[address])
        for address, worker in self._workers.items():
            worker.status = present[address]["status"]
        for kind in self._last_candidate:
            if self._candidates(kind):
                self._last_candidate[kind] = now

    def _greet(self, address: str, facts: dict[str, Any]) -> None:
        gpus = float(facts.get("resources", {}).get(GPU, 0))
        worker = self._workers[address] = Worker(address, facts["host"], facts["nthreads"], gpus, facts["status"])

        def answer(future: Future) -> None:
            try:
                worker.greeting = future.result(timeout=SECONDS_TO_FETCH)
            except Exception as error:  # mbcbench is missing there, or has another version
                worker.greeting = Greeting(problem=one_line(error))
            worker.first_task = None
            if worker.greeting is not None and worker.greeting.problem:
                logger.warning("the worker %s is not used: %s", address, worker.greeting.problem)

        worker.first_task = self.submit(worker, "greet", worker_side.greet, priority=1)
        worker.first_task.add_done_callback(lambda future: self._messages.put(lambda: answer(future)))

    def _lose(self, worker: Worker) -> None:
        if worker.running:
            logger.warning("the worker %s is lost; what it ran is run again", worker.address)
        for attempt in list(worker.running):
            self._end(attempt)

    def _candidates(self, kind: Kind) -> list[Worker]:
        """Return the workers that can run such cells, and those that have not answered yet."""
        workers = [worker for worker in self._workers.values() if worker.gpus > 0 or not kind.needs_gpu]
        return [worker for worker in workers if worker.greeting is None or self._can_run(worker, kind)]

    def _can_run(self, worker: Worker, kind: Kind) -> bool:
        has_processor = not kind.exclusive or worker.processor == self.processor
        return worker.is_ready and has_processor and (worker.gpus > 0 or not kind.needs_gpu)

    def why_hopeless(self, kind: Kind) -> str:
        """Return the reason to give up such cells, or an empty string as long as they may still run."""
        if self._client.status == "closed":
            return "the scheduler is lost"
        if self._candidates(kind) or time.monotonic() < self._last_candidate[kind] + SECONDS_WITHOUT_WORKERS:
            return ""
        ready = [worker for worker in self._workers.values() if worker.is_ready]
        if kind.needs_gpu and ready:
            return f"no worker of the cluster has a GPU; start workers with --resources {GPU}=1"
        return f"no worker has the processor {self.processor} any more" if ready else self._problem()

    def _problem(self) -> str:
        """Return the reason why no worker can run cells."""
        problems = [worker.greeting.problem for worker in self._workers.values() if worker.greeting is not None]
        return next((problem for problem in problems if problem), "the cluster has no workers")

    def place(self, kind: Kind, queued: int = 0) -> Worker | None:
        """Return the least busy worker with room for a cell, or None. queued: cells that may wait on it."""
        free = [worker for worker in self._workers.values() if self._has_room(worker, kind, queued)]
        return min(free, key=lambda worker: (len(worker.running) - worker.threads, worker.address), default=None)

    def _has_room(self, worker: Worker, kind: Kind, queued: int) -> bool:
        is_full = len(worker.running) >= worker.threads + queued
        if worker.status != "running" or is_full or not self._can_run(worker, kind):
            return False
        if kind.exclusive and any(other.running for other in self._workers.values() if other.host == worker.host):
            return False
        return not kind.needs_gpu or not any(attempt.kind.needs_gpu for attempt in worker.running)

    # ---- cells

    def submit(self, worker: Worker, name: str, function: Callable[..., object], *args: object, **more: Any) -> Future:
        """Call a function on one worker, with the command as its first argument."""
        return self._client.submit(
            function,
            self._command,
            *args,
            key=f"{self._command.name}-{name}-{uuid.uuid4().hex}",
            workers=[worker.address],
            allow_other_workers=False,
            pure=False,
            **more,
        )

    def start(self, attempt: Attempt, worker: Worker) -> None:
        """Run a job on a worker; `pop_ended` returns the attempt later."""
        resources = {"resources": {GPU: worker.gpus}} if attempt.kind.needs_gpu else {}
        attempt.worker = worker
        worker.running.append(attempt)
        attempt.future = self.submit(worker, attempt.job.cell.key, worker_side.run_job, attempt.job, **resources)
        attempt.future.add_done_callback(lambda _: self._messages.put(lambda: self._end(attempt)))

    def _end(self, attempt: Attempt) -> None:
        assert attempt.worker is not None
        if attempt in attempt.worker.running:  # not if its worker was lost before
            attempt.worker.running.remove(attempt)
            self._ended.append(attempt)

    def pop_ended(self) -> list[Attempt]:
        """Return the attempts that have ended, or lost their worker, since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def pop_events(self) -> list[Event]:
        """Return the events that workers have sent since the last call."""
        events, self._events = self._events, []
        return events

    def _receive(self, event: tuple[float, bytes]) -> None:
        """Queue an event of a worker; runs in the thread of the client."""
        _, content = event
        self._messages.put(lambda: self._events.append(pickle.loads(content)))


def connect(scheduler: str) -> Client:
    """Return a client of a scheduler, given as an address or as the file that it has written.

    Raises UsageError if the library is missing or no scheduler answers.
    """
    distributed = require("distributed", "--scheduler runs cells on a Dask cluster")
    is_file = scheduler.endswith(".json") or Path(scheduler).is_file()
    if is_file and not _is_written(Path(scheduler)):
        raise UsageError(
            f"--scheduler {scheduler}: no scheduler has written this file; start one with: dask scheduler "
            f"--scheduler-file {scheduler}"
        )
    place = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
    try:
        return distributed.Client(**place, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except Exception as error:  # from the network, the address or the file
        reason = one_line(error)
    # Close the client that could not start. Garbage collection would close it too, but waits for ever while another
    # client starts: both need the lock of the event loop.
    gc.collect()
    raise UsageError(
        f"--scheduler {scheduler}: no Dask scheduler answers ({reason}); give the address that "
        "dask scheduler prints, or its file"
    )


def _is_written(path: Path) -> bool:
    """Wait until a scheduler that has just been started has written its file; return False if that takes too long."""
    deadline = time.monotonic() + SECONDS_TO_WRITE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if path.read_text().rstrip().endswith("}"):
                return True
        time.sleep(0.1)
    return False
