"""The suite of laws: what a cell asks for, and what is built once for all cells of an encoder."""

import re
from pathlib import Path
from typing import Any

import pytest

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status
from mbcbench.suites import laws
from mbcbench.verify.checker import Checker
from tests.suites.helpers import load_suite

ENCODER = "deepsets-mean"


@pytest.fixture
def suite() -> Suite:
    laws._build_checker.cache_clear()
    return load_suite("laws")


def cell_with(case: str = "mbc.partition", seed: int = 0, **params: Any) -> Cell:
    return Cell(suite="laws", case=case, encoder=ENCODER, seed=seed, params={"examples": 16, **params}, dtype="float64")


@pytest.mark.parametrize("profile", ["smoke", "quick", "thorough", "paper"])
def test_the_number_of_sets_is_that_of_the_page_on_profiles(profile: Profile, suite: Suite) -> None:
    page = (Path(__file__).parents[3] / "docs/profiles.md").read_text()
    (number,) = re.findall(rf"^\| `{profile}` \| ([\d,]+) \|", page, re.MULTILINE)
    cells = suite.cells(Request(encoders=(ENCODER, "sse"), profile=profile, seed=2))
    assert {cell.params["examples"] for cell in cells} == {int(number.replace(",", ""))}
    assert {(cell.suite, cell.dtype, cell.seed) for cell in cells} == {("laws", "float64", 2)}
    assert {cell.encoder for cell in cells} == {ENCODER, "sse"}
    assert suite.seconds[profile] >= suite.seconds["smoke"] > 0


def test_the_encoder_is_built_as_the_cell_says() -> None:
    checker = laws._checker(cell_with(seed=5, dim_in=7, reference=None, expected_failures={"mbc.order": "known"}))
    assert (checker.name, checker.seed, checker.dim_in) == (ENCODER, 5, 7)
    assert checker.breaks["mbc.order"] == "known"
    assert checker.reference is None


def test_a_reference_of_the_cell_is_compared_with(tmp_path: Path) -> None:
    path = tmp_path / "reference.py"
    path.write_text("def mean(module, x):\n    return x.mean(1)\n")
    checker = laws._checker(cell_with(reference=f"{path}:mean"))
    assert checker.reference == f"{path}:mean"
    assert checker.spec.reference is not None


def test_the_encoder_is_built_once_for_cells_with_equal_parameters(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Checker] = []
    build = Checker.__init__

    def count(self: Checker, *args: Any, **more: Any) -> None:
        built.append(self)
        build(self, *args, **more)

    monkeypatch.setattr(Checker, "__init__", count)
    cell, same = (
        cell_with(dim_in=3),
        Cell(suite="laws", case="mbc.order", encoder=ENCODER, params={"dim_in": 3, "examples": 16}, dtype="float64"),
    )
    suite.warm_up(cell)
    assert "independent_sets" in vars(built[0])
    (record,) = suite.run(cell)
    (other,) = suite.run(same)
    assert (record.status, record.case, other.case) == (Status.PASS, "mbc.partition", "mbc.order")
    assert len(built) == 1
    laws._checker(cell_with(seed=1))
    laws._checker(cell)
    assert len(built) == 3  # only the last one is kept
