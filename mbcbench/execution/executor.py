"""Executors: where the cells of a command run. This machine needs nothing; a cluster needs the extra `cluster`."""

import contextlib
from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Protocol

from mbcbench import system
from mbcbench.execution import runner
from mbcbench.execution.encoder_server import EncoderServers
from mbcbench.execution.prepare import prepare_data
from mbcbench.execution.runner import Event, Job
from mbcbench.types import JsonObject


class Executor(Protocol):
    """Runs cells.

    processor: model of the processor that runs cells which measure time or memory. workers: number of cells that run
    at a time. hardware: entry for run.json, if cells do not run on this machine.
    """

    @property
    def processor(self) -> str: ...

    @property
    def workers(self) -> int: ...

    @property
    def hardware(self) -> JsonObject: ...

    def prepare(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Job]]:
        """Prepare the data that jobs need, and return the jobs that can run; the others end here."""

    def run(self, jobs: Sequence[Job], *, exclusive: bool = False) -> Iterator[Event]:
        """Run jobs, and yield when each starts and ends. exclusive: nothing else runs on its machine."""


class LocalExecutor:
    """Processes of this machine. libraries, servers, name: see `runner.run`."""

    def __init__(
        self, workers: int, libraries: Sequence[str], servers: EncoderServers, name: str = runner.NAME
    ) -> None:
        self.workers = workers
        self.hardware: JsonObject = {}
        self._name = name
        self._libraries = libraries
        self._servers = servers

    @property
    def processor(self) -> str:
        return system.processor()

    def prepare(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Job]]:
        return prepare_data(jobs, self.workers, self._libraries)

    def run(self, jobs: Sequence[Job], *, exclusive: bool = False) -> Iterator[Event]:
        workers, servers = (1, None) if exclusive else (self.workers, self._servers)
        return runner.run(jobs, workers=workers, libraries=self._libraries, servers=servers, name=self._name)


@contextlib.contextmanager
def open_local(workers: int, libraries: Sequence[str], encoders: Collection[str]) -> Iterator[LocalExecutor]:
    """Yield the executor of this machine, which imports each of `encoders` once for all its cells."""
    with EncoderServers(encoders) as servers:
        yield LocalExecutor(workers, libraries, servers)


@contextlib.contextmanager
def open_executor(
    scheduler: str | None, local: LocalExecutor, libraries: Sequence[str], encoders: Collection[str]
) -> Iterator[Executor]:
    """Yield the executor of a command: the cluster of a scheduler, or this machine if there is none.

    Raises UsageError if the cluster cannot be used.
    """
    if scheduler is None:
        yield local
        return
    from mbcbench.execution.cluster.executor import ClusterExecutor

    with ClusterExecutor(scheduler, libraries, sorted(encoders)) as cluster:
        yield cluster
