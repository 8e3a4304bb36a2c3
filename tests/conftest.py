"""Fixtures: plug-ins that are installed for one test, in place of those of this repository."""

import gc
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mbcbench import registry
from mbcbench.cli.main import main
from tests.processes import PATIENCE

Command = Callable[..., tuple[int, str, str]]

pytest_plugins = ["pytester"]

# One thread a process: pytest runs one process a core, and its tensors are small.
torch.set_num_threads(1)
# If tests with fake tensors came first, autograd would start a thread for a GPU that is not there, and tests fork.
torch.ones(1, requires_grad=True).backward()  # type: ignore[no-untyped-call]
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"  # of the processes of xdist: where tests use two threads, none spins in wait
# Commands that are interrupted inherit it; in the background of a script, Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("COLUMNS", None)  # of a terminal, or of xdist: output of a pipe is wide, whoever runs the tests

# Triton reads it when it is first imported, which any test may be the first to do: kernels run on the CPU.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_finish() -> None:
    """Spare all collections of garbage the 400,000 objects that live as long as the tests."""
    gc.collect()
    gc.freeze()


# They import torch in the processes of cells only: the program that starts these does not, which saves a second.
PLUGINS = '''
from mbcbench.records.cell import Cell
from mbcbench.execution.suite import Suite
from mbcbench.reporting import Report

PROFILES = ("smoke", "quick", "thorough", "paper")

def encode_cells(request):
    return [Cell(suite="encode", case="once", encoder=e, params={"n": 5}, seed=request.seed) for e in request.encoders]

def encode(cell):
    import torch
    from mbcbench.protocol.build import build_from_spec, get_spec
    from mbcbench.verify.validate import element_width

    spec = get_spec(cell.encoder)
    width = element_width(spec)
    out = build_from_spec(spec, dim_in=width, seed=cell.seed)(torch.ones(2, cell.params["n"], width))
    yield cell.record("ok", metric="sum", value=out.sum().item())

ENCODE = Suite(name="encode", summary="", cells=encode_cells, run=encode, seconds=dict.fromkeys(PROFILES, 20.0))

def law_cells(request):
    pairs = [(e, law) for e in request.encoders for law in ("law.holds", "law.breaks")]
    return [Cell(suite="laws", case=law, encoder=e, params={"examples": 7}, seed=request.seed) for e, law in pairs]

def judge(cell):
    evidence = {"bound": 1e-15, "examples": cell.params["examples"]}
    if cell.case == "law.holds":
        return [cell.record("pass", metric="gap", value=1e-16, detail=evidence)]
    card = {"text": "n = 2, chunks (1, 1)", "reproduce": "assert False", "counterexample": {"n": 2}}
    return [cell.record("fail", message="gap 0.5", metric="gap", value=0.5, detail={**evidence, **card})]

LAWS = Suite(name="laws", summary="", cells=law_cells, run=judge, seconds=dict.fromkeys(PROFILES, 20.0))

def law_holds():
    """A law that holds.

    It says nothing."""

REPORT = Report(
    name="leaderboard",
    summary="",
    terminal=lambda frame, info: "LEADERBOARD " + info["profile"] + " " + " ".join(frame["status"]),
    html=lambda frame, info: "<html>" + str(len(frame)) + "</html>",
)
'''


class Plugins:
    """Plug-ins in a folder that shadows the installed distribution, so that no others are registered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, dict[str, str]] = {}
        self._default_suites: dict[str, tuple[str, str]] = {}
        self._info = folder / "mbcbench-0.dist-info"
        self._info.mkdir(parents=True)
        (self._info / "METADATA").write_text("Metadata-Version: 2.1\nName: mbcbench\nVersion: 0\n")

    def add(self, group: str, name: str, target: str) -> None:
        """Register `target` under `name`."""
        self._entries.setdefault(group, {})[name] = target
        lines = []
        for key, entries in self._entries.items():
            lines += [f"[mbcbench.{key}]", *(f"{n} = {t}" for n, t in entries.items())]
        (self._info / "entry_points.txt").write_text("\n".join(lines))
        registry.installed.cache_clear()

    def add_default_suite(self, name: str, target: str) -> None:
        """Register a suite that runs when none is named, in an index."""
        self._default_suites[name] = (target, f"the suite {name}")
        arguments = f"'', {self._default_suites!r}, default={list(self._default_suites)!r}"
        self.module("fake_index", f"from mbcbench.registry import Index\nSUITES = Index({arguments})\n")
        sys.modules.pop("fake_index", None)
        self._entries.get("suites", {}).pop(name, None)
        self.add("suites", "defaults", "fake_index:SUITES")

    def module(self, name: str, source: str) -> None:
        """Write a module that plug-ins can point to."""
        (self.folder / f"{name}.py").write_text(source)


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Return the plug-ins of one test, at first the suites `encode` and `laws`, two laws and a report."""
    made = Plugins(tmp_path / "site")
    made.module("fake_plugins", PLUGINS)
    made.add("suites", "laws", "fake_plugins:LAWS")
    made.add_default_suite("encode", "fake_plugins:ENCODE")
    made.add("laws", "law.holds", "fake_plugins:law_holds")
    made.add("laws", "law.breaks", "fake_plugins:law_holds")
    made.add("reports", "leaderboard", "fake_plugins:REPORT")
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.setenv("PYTHONPATH", str(made.folder))  # for a command in a process of its own
    return made


@pytest.fixture
def unimported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules of a test at its end: another one may give the same name to its own."""
    yield
    folder = tmp_path_factory.getbasetemp()
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    for name in [name for name, file in files.items() if file and Path(file).is_relative_to(folder)]:
        del sys.modules[name]


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], unimported: None
) -> Command:
    """Return a function that runs the program and returns exit code, standard output and standard error.

    It runs in this process, whose fork server it shares with all tests: a program that starts imports torch.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which folders of encoders are added
    # What is printed must not depend on the speed of the machine.
    monkeypatch.setattr("mbcbench.execution.progress.SECONDS_BETWEEN_LINES", math.inf)
    monkeypatch.setattr("mbcbench.execution.planner.PLUGIN_SECONDS", PATIENCE)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return call


@pytest.fixture
def command(plugins: Plugins, program: Command) -> Command:
    """Return the program with the plug-ins of one test."""
    return program
