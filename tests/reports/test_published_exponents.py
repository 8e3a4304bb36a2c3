"""The same records give the same exponents in the README, on the cost page and in the figures."""

import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import mbcbench
from mbcbench import registry
from mbcbench.records import store
from mbcbench.reports.costs import GROWTH_TITLE, tables

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "docs" / "results" / "runs"
FIGURES = {"time": "time", "memory": "measured memory"}  # artefact -> column of the cost page
EXPONENT = re.compile(r"(-?\d+\.\d\d) \[(-?\d+\.\d\d), (-?\d+\.\d\d)\]")
CLAIM = re.compile(r"n\^(-?\d+\.\d\d) \[(-?\d+\.\d\d), (-?\d+\.\d\d)\]")  # in the README

pytestmark = pytest.mark.skipif(not RUNS.is_dir(), reason="needs the committed runs")
Exponent = tuple[float, float, float]  # with its interval


@cache
def records() -> pd.DataFrame:
    """Return the records of the last committed run of costs."""
    runs = [path for path in RUNS.iterdir() if (path / "run.json").exists()]
    return mbcbench.load(str(max(path for path in runs if store.info(path)["suites"] == ["resources"])))


def printed(text: str) -> Exponent | None:
    """Return the exponent of a cell of the cost page."""
    match = EXPONENT.match(text)
    return None if match is None else (float(match[1]), float(match[2]), float(match[3]))


@cache
def of_report() -> dict[tuple[str, str, str], Exponent | None]:
    """Return the exponents that the report prints, by encoder, mode and column."""
    table = tables(records())[GROWTH_TITLE]
    rows = table.to_dict("records")
    return {(row["encoder"], row["mode"], column): printed(row[column]) for row in rows for column in FIGURES.values()}


def of_page() -> dict[tuple[str, str, str], Exponent | None]:
    """Return the exponents on the committed page."""
    lines = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("| encoder "))
    table = lines[start : lines.index("", start)]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    return {(row["encoder"], row["mode"], column): printed(row[column]) for row in cells for column in FIGURES.values()}


def test_the_cost_page_prints_the_exponents_of_the_committed_run() -> None:
    page, report = of_page(), of_report()
    assert len(report) > 100
    assert {key: page.get(key) for key in report} == report


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_have_the_exponents_of_the_cost_page(name: str) -> None:
    data = registry.plugin(registry.ARTEFACTS, name).load().data(records())
    fits = data.drop_duplicates(["encoder", "mode"]).dropna(subset=["low"])
    assert len(fits) > 50
    for row in fits.itertuples():
        exponent = (round(row.exponent, 2), round(row.low, 2), round(row.high, 2))
        assert of_report()[row.encoder, row.mode, FIGURES[name]] == exponent


def test_every_exponent_in_the_readme_is_on_the_cost_page() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    claims = [(float(low), float(mean), float(high)) for low, mean, high in CLAIM.findall(readme)]
    assert set(claims) <= set(of_report().values())
