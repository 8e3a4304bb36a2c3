"""Cells on the workers of a cluster, with a client in place of Dask's: placement, loss of workers, and giving up."""

import gc
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Thread

import pytest

from mbcbench.errors import UsageError
from mbcbench.execution.cluster import connection as connection_module
from mbcbench.execution.cluster.connection import connect
from mbcbench.execution.cluster.executor import ClusterExecutor
from mbcbench.execution.cluster.worker import Greeting
from mbcbench.execution.runner import Event, Finished, Job, Limits, Started
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from tests.cli.helpers import HONEST
from tests.conftest import Command as Program
from tests.execution.fake_cluster import FakeClient, FakeFuture
from tests.processes import comes_true


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """Return a client that stands for Dask's, with no workers yet, and do not wait for any."""
    fake = FakeClient()
    monkeypatch.setattr(connection_module, "connect", lambda scheduler: fake)
    monkeypatch.setattr(connection_module, "SECONDS_WITHOUT_WORKERS", 0.2)
    monkeypatch.setattr(connection_module, "SECONDS_BETWEEN_POLLS", 0.01)
    return fake


def jobs(*devices: str) -> list[Job]:
    return [Job(Cell(suite="s", case=str(n), encoder="", device=device), Limits()) for n, device in enumerate(devices)]


def succeed(job: Job) -> list[str]:
    """Return what the worker of a cell answers that succeeds."""
    return [job.cell.record(Status.OK).to_json()]


def settle(future: FakeFuture) -> None:
    """Let the cell of a future succeed."""
    future.settle(succeed(future.arguments[1]))


def finish(client: FakeClient, events: Iterator[Event]) -> list[Record]:
    """Let all cells succeed from now on, and return the records of those that end."""
    client.result = succeed
    for future in client.pending():
        settle(future)
    return records_of(events)


def records_of(events: Iterator[Event]) -> list[Record]:
    return [record for event in events if isinstance(event, Finished) for record in event.records]


def test_cells_are_spread_over_all_threads(client: FakeClient) -> None:
    client.add_worker("one", threads=1)
    client.add_worker("three", threads=3)
    with ClusterExecutor("fake", (), ()) as executor:
        assert executor.workers == 4
        events = executor.run(jobs(*["cpu"] * 6))
        assert isinstance(next(events), Started)
        assert sorted(future.worker for future in client.cells) == ["one", "three", "three", "three"]
        assert len(finish(client, events)) == 6


def test_short_cells_queue_on_a_worker_but_neither_long_ones_nor_the_last(client: FakeClient) -> None:
    client.add_worker("only")
    for seconds, count, started in ((60.0, 4, 2), (60.0, 2, 1), (3600.0, 4, 1)):
        client.cells.clear()
        client.result = None
        with ClusterExecutor("fake", (), ()) as executor:
            events = executor.run([Job(job.cell, Limits(seconds=seconds)) for job in jobs(*["cpu"] * count)])
            next(events)
            assert len(client.cells) == started
            assert len(finish(client, events)) == count


def test_cells_that_measure_time_are_alone_on_a_host_of_one_processor(client: FakeClient) -> None:
    client.add_worker("a1", host="a", threads=4)
    client.add_worker("a2", host="a", threads=4)
    client.add_worker("b", host="b")
    client.add_worker("other", host="c", processor="other")
    with ClusterExecutor("fake", (), ()) as executor:
        assert executor.processor == "x"
        assert executor.hardware == {"cpu": "other or x", "cores": 10}
        events = executor.run(jobs("cpu", "cpu", "cpu", "cpu"), exclusive=True)
        next(events)
        settle(client.cells[0])
        assert any(isinstance(event, Finished) for event in islice(events, 2))
        hosts = [client.table[future.worker]["host"] for future in client.pending()]
        assert hosts == ["b"]
        assert len(finish(client, events)) == 3
        assert "other" not in [future.worker for future in client.cells]


def test_a_gpu_has_one_cell_at_a_time_and_other_cells_do_not_wait_for_it(client: FakeClient) -> None:
    client.add_worker("gpu", threads=2, gpus=1)
    client.add_worker("cpu", host="b")
    with ClusterExecutor("fake", (), ()) as executor:
        events = executor.run(jobs("cuda", "cuda", "cpu", "cpu"))
        next(events)
        assert [(future.arguments[1].cell.device, future.resources) for future in client.cells] == [
            ("cuda", {"GPU": 1.0}), ("cpu", {}), ("cpu", {}),
        ]  # fmt: skip
        assert client.cells[0].worker == "gpu"
        assert len(finish(client, events)) == 4


def test_a_gpu_cell_without_a_gpu_is_a_row(client: FakeClient) -> None:
    client.add_worker("cpu")
    with ClusterExecutor("fake", (), ()) as executor:
        records = finish(client, executor.run(jobs("cuda", "cpu")))
    by_case = {record.case: record for record in records}
    assert (by_case["0"].status, by_case["1"].status) == (Status.ERROR, Status.OK)
    assert by_case["0"].message == ("not run: no worker of the cluster has a GPU; start workers with --resources GPU=1")


def test_a_worker_that_does_not_answer_lets_no_gpu_cell_wait(client: FakeClient) -> None:
    client.add_worker("cpu")
    with ClusterExecutor("fake", (), ()) as executor:
        client.silent.add("silent")
        client.add_worker("silent")
        (record,) = records_of(executor.run(jobs("cuda")))
    assert "no worker of the cluster has a GPU" in record.message


def test_a_paused_worker_gets_no_cells(client: FakeClient) -> None:
    for name in ("busy", "idle"):
        client.add_worker(name, threads=2)
    client.table["busy"]["status"] = "paused"
    with ClusterExecutor("fake", (), ()) as executor:
        assert len(finish(client, executor.run(jobs("cpu", "cpu", "cpu")))) == 3
    assert {future.worker for future in client.cells} == {"idle"}


def test_the_cells_of_a_lost_worker_run_on_another_one(client: FakeClient) -> None:
    client.add_worker("first")
    with ClusterExecutor("fake", (), ()) as executor:
        events = executor.run(jobs("cpu"))
        assert isinstance(next(events), Started)
        Thread(target=exchange, args=(client,)).start()
        assert [record.status for record in records_of(events)] == [Status.OK]
    assert [future.worker for future in client.cells] == ["first", "second"]


def exchange(client: FakeClient) -> None:
    """Replace the first worker by a second one as soon as it runs a cell."""
    assert comes_true(lambda: bool(client.pending()))
    client.result = succeed
    client.add_worker("second")
    del client.table["first"]


def test_a_cell_that_loses_three_workers_is_a_row(client: FakeClient) -> None:
    client.add_worker("w0")
    with ClusterExecutor("fake", (), ()) as executor:
        events = executor.run(jobs("cpu"))
        next(events)
        refresh = executor._connection._refresh

        def replace_worker() -> None:
            number = len(client.cells)
            client.table.clear()
            client.add_worker(f"w{number}")
            refresh()

        executor._connection._refresh = replace_worker  # type: ignore[method-assign]
        (record,) = records_of(events)
    assert (record.status, record.message) == (Status.CRASH, "its worker was lost 3 times")


def test_cells_end_when_all_workers_or_the_scheduler_are_lost(client: FakeClient) -> None:
    for loss, message in (("workers", "not run: the cluster has no workers"), ("scheduler", "the scheduler is lost")):
        client.status = "running"
        client.add_worker("only")
        with ClusterExecutor("fake", (), ()) as executor:
            events = executor.run(jobs("cpu", "cpu"))
            next(events)
            if loss == "workers":
                client.table.clear()
            else:
                client.status = "closed"
            records = records_of(events)
        assert [record.status for record in records] == [Status.ERROR] * 2
        assert all(message in record.message for record in records)


def test_an_error_of_dask_is_a_row(client: FakeClient) -> None:
    client.add_worker("only")
    client.result = lambda job: RuntimeError("cannot unpickle\nmore")
    with ClusterExecutor("fake", (), ()) as executor:
        (record,) = records_of(executor.run(jobs("cpu")))
    assert (record.status, record.message) == (Status.ERROR, "RuntimeError: cannot unpickle")


def test_workers_that_cannot_be_used_are_said_and_left_out(
    client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.greetings["old"] = Greeting(problem="its torch version is 1.0 instead of 2.0")
    client.greetings["bare"] = ModuleNotFoundError("No module named 'mbcbench'")
    for name in ("old", "bare", "good"):
        client.add_worker(name)
    with ClusterExecutor("fake", (), ()) as executor:
        assert len(finish(client, executor.run(jobs("cpu", "cpu")))) == 2
    assert {future.worker for future in client.cells} == {"good"}
    assert sorted(record.getMessage() for record in caplog.records) == [
        "the worker bare is not used: ModuleNotFoundError: No module named 'mbcbench'",
        "the worker old is not used: its torch version is 1.0 instead of 2.0",
    ]


def test_a_cluster_without_a_usable_worker_is_one_line(client: FakeClient) -> None:
    with pytest.raises(UsageError, match="no worker of the cluster has answered in 0 s; start workers"):
        ClusterExecutor("fake", (), ()).__enter__()
    client.greetings["old"] = Greeting(problem="its torch version is 1.0 instead of 2.0")
    client.add_worker("old")
    with pytest.raises(UsageError, match="no worker of the cluster can run cells: its torch version"):
        ClusterExecutor("fake", (), ()).__enter__()


# ---- without a scheduler


def test_a_missing_library_file_or_scheduler_is_one_line(monkeypatch: pytest.MonkeyPatch, command: Program) -> None:
    run = ["run", "--only-encoders", "--encoder", HONEST, "--suite", "encode", "--scheduler"]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "distributed", None)
        code, _, err = command(*run, "tcp://127.0.0.1:1")
        assert (code, err) == (
            3,
            "mbcbench: --scheduler runs cells on a Dask cluster; install it with: pip install 'mbcbench[cluster]'\n",
        )
    assert not list(Path(".mbcbench/runs").iterdir())
    distributed = pytest.importorskip("distributed", reason="needs mbcbench[cluster]")
    monkeypatch.setattr(connection_module, "SECONDS_TO_WRITE", 0.1)
    with pytest.raises(UsageError, match=r"no\.json: no scheduler has written this file; start one with: dask sched"):
        connect("no.json")
    Path("damaged.json").write_text("{]}")
    with pytest.raises(UsageError, match=r"damaged\.json: no Dask scheduler answers .*; give the address"):
        connect("damaged.json")
    monkeypatch.setattr(connection_module, "SECONDS_TO_CONNECT", 0.3)
    with pytest.raises(UsageError, match=r"tcp://127\.0\.0\.1:1: no Dask scheduler answers .*; give the address"):
        connect("tcp://127.0.0.1:1")
    clients = [thing for thing in gc.get_objects() if issubclass(type(thing), distributed.Client)]
    assert not clients, "the collector would close them while another one starts"
