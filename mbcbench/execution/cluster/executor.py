"""The executor of a cluster (see `mbcbench.execution.executor.Executor`)."""

from collections.abc import Generator, Iterator, Sequence

from mbcbench.execution import runner
from mbcbench.execution.cluster.connection import Connection
from mbcbench.execution.cluster.pool import ClusterPool
from mbcbench.execution.runner import Event, Job
from mbcbench.types import JsonObject


class ClusterExecutor:
    """Workers of a Dask scheduler, given by its address or file. libraries, encoders: see `executor.open_local`."""

    def __init__(self, scheduler: str, libraries: Sequence[str], encoders: Sequence[str]) -> None:
        self._connection = Connection(scheduler, libraries, encoders)

    def __enter__(self) -> "ClusterExecutor":
        self._connection.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__()

    @property
    def processor(self) -> str:
        return self._connection.processor

    @property
    def workers(self) -> int:
        return self._connection.slots

    @property
    def hardware(self) -> JsonObject:
        return {"cpu": self._connection.processors, "cores": self._connection.slots}

    def prepare(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Job]]:
        """Return all jobs: each worker prepares data before its first cell that needs them."""
        yield from ()
        return list(jobs)

    def run(self, jobs: Sequence[Job], *, exclusive: bool = False) -> Iterator[Event]:
        return runner.run_in(ClusterPool(self._connection, exclusive=exclusive), jobs)
