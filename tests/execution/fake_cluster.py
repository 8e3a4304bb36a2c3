"""A Dask client whose workers are entries of a table, and whose futures the test settles."""

import pickle
from collections.abc import Callable
from typing import Any

from mbcbench.execution.cluster.worker import Greeting, greet
from mbcbench.execution.runner import Job, Started
from mbcbench.types import JsonDict


class FakeFuture:
    """A future of the fake client; `settle` gives it a result."""

    def __init__(self, worker: str, arguments: tuple[Any, ...], resources: JsonDict) -> None:
        self.worker, self.arguments, self.resources = worker, arguments, resources
        self.status = "pending"
        self._result: object = None
        self._callbacks: list[Callable[[FakeFuture], None]] = []

    def settle(self, result: object) -> None:
        self._result, self.status = result, "error" if isinstance(result, Exception) else "finished"
        for callback in self._callbacks:
            callback(self)

    def result(self, timeout: float) -> object:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def done(self) -> bool:
        return self.status != "pending"

    def cancel(self) -> None:
        self.status = "cancelled"

    def add_done_callback(self, callback: Callable[["FakeFuture"], None]) -> None:
        self._callbacks.append(callback)
        if self.done():
            callback(self)


class FakeClient:
    """A client with the workers of `table`; every worker answers at once with the greeting in `greetings`."""

    def __init__(self) -> None:
        self.status = "running"
        self.table: dict[str, JsonDict] = {}
        self.greetings: dict[str, Greeting | Exception] = {}
        self.silent: set[str] = set()  # workers that do not answer
        self.cells: list[FakeFuture] = []  # all that were submitted
        self.result: Callable[[Job], object] | None = None  # of cells, which end at once if it is given

    def add_worker(self, name: str, *, host: str = "a", threads: int = 1, gpus: int = 0, processor: str = "x") -> None:
        resources = {"GPU": gpus} if gpus else {}
        self.table[name] = {"host": host, "nthreads": threads, "resources": resources, "status": "running"}
        self.greetings.setdefault(name, Greeting(processor=processor))

    def scheduler_info(self, n_workers: int) -> JsonDict:
        assert n_workers == -1
        return {"workers": {name: dict(facts) for name, facts in self.table.items()}}

    def submit(self, function: object, *arguments: Any, workers: list[str], **options: Any) -> FakeFuture:
        assert options["allow_other_workers"] is False
        future = FakeFuture(workers[0], arguments, options.get("resources", {}))
        if function is greet:
            if workers[0] not in self.silent:
                future.settle(self.greetings[workers[0]])
        else:
            self.cells.append(future)
            self._receive((0.0, pickle.dumps(Started(arguments[1].cell))))
            if self.result is not None:
                future.settle(self.result(arguments[1]))
        return future

    def pending(self) -> list[FakeFuture]:
        return [future for future in self.cells if not future.done()]

    def subscribe_topic(self, name: str, receive: Callable[..., None]) -> None:
        self._receive = receive

    def run(self, *arguments: object, **options: object) -> None:
        pass

    def close(self, timeout: float) -> None:
        pass
