"""The law about several processes: no alarm, no hang, and no process that is left behind."""

import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from examples.in_order import Retention
from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.suites.laws import ranks
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.law_result import LawResult
from tests.controls import control
from tests.controls.base import Max, Mean, Slots, Slotted, Sum, Sums
from tests.controls.distributed import LogSumExp
from tests.controls.mbc import NoMerge
from tests.processes import PATIENCE, comes_true
from tests.sound_encoders import Sum as PlainSum

LAW = "mbc.distributed"
ONE = Budget(examples=1, min_examples=1)


def result(encoder: type[nn.Module], budget: Budget = ONE) -> LawResult:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    return checker.try_law(get_law(LAW), budget)


class RandomSlots(Slots):
    """Draws slots with torch's generator, which all processes share."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return Slotted(state.slots + torch.randn(self.slots.shape, dtype=self.slots.dtype), state.total)


class SlotsFromNumPy(Slots):
    """Its faulty twin draws with NumPy's generator, of which each process has its own."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        noise = torch.as_tensor(np.random.standard_normal(self.slots.shape), dtype=self.slots.dtype)
        return Slotted(state.slots + noise, state.total)


class ComparesSlots(Slots):
    """Refuses to merge other slots, equal ones are not refused."""

    def merge(self, a: Any, b: Any) -> Any:
        if not torch.equal(a.slots, b.slots):
            raise ValueError("the states have different slots")
        return super().merge(a, b)


class AddsIntoCopy(Mean):
    """Merges in place, into a copy."""

    def merge(self, a: Any, b: Any) -> Any:
        return Sums(a.total.clone().add_(b.total), a.number + b.number)


class Totals(dict[str, Tensor]):
    """Quantities that are added by name."""

    def __add__(self, other: object) -> "Totals":
        if not isinstance(other, Totals):
            return NotImplemented
        return Totals({name: self[name] + other[name] for name in self})


class MergesWithPlus(Mean):
    """Has states of a mapping type of its own, and merges them by the operator of that type."""

    def init_state(self, batch_size: int) -> Any:
        return Totals(super().init_state(batch_size)._asdict())

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return Totals(super().update(Sums(**state), x, mask)._asdict())

    def merge(self, a: Any, b: Any) -> Any:
        return a + b

    def readout(self, state: Any) -> Tensor:
        return super().readout(Sums(**state))


class Maybe(NamedTuple):
    """A sum, or None for no elements, and the number of chunks."""

    total: Tensor | None
    chunks: int


class StartsWithNone(Sum):
    """Has a state without tensors until there are elements."""

    def init_state(self, batch_size: int) -> Any:
        return Maybe(None, 0)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return self.merge(state, Maybe(self.part(x, mask).total, 1))

    def merge(self, a: Any, b: Any) -> Any:
        sides = [side.total for side in (a, b) if side.total is not None]
        return Maybe(torch.stack(sides).sum(0) if sides else None, a.chunks + b.chunks)

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state.total
        return total


class Frozen(Max):
    """Has no trainable parameters."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.requires_grad_(requires_grad=False)


@pytest.mark.parametrize(
    "encoder",
    [
        RandomSlots,
        ComparesSlots,
        AddsIntoCopy,
        MergesWithPlus,
        StartsWithNone,
        Frozen,
        LogSumExp,
        Retention,
        PlainSum,
    ],
    ids=lambda encoder: encoder.__name__,
)
def test_a_sound_encoder_raises_no_alarm(encoder: type[nn.Module]) -> None:
    kept = result(encoder)
    assert kept.status is Status.PASS, kept


@pytest.mark.parametrize("name", ["sse-random", "sse-hierarchical", "attention-pooling"])
def test_a_builtin_raises_no_alarm(name: str) -> None:
    assert Checker(name, dim_in=3, seed=1).try_law(get_law(LAW), ONE).status is Status.PASS


@pytest.mark.parametrize("encoder", [SlotsFromNumPy, control("MergeForgetsCount").encoder])
def test_other_faults_are_caught(encoder: type[nn.Module]) -> None:
    assert result(encoder).status is Status.FAIL


def test_an_encoder_without_merge_is_skipped() -> None:
    assert result(NoMerge).message == "it has no merge"


class Dies(Sum):
    """Kills its process when it merges."""

    def merge(self, a: Any, b: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Sum):
    """Never ends a merge."""

    def merge(self, a: Any, b: Any) -> Any:
        time.sleep(2 * PATIENCE)


class Exits(Sum):
    """Exits when it merges."""

    def merge(self, a: Any, b: Any) -> Any:
        sys.exit(3)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [(Dies, r"rank 0 of [23] dies"), (Exits, r"rank 0 of [23] raises SystemExit: 3 \(.*\.py:\d+\)")],
)
def test_the_rank_that_ends_is_named(encoder: type[nn.Module], message: str) -> None:
    before = psutil.Process().children()  # of other tests
    ended = result(encoder)
    assert ended.status is Status.FAIL
    assert re.fullmatch(message, ended.message)
    assert psutil.Process().children() == before


def test_processes_that_wait_for_one_another_end_in_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    before = psutil.Process().children()
    monkeypatch.setattr(ranks, "SECONDS", 1.0)
    spec = EncoderSpec(name="hangs", factory=Hangs)
    record = Checker(spec, dim_in=3, seed=0).judge(LAW, ONE)
    assert record.status is Status.TIMEOUT
    assert re.fullmatch(r"[23] processes did not agree on an encoding within 1 s", record.message)
    assert psutil.Process().children() == before


def test_memory_that_runs_out_is_no_fault_of_the_encoder() -> None:
    def exhaust(rank: int) -> tuple[Tensor, ...]:
        raise MemoryError("no more")

    with pytest.raises(MemoryError, match=r"rank [01] of 2: raises MemoryError: no more"):
        call(exhaust)


def call(function: Callable[[int], tuple[Tensor, ...]], size: int = 2) -> list[tuple[Tensor, ...]]:
    like: tuple[Tensor, ...] = (torch.empty(0),)
    results: list[tuple[Tensor, ...]] = ranks.call_in_ranks(function, like, size, seed=5)
    return results


def test_groups_at_the_same_time_do_not_meet() -> None:
    def add(number: int) -> tuple[Tensor, ...]:
        total = torch.tensor([number])
        torch.distributed.all_reduce(total)
        return (total,)

    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda number: call(lambda _: add(number)), range(3)))
    assert [[int(total) for (total,) in group] for group in results] == [[0, 0], [2, 2], [4, 4]]


def test_processes_are_forked_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """filelock, once it is imported, refuses a fork while another thread forks."""
    fork, forking, most = os.fork, [0], [0]

    def slow_fork() -> int:
        forking[0] += 1
        most[0] = max(most[0], forking[0])
        time.sleep(0.02)
        forking[0] -= 1
        return fork()

    monkeypatch.setattr(ranks.os, "fork", slow_fork)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: call(lambda rank: (torch.empty(0),)), range(3)))
    assert most == [1]


def test_ranks_draw_other_numbers_and_the_first_always_the_same() -> None:
    def draw(rank: int) -> tuple[Tensor, ...]:
        return (torch.tensor([random.random(), np.random.random(), float(torch.rand(()))]),)

    (alone,), (first,), (second,) = *call(draw, 1), *call(draw)
    assert torch.equal(alone, first)
    assert not bool((first == second).any())


def test_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    def wait(rank: int) -> tuple[Tensor, ...]:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(2 * PATIENCE)
        return (torch.empty(0),)

    pid = os.fork()
    if pid == 0:
        try:
            call(wait)
        finally:
            os._exit(0)
    assert comes_true(lambda: len(list(tmp_path.iterdir())) == 2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert comes_true(lambda: not any(psutil.pid_exists(int(path.name)) for path in tmp_path.iterdir()))


def test_the_law_is_tried_only_if_it_is_named_or_the_profile_is_thorough() -> None:
    for patterns in (None, ["mbc"], ["mbc.*"]):
        assert LAW not in registry.select(registry.LAWS, patterns)
        assert LAW in registry.select(registry.LAWS, patterns, slow=True)
    assert registry.select(registry.LAWS, [f"mbc.merge,{LAW}"]) == ["mbc.merge", LAW]
