"""The notebook of the tour runs, and what its text says of its results is true."""

import ast
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

import mbcbench

NOTEBOOK = Path(__file__).parents[1] / "docs/tour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Run the code of a cell, and return the value of its last expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), namespace)
    return None if last is None else eval(ast.unparse(last), namespace)


@pytest.fixture(scope="module")
def tour() -> tuple[dict[str, Any], list[Any]]:
    """Return the names that the notebook defines, and the values that it shows."""
    mpl.use("agg")
    namespace: dict[str, Any] = {}
    return namespace, [run_cell(source, namespace) for source in SOURCES]


def test_it_shows_the_outputs_of_its_code() -> None:
    outputs = [cell["outputs"] for cell in CELLS if cell["cell_type"] == "code"]
    assert sum(map(bool, outputs)) >= 8
    assert not any(output["output_type"] == "error" for of_cell in outputs for output in of_cell)


@pytest.mark.slow
def test_averaging_loses_accuracy_on_some_streams_and_a_state_on_none(tour: tuple[dict[str, Any], list[Any]]) -> None:
    scores = tour[0]["scores"]
    mean, state = scores["mean of chunks"], scores["stream with a state"]
    assert mean["in one piece"] > 0.75
    assert mean["ten random chunks"] > mean["in one piece"] - 0.03
    assert mean["ten chunks, sorted by height"] < 0.25
    assert mean["one point and the rest"] < 0.5
    assert state.max() - state.min() < 0.002  # rounding may move a digit that lies on a border
    assert float(tour[0]["accuracy"]) == pytest.approx(state.max(), abs=0.002)


@pytest.mark.slow
def test_the_laws_say_which_of_the_two_is_consistent(tour: tuple[dict[str, Any], list[Any]]) -> None:
    averaging, streaming = (value for value in tour[1] if isinstance(value, mbcbench.CheckResult))
    assert list(averaging.failures["case"]) == ["mbc.partition"]
    assert [sum(example["sizes"]) for example in averaging.failures["detail.counterexample"]] == [2]
    assert streaming.ok
    assert list(streaming[streaming["status"] == "skip"]["case"]) == ["mbc.mask"]
