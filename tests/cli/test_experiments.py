"""The command line: experiments, which are parts of a suite, and suites that run only when they are named."""

from pathlib import Path

import pytest
import torch

import mbcbench
from tests.conftest import Command, Plugins

HONEST = f"{Path(__file__).parents[1] / 'broken_encoders.py'}:Honest"

EXPERIMENTS = """
from mbcbench.records.cell import Cell
from mbcbench.execution.suite import Experiment, Suite
from mbcbench.reporting import Report
from fake_plugins import encode

def figure(name, encoders):
    def cells(request):
        how = {"params": {"n": 5}, "seed": request.seed}
        return [Cell(suite="encode", case="once", encoder=e, **how) for e in [*encoders, *request.encoders]]
    return Experiment(title=name, cells=cells, where={"metric": "sum"})

FIGURES = {"fig1": figure("One", ["honest"]), "fig2": figure("Two", ["honest", "other"])}
SUITE = Suite(name="book", summary="", cells=list, run=encode, seconds={"quick": 20.0}, experiments=FIGURES)
REPORT = Report(
    name="experiments",
    summary="",
    terminal=lambda frame, info: "EXPERIMENTS " + " ".join(info["experiments"]),
    html=lambda frame, info: "<html>",
)
"""


@pytest.fixture
def book(plugins: Plugins, command: Command, tmp_path: Path) -> Command:
    """A suite of two experiments, whose cells are those of `encode` on two registered encoders."""
    plugins.module("book", EXPERIMENTS)
    plugins.module("own", "from torch import nn\nE = nn.Linear(4, 2)\nnn.init.ones_(E.weight)\nnn.init.ones_(E.bias)\n")
    for name in ("honest", "other", "unasked"):
        plugins.add("encoders", name, "own:E")
    plugins.add("suites", "book", "book:SUITE")
    plugins.add("reports", "experiments", "book:REPORT")
    return command


def encoders_run() -> list[str]:
    frame = mbcbench.load()
    return sorted(frame.loc[frame["suite"] == "encode", "encoder"])


def test_one_experiment_runs_with_its_own_encoders_and_those_that_are_named(book: Command) -> None:
    code, out, _ = book("run", "--suite", "book", "--only", "fig1", "--encoder", HONEST)
    assert code == 0
    assert "EXPERIMENTS fig1\n" in out
    assert "LEADERBOARD" not in out
    assert encoders_run() == sorted([HONEST, "honest"])
    book("run", "--suite", "book", "--only", "fig1,fig2")
    assert encoders_run() == ["honest", "other"]


def test_an_unknown_experiment_is_one_line_with_the_nearest_names(book: Command) -> None:
    code, out, err = book("run", "--suite", "book", "--only", "fig11", "--quiet")
    assert (code, out) == (3, "")
    assert "no experiment of book is called 'fig11' (did you mean fig1" in err
    assert err.count("\n") == 1


def test_an_artefact_that_is_not_an_experiment_points_to_its_records(book: Command, plugins: Plugins) -> None:
    plugins.add("artefacts", "table9", "no_such_module:TABLE")
    code, _, err = book("run", "--suite", "book", "--only", "table9", "--quiet")
    assert (code, err.count("\n")) == (3, 1)
    assert "it is drawn from other records, see: mbcbench describe table9" in err


def test_a_cell_of_a_suite_and_of_an_experiment_is_one_result(book: Command, plugins: Plugins) -> None:
    book("run", "--suite", "encode")
    _, out, _ = book("run", "--suite", "book")
    assert "2 of 2 cells reused" in out
    (plugins.folder / "own.py").write_text((plugins.folder / "own.py").read_text() + "EDITED = True\n")
    _, out, _ = book("run", "--suite", "book")
    assert "2 run: encoder source changed (2)" in out


def test_a_suite_that_is_not_run_by_default_runs_when_it_is_named(book: Command) -> None:
    book("run", "--encoder", HONEST)
    assert len(encoders_run()) == 4
    table = {line.split()[0]: line for line in book("list", "suites")[1].splitlines() if line.strip()}
    assert "by default" in table["encode"]
    assert "when named" in table["book"]


def test_what_a_suite_cannot_have_is_one_line(book: Command, plugins: Plugins) -> None:
    plugins.module(
        "choosy",
        "from mbcbench.datasets import choose\nfrom mbcbench.records.cell import Cell\n"
        "from mbcbench.execution.suite import Suite\n"
        "def cells(request):\n    choose('patches', request.data)\n    return []\n"
        "S = Suite(name='choosy', summary='', cells=cells, run=list, seconds={'quick': 20.0})\n",
    )
    plugins.add("suites", "choosy", "choosy:S")
    code, out, err = book("run", "--suite", "choosy", "--data", "paper", "--quiet")
    assert (code, out) == (3, "")
    assert "celeba; get celeba: mbcbench data fetch celeba" in err
    assert err.count("\n") == 1


def test_data_that_does_not_exist_is_one_line(book: Command) -> None:
    code, out, err = book("run", "--suite", "encode", "--data", "fashion", "--quiet")
    assert (code, out) == (3, "")
    assert "--data fashion: expected one of auto, built-in, paper, mnist-5k, " in err
    assert err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_one_line(book: Command) -> None:
    code, out, err = book("run", "--device", "cuda", "--quiet")
    assert (code, out) == (3, "")
    assert "torch sees no CUDA device here; use --device cpu" in err
    assert err.count("\n") == 1
