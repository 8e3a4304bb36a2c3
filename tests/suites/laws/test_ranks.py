"""The processes of a group: what each of them does, and what the one that started them makes of it."""

import itertools
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.suites.laws import ranks
from mbcbench.suites.laws.ranks import DIES, NoGroupError, RankError, _Rank, _Report
from mbcbench.verify.law_run import LawTimeout

Result = tuple[Tensor, ...]
Pipes = list[tuple[Connection, Connection]]  # reader and writer of each


class EndedError(BaseException):
    """Stands for the end of a process."""


# ---- whether processes can be forked


def test_this_process_can_be_forked() -> None:
    assert ranks.why_not_forkable() is None


def test_processes_need_torch_distributed_and_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr(torch.distributed, "is_available", lambda: False)
        assert "needs torch.distributed" in (ranks.why_not_forkable() or "")
    monkeypatch.delattr(os, "fork")
    assert "processes that can be forked" in (ranks.why_not_forkable() or "")


@pytest.fixture
def another_thread() -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.usefixtures("another_thread")
def test_a_process_that_has_used_cuda_or_has_threads_of_autograd_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as with_cuda:
        with_cuda.setattr(torch.cuda, "is_initialized", lambda: True)
        assert "has used CUDA" in (ranks.why_not_forkable() or "")
    names = itertools.chain(["pt_autograd_0\n"], itertools.repeat("python\n"))
    monkeypatch.setattr(ranks, "_read", lambda path: next(names))
    assert "has used CUDA or its threads" in (ranks.why_not_forkable() or "")
    assert ranks.why_not_forkable() is None


def test_a_thread_that_has_ended_has_no_name(tmp_path: Path) -> None:
    (tmp_path / "comm").write_text("name\n")
    assert ranks._read(tmp_path / "comm") == "name\n"
    assert ranks._read(tmp_path / "ended" / "comm") == ""


# ---- start and end


def test_a_rank_runs_in_a_process_of_its_own_that_ends_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: Any) -> None:
        _, number, size, seed, _, writer, parent = args
        writer.send((number, size, seed, parent, os.getppid()))

    monkeypatch.setattr(ranks, "_run", run)
    this, goes_on = os.getpid(), 77
    with closing(socket.create_server((ranks.HOST, 0))) as listener:
        rank = ranks._fork(lambda _: (), 3, 4, 5, listener)
    if os.getpid() != this:
        os._exit(goes_on)
    assert (rank.number, rank.reader.recv()) == (3, (3, 4, 5, this, this))
    with pytest.raises(EOFError):
        rank.reader.recv()
    assert not rank.reader.writable
    assert os.waitstatus_to_exitcode(os.waitpid(rank.pid, 0)[1]) not in (0, goes_on)
    rank.reader.close()


def test_a_rank_is_killed_and_no_trace_of_it_is_left() -> None:
    reader, writer = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        try:
            time.sleep(600)
        finally:
            os._exit(0)
    writer.close()
    assert _Rank(0, pid, reader).end() == -signal.SIGKILL
    assert reader.closed
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def start_ranks(monkeypatch: pytest.MonkeyPatch, *, most: int) -> tuple[list[object], list[int]]:
    """Let `most` ranks start, which do nothing; return what each is started with, and the ranks that have ended."""
    started: list[object] = []
    ended: list[int] = []

    class Rank:
        def __init__(self, number: int) -> None:
            self.number = number

        def end(self) -> None:
            ended.append(self.number)

    def fork(function: object, number: int, size: int, seed: int, listener: socket.socket) -> Rank:
        if number == most:
            raise OSError("too many processes")
        started.append((number, size, seed))
        assert listener.getsockname()[1] > 1023  # a port that is free
        return Rank(number)

    monkeypatch.setattr(ranks, "_fork", fork)
    return started, ended


def test_results_are_returned_by_rank_after_all_ranks_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started, ended = start_ranks(monkeypatch, most=3)
    reports = [_Report(pytree.to_bytes((torch.tensor([value]),))) for value in (7, 8)]
    monkeypatch.setattr(ranks, "_collect", lambda ranks: reports)
    results = ranks.call_in_ranks(lambda rank: (), (torch.empty(0),), 2, 5)
    assert [int(value) for (value,) in results] == [7, 8]
    assert started == [(0, 2, 5), (1, 2, 5)]
    assert ended == [0, 1]


def test_ranks_that_have_started_end_if_others_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ended = start_ranks(monkeypatch, most=2)
    with pytest.raises(ranks.NoGroupError, match="processes cannot be started here: OSError: too many processes"):
        ranks.call_in_ranks(lambda rank: (), (torch.empty(0),), 3, 5)
    assert ended == [0, 1]


# ---- reports


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    """Three pipes, each of which brings the reports of a rank."""
    three = [Pipe(duplex=False) for _ in range(3)]
    yield three
    for end in itertools.chain.from_iterable(three):
        end.close()


def readers(pipes: Pipes, *numbers: int) -> list[_Rank]:
    return [_Rank(number, 0, pipes[number][0]) for number in numbers]


def test_reports_are_awaited_for_as_long_as_time_is_left(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def first_ready(connections: list[Connection], seconds: float) -> list[Connection]:
        waits.append(seconds)
        return connections[:1]

    for _, writer in pipes:
        writer.send(_Report(b"result"))
    now = itertools.count(100.0, 0.25)
    monkeypatch.setattr(ranks, "wait", first_ready)
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    monkeypatch.setattr(ranks, "SECONDS", 0.75)
    assert len(ranks._collect(readers(pipes, 0, 1, 2))) == 3
    assert waits == [0.5, 0.25, 0.0]


def test_reports_are_collected_by_rank_as_they_come(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "SECONDS", 1.0)
    for number, (_, writer) in enumerate(pipes):
        writer.send(_Report(bytes([number])))
    reports: dict[int, _Report] = {}
    assert ranks._receive_ready(readers(pipes, 1), reports, 0.0) == 1
    assert reports == {1: _Report(b"\x01")}
    assert ranks._receive_ready(readers(pipes, 1, 2), reports, 0.0) == 1
    assert reports == {1: _Report(b"\x01"), 2: _Report(b"\x02")}
    pipes[1][1].send(_Report(b"\x03"))
    pipes[2][1].send(_Report(b"\x04"))
    assert [report.result for report in ranks._collect(readers(pipes, 2, 0, 1))] == [b"\x00", b"\x03", b"\x04"]


def test_a_rank_without_a_report_has_died(pipes: Pipes) -> None:
    reader, writer = pipes[0]
    writer.close()
    assert ranks._receive(reader) == _Report(error=DIES)
    reader.close()
    assert ranks._receive(reader) == _Report(error=DIES)


def test_the_failure_of_one_rank_ends_a_call_although_others_are_waiting(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    def wait_for(connections: list[Any], seconds: float) -> list[Any]:
        waits.append(seconds)
        return wait(connections, seconds)

    monkeypatch.setattr(ranks, "wait", wait_for)
    monkeypatch.setattr(ranks, "SECONDS", 0.05)
    monkeypatch.setattr(ranks, "SECONDS_OF_DEATH", 0.0)
    pipes[0][1].send(_Report(b"result"))
    pipes[1][1].send(_Report(error="raises ValueError"))
    with pytest.raises(RankError, match=r"^rank 1 of 3 raises ValueError$"):
        ranks._collect(readers(pipes, 0, 1, 2))
    assert waits[-1] == 0  # nobody waits for the third any longer


def test_a_rank_that_is_seen_to_be_dead_shortly_after_a_failure_is_named(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "SECONDS", 1.0)
    pipes[0][1].send(_Report(error="raises RuntimeError: connection closed"))
    monkeypatch.setattr(time, "sleep", lambda seconds: pipes[1][1].close())
    with pytest.raises(RankError, match=r"^rank 1 of 2 dies$"):
        ranks._collect(readers(pipes, 0, 1))


def test_a_call_ends_after_the_time_limit(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "SECONDS", 0.01)
    pipes[0][1].send(_Report(b"result"))
    with pytest.raises(LawTimeout, match=r"^2 processes did not agree on an encoding within 0\.01 s$"):
        ranks._collect(readers(pipes, 0, 1))


@pytest.mark.parametrize(
    ("reports", "size", "kind", "message"),
    [
        ({0: _Report(b"x"), 1: _Report(error="raises A")}, 2, RankError, "rank 1 of 2 raises A"),
        ({1: _Report(error="raises B"), 0: _Report(error="raises A")}, 2, RankError, "rank 0 of 2 raises A"),
        ({0: _Report(error="raises A"), 1: _Report(error=DIES)}, 3, RankError, "rank 1 of 3 dies"),
        ({0: _Report(error="raises A")}, 1, RankError, "one process raises A"),
        ({0: _Report(error="A", is_out_of_memory=True)}, 2, MemoryError, "rank 0 of 2: A"),
        ({0: _Report(error="A", is_connected=False)}, 2, NoGroupError, "processes cannot form a group here: A"),
    ],
)
def test_the_failure_of_a_rank_is_described(
    reports: dict[int, _Report], size: int, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        ranks._raise_failure(reports, size)
    assert str(raised.value) == message


# ---- in the process of a rank


class Writer:
    """Keeps the reports that are sent."""

    def __init__(self) -> None:
        self.reports: list[_Report] = []

    def send(self, report: _Report) -> None:
        self.reports.append(report)


def report_of(
    function: Callable[[int], Result], monkeypatch: pytest.MonkeyPatch, join: Callable[..., None] = lambda *_: None
) -> tuple[_Report, list[object]]:
    """Return the report of rank 2 of 3 with seed 5, and what it did before it called the function."""
    steps: list[object] = []
    writer: Any = Writer()

    def join_group(*args: object) -> None:
        steps.append(("join", *args))
        join()

    monkeypatch.setattr(ranks, "_end_with", lambda parent: steps.append(("ends with", parent)))
    monkeypatch.setattr(ranks, "_seed_generators", lambda seed: steps.append(("seed", seed)))
    monkeypatch.setattr(ranks, "_join_group", join_group)
    monkeypatch.setattr(time, "sleep", lambda _: raise_error(EndedError()))
    listener: Any = "listener"
    with pytest.raises(EndedError):
        ranks._run(function, 2, 3, 5, listener, writer, 77)
    (report,) = writer.reports
    return report, steps


def raise_error(error: BaseException) -> Any:
    raise error


def test_a_rank_joins_its_group_and_reports_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    report, steps = report_of(lambda rank: (torch.tensor([rank]),), monkeypatch)
    assert steps == [("ends with", 77), ("seed", 7), ("join", 2, 3, "listener")]
    assert [int(value) for value in pytree.from_bytes(report.result, (torch.empty(0),))] == [2]
    assert (report.error, report.is_connected, report.is_out_of_memory) == ("", True, False)


@pytest.mark.parametrize(
    ("error", "text", "is_out_of_memory"),
    [
        (ValueError("no"), "raises ValueError: no", False),
        (MemoryError("no more"), "raises MemoryError: no more", True),
        (SystemExit("Cannot allocate memory"), "raises SystemExit: Cannot allocate memory", False),
    ],
)
def test_a_rank_reports_what_its_function_raises(
    error: BaseException, text: str, is_out_of_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = report_of(lambda rank: raise_error(error), monkeypatch)
    assert report.error.startswith(text)
    assert (report.result, report.is_connected, report.is_out_of_memory) == (b"", True, is_out_of_memory)


def test_a_rank_reports_that_it_cannot_join_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    report, _ = report_of(lambda rank: (), monkeypatch, join=lambda: raise_error(RuntimeError("no route")))
    assert report.error.startswith("RuntimeError: no route")
    assert not report.is_connected


def test_a_rank_ends_when_its_parent_is_gone_or_by_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: dict[int, Any] = {}
    timers: dict[int, float] = {}
    threads: list[dict[str, Any]] = []
    sleeps: list[float] = []
    parents = iter([77, 77, 1])

    class Thread:
        def __init__(self, **arguments: Any) -> None:
            threads.append(arguments)

        def start(self) -> None:
            threads[-1]["is_started"] = True

    monkeypatch.setattr(signal, "signal", signals.__setitem__)
    monkeypatch.setattr(signal, "setitimer", timers.__setitem__)
    monkeypatch.setattr(threading, "Thread", Thread)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "_exit", lambda status: raise_error(EndedError()))
    monkeypatch.setattr(time, "sleep", sleeps.append)
    ranks._end_with(77)
    assert signals == {signal.SIGINT: signal.SIG_IGN, signal.SIGALRM: signal.SIG_DFL}
    assert timers[signal.ITIMER_REAL] > ranks.SECONDS  # after the parent has given up
    (watch,) = threads
    assert watch["daemon"]
    assert watch["is_started"]
    with pytest.raises(EndedError):
        watch["target"]()
    assert sleeps == [ranks.POLL_SECONDS] * 2


def test_a_seed_determines_the_numbers_of_all_generators() -> None:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            draws = []
            for seed in (5, 7, 2**32 + 6, 5):
                ranks._seed_generators(seed)
                draws.append((random.random(), np.random.random(), float(torch.rand(()))))
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
    assert draws[0] == draws[3]
    assert [len(set(numbers)) for numbers in zip(*draws, strict=True)] == [3, 3, 3]


@pytest.mark.parametrize("number", [0, 1])
def test_a_group_meets_at_the_socket_of_the_first_rank(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def record(*args: Any, **arguments: Any) -> str:
        calls.append((args, arguments))
        return "store"

    monkeypatch.setattr(torch.distributed, "TCPStore", record)
    monkeypatch.setattr(torch.distributed, "init_process_group", record)
    with closing(socket.create_server((ranks.HOST, 0))) as listener:
        ranks._join_group(number, 2, listener)
        port, descriptor = listener.getsockname()[1], listener.fileno()
    (place, of_store), (backend, of_group) = calls
    limit = timedelta(seconds=ranks.SECONDS)
    is_first = number == 0
    assert place == (ranks.HOST, port, 2)
    assert of_store["master_listen_fd"] == (descriptor if is_first else None)
    assert (of_store["is_master"], of_store["wait_for_workers"], of_store["timeout"]) == (is_first, False, limit)
    assert backend == ("gloo",)
    assert of_group == {"store": "store", "rank": number, "world_size": 2, "timeout": limit}
