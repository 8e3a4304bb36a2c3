"""One seed gives one record, whatever else the process has done, and however fast the machine is."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NoReturn

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import Phase, Verbosity
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

import mbcbench
from mbcbench import registry
from mbcbench.execution import runner
from mbcbench.execution.runner import Finished, Job, Limits
from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.records.record import Record, Status
from mbcbench.verify import strategies
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.drawing import try_drawn
from mbcbench.verify.example import Example
from mbcbench.verify.isolation import read_settings, seed_torch
from mbcbench.verify.law_run import Observation
from tests.controls import control
from tests.processes import running


class LazyModule(types.ModuleType):
    """A module that is imported when an attribute is read; the library that it needs is missing."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ImportError(f"{self} is not installed")


# Fast, slow, breaking and plain encoders; laws that draw sets, programs, batches and gradients.
PAIRS = (
    ("deepsets-mean", "mbc.partition"),
    ("deepsets-mean", "mbc.gradient"),
    ("umbc", "mbc.program"),
    ("sse-mean-of-chunk-means", "symmetry.batch"),
    ("sse-mean-of-chunk-means", "mbc.order"),
    ("fspool", "mbc.partition"),
)
LAWS = ("mbc.order", "mbc.program", "symmetry.batch", "substance.parameters")
EXAMPLES = 600  # more than the smallest ones, so that the others are drawn
PROGRAM = f"""
import many_constants
from mbcbench.verify.checker import Budget, Checker
for encoder, law in {PAIRS}:
    print(Checker(encoder).judge(law, Budget({EXAMPLES})).to_json())
"""


def comparable(record: Record) -> str:
    """Return a record as text, without its time and memory."""
    detail = {name: value for name, value in record.detail.items() if name != "peak_rss_bytes"}
    return replace(record, seconds=0.0, detail=detail).to_json()


def judge(encoder: object) -> list[str]:
    checker = Checker(encoder)
    return [comparable(checker.judge(law, Budget(EXAMPLES))) for law in LAWS]


def draw(strategy: SearchStrategy[object], number: int = 60) -> list[object]:
    drawn: list[object] = []

    def attempt(value: object) -> Observation:
        drawn.append(value)
        return Observation(Example(sizes=(1,)))

    assert try_drawn(strategy, attempt, max_examples=number, seed=0, shrink=True) is None
    return drawn


def draw_of_each_kind() -> list[object]:
    programs = registry.plugin(registry.LAWS, "mbc.program").load()
    module = sys.modules[programs.explore.__module__]
    return [draw(strategies.examples(variants=4)), draw(module._programs(mergeable=True))]


def write_constants(folder: Path) -> Path:
    """Write a module with the integers that Hypothesis would collect from it."""
    path = folder / "many_constants.py"
    path.write_text(f"NUMBERS = {[*range(100, 1000), *(2**20 - n for n in range(100))]}\n")
    return path


@pytest.fixture(scope="module")
def local_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_constants(tmp_path_factory.mktemp("sources"))


def test_modules_that_are_loaded_do_not_change_what_is_drawn(
    local_module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = hypothesis.strategies.integers(0, 2**20)
    before, large_before = draw_of_each_kind(), draw(large)
    spec = importlib.util.spec_from_file_location("many_constants", local_module)
    assert spec is not None
    monkeypatch.setitem(sys.modules, "many_constants", importlib.util.module_from_spec(spec))
    assert draw(large) == large_before
    assert draw_of_each_kind() == before


def test_a_lazy_module_of_a_missing_library_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lazy_1", "lazy_2"):  # Hypothesis looks at modules whenever their number has changed
        monkeypatch.setitem(sys.modules, name, LazyModule(name))
    assert len(draw(strategies.examples(variants=4))) == 60


@pytest.fixture
def hostile_profile() -> Iterator[None]:
    active = hypothesis.settings.get_current_profile_name()
    hypothesis.settings.register_profile(
        "hostile", max_examples=1, derandomize=True, phases=(Phase.explicit,), verbosity=Verbosity.debug, deadline=1e-3
    )
    hypothesis.settings.load_profile("hostile")
    yield
    hypothesis.settings.load_profile(active)


def test_the_active_profile_does_not_change_what_is_drawn(request: pytest.FixtureRequest) -> None:
    before = draw_of_each_kind()
    request.getfixturevalue("hostile_profile")
    assert draw_of_each_kind() == before


@pytest.mark.parametrize("encoder", ["sse-mean-of-chunk-means", "deepsets-mean"])
def test_a_slow_machine_changes_no_record(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = judge(encoder)
    hours = count(step=3600)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(hours)))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(hours)))
    assert judge(encoder) == expected


class DropsOut(nn.Module):
    """Draws from a global generator in eval mode."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.3).sum(1) * float(np.random.random_sample())


def test_what_was_drawn_before_changes_no_record() -> None:
    expected = judge(DropsOut)
    torch.rand(5)
    np.random.random_sample(5)
    assert judge(DropsOut) == expected
    assert [comparable(Checker(DropsOut).judge(law, Budget(EXAMPLES))) for law in LAWS] == expected


def test_a_seed_gives_the_numbers_of_torch_and_formats_no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.rand(4)
        with monkeypatch.context() as patches:
            patches.setattr(traceback, "format_stack", lambda: pytest.fail("which takes a millisecond per seed"))
            seed_torch(3)
        assert torch.equal(torch.rand(4), expected)


def test_checking_leaves_the_global_generators_alone() -> None:
    states = torch.get_rng_state(), np.random.get_state(legacy=False)
    judge(DropsOut)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_equal(np.random.get_state(legacy=False), states[1])


@pytest.mark.slow
def test_another_process_changes_no_record(local_module: Path) -> None:
    ci = {"CI": "true", "GITHUB_ACTIONS": "true"}  # Hypothesis reads them when it is imported
    outside = {name: value for name, value in os.environ.items() if name not in ci}
    environment = {**outside, "PYTHONHASHSEED": "7", **({} if ci.keys() & os.environ.keys() else ci)}
    command = [sys.executable, "-c", PROGRAM]
    with running(command, cwd=local_module.parent, env=environment, stdout=subprocess.PIPE) as other:
        expected = [Checker(encoder).judge(law, Budget(EXAMPLES)).to_json() for encoder, law in PAIRS]
        lines = other.communicate(timeout=300)[0].splitlines()
    records, others = ([comparable(Record.from_dict(json.loads(r))) for r in found] for found in (expected, lines))
    assert len(records) == len(PAIRS)
    assert records == others


def run_cells(workers: int) -> dict[str, str]:
    suite: Suite = registry.plugin(registry.SUITES, "laws").load()
    cells = suite.cells(Request(encoders=("sse-mean-of-chunk-means", "mean"), profile="smoke", seed=0))
    jobs = [Job(cell, Limits()) for cell in cells if cell.case in LAWS]
    events = runner.run(jobs, workers=workers)
    return {e.cell.key: comparable(record) for e in events if isinstance(e, Finished) for record in e.records}


def test_parallel_cells_change_no_record() -> None:
    assert run_cells(1) == run_cells(3)


@pytest.mark.parametrize("profile", ["smoke", "quick", "thorough", "paper"])
def test_cells_of_laws_hold_no_time(profile: Profile) -> None:
    suite: Suite = registry.plugin(registry.SUITES, "laws").load()
    (cell, *_) = suite.cells(Request(encoders=("mean",), profile=profile, seed=0))
    assert cell.params.keys() == {"examples"}


def test_a_law_that_takes_too_long_has_the_status_timeout() -> None:
    result = mbcbench.check("mean", laws=["mbc.partition", "mbc.program"], examples=50, seconds=0)
    assert set(result["status"]) == {Status.TIMEOUT}
    assert set(result["message"]) == {"took longer than its limit of 0 s"}
    assert not result.ok


def test_a_limit_that_is_kept_changes_no_record() -> None:
    limited, unlimited = (mbcbench.check("mean", laws=LAWS, examples=50, seconds=s) for s in (1000.0, None))
    columns = [column for column in limited.columns if column != "seconds"]
    assert limited[columns].equals(unlimited[columns])


@pytest.mark.parametrize("name", ["SetsDefaultDtype", "DisablesGradients", "MergesDeterministically", "AutocastLeftOn"])
def test_settings_that_an_encoder_changes_are_restored(name: str) -> None:
    before = read_settings()
    result = mbcbench.check(control(name).spec, laws=["hygiene.rng", "mbc.merge", "hygiene.dtype"], examples=16)
    assert result["status"].tolist() == ["fail", "pass", "pass"]
    assert read_settings() == before


def test_a_law_that_fails_for_want_of_gradients_says_that_the_encoder_disables_them() -> None:
    record = Checker(control("DisablesGradients").spec, dim_in=3).judge("mbc.gradient", Budget(examples=16))
    reason = "the gradient mode changed from True to False when it was called: fix hygiene.rng first"
    assert record.message.endswith(reason)
