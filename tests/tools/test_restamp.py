"""A run keeps its trainings over a change of the sources if those that are repeated give the same results."""

from dataclasses import replace
from pathlib import Path

import pytest
import reference
import restamp

from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.files import CELLS, read_cells
from mbcbench.records.record import Record, Status
from tests.conftest import Plugins

SUITE = """
from mbcbench.execution.suite import Suite

def run(cell):
    return [cell.record("ok", metric="accuracy", value=cell.seed / 10, detail={"outcomes": "b:1"})]

SUITE = Suite(name="trained", summary="", cells=lambda request: [], run=run, seconds={"quick": 20.0})
"""
NEW = {"suite source": "new"}


@pytest.fixture
def run(plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two trainings and a law, made before the sources of their suite changed."""
    plugins.module("trained", SUITE)
    plugins.add("suites", "trained", "trained:SUITE")
    monkeypatch.setattr(reference, "installed_sources", lambda group, name: NEW if name == "trained" else {})
    made = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=["mean"], suites=["trained"])
    old = {"suite source": "old"}
    trained = [
        Cell(suite="trained", case="a", encoder="mean", seed=n, params={"steps": 5}, identity=old) for n in (1, 2)
    ]
    law = Cell(suite="laws", case="mbc.partition", encoder="mean", identity=old)
    made.plan([*trained, law], {})
    for cell in trained:
        made.append([record_of(cell)])
    made.append([law.record(Status.PASS)])
    made.close()
    return made.folder


def record_of(cell: Cell, value: float | None = None) -> Record:
    detail = {"outcomes": "b:1"}
    return cell.record(Status.OK, metric="accuracy", value=cell.seed / 10 if value is None else value, detail=detail)


def test_trainings_get_the_digests_of_the_installed_sources_and_laws_keep_theirs(run: Path) -> None:
    before = store.records(run)
    restamp.main([str(run), "--repeat", "1"])
    cells = read_cells(run / CELLS)
    assert {cell.suite: cell.identity["suite source"] for cell in cells.values()} == {"trained": "new", "laws": "old"}
    after = store.records(run)
    assert {record.cell for record in after} == set(cells)
    as_before = sorted((record.case, record.seed, record.value or 0.0) for record in before)
    assert sorted((record.case, record.seed, record.value or 0.0) for record in after) == as_before
    (verified,) = store.info(run)["verified"]
    assert verified["cells"] == 2
    assert verified["repeated"][0].startswith("mean on a, seed ")


def test_a_training_with_another_result_leaves_the_run_as_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run / CELLS).read_text()
    monkeypatch.setattr(
        restamp,
        "trainings",
        lambda folder: {r.cell: [replace(r, value=0.7)] for r in store.records(folder) if r.suite == "trained"},
    )
    with pytest.raises(SystemExit, match="has other results with these sources; nothing was changed"):
        restamp.main([str(run), "--repeat", "1"])
    assert (run / CELLS).read_text() == before


def test_on_another_processor_the_outcomes_of_earlier_sources_are_compared(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = tmp_path / "outcomes.json"
    call = [str(run), "--repeat", "1", "--baseline", str(baseline)]
    restamp.main(call)
    assert baseline.exists()
    assert "verified" not in store.info(run)
    monkeypatch.setattr(  # the run was made on a processor that rounds differently
        restamp,
        "trainings",
        lambda folder: {r.cell: [replace(r, value=0.7)] for r in store.records(folder) if r.suite == "trained"},
    )
    restamp.main(call)
    assert len(store.info(run)["verified"]) == 1
    baseline.write_text(baseline.read_text().replace("b:1", "b:0"))
    with pytest.raises(SystemExit, match="has other results with these sources"):
        restamp.main(call)


def test_no_run_is_kept_without_a_training_that_was_repeated(run: Path) -> None:
    before = (run / CELLS).read_text()
    with pytest.raises(SystemExit, match="would be repeated; nothing was changed"):
        restamp.main([str(run), "--repeat", "0"])
    assert (run / CELLS).read_text() == before
