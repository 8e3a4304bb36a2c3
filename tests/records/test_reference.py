"""Reference results: packing, joining with a run, spot checks, and what they spare a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from reference import collect, unpack

from mbcbench.errors import UsageError
from mbcbench.execution.suite import Request
from mbcbench.records import reference, store
from mbcbench.records.cache import RunCache
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status, frame
from mbcbench.records.reference import Reference
from mbcbench.suites.tasks.point_clouds.standard import TASK
from mbcbench.suites.tasks.standard import plan as standard

CASE = TASK.case
MADE = {"commit": "abc1234", "created": "2026-01-02T03:04:05+00:00"}


def cell(encoder: str, seed: int, role: str = "final", **params: Any) -> Cell:
    params = {"role": role, "lr": 1e-3, "steps": 10, "variants": (), **params}
    return Cell(suite="point-clouds", case=CASE, encoder=encoder, seed=seed, params=params)


def records_of(of: Cell, value: float = 0.5, seconds: float = 10.0) -> list[Record]:
    tests: list[dict[str, Any]] = [
        {"mode": "one piece", "test_size": 100},
        {"mode": "streamed", "test_size": 100, "order": "single"},
    ]
    return [
        of.record(Status.OK, metric="accuracy", value=value, higher_is_better=True, seconds=seconds, detail=detail)
        for detail in tests
    ]


def made_of(*cells: Cell) -> Reference:
    return Reference(MADE, {c.key: c for c in cells}, tuple(record for c in cells for record in records_of(c)))


COMPLETE = made_of(*(cell("mean", seed) for seed in range(5)), cell("pma", 0), cell("mean", 1000, "search"))


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Reference:
    """Return reference results that are complete for `mean` and have one seed of `pma`."""
    monkeypatch.setattr(reference, "load", lambda: COMPLETE)
    return COMPLETE


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    reference.save(tmp_path, MADE, COMPLETE.cells.values(), COMPLETE.records)
    loaded = reference.load(tmp_path)
    assert loaded.info == MADE
    assert loaded.cells.keys() == COMPLETE.cells.keys()
    assert [r.to_fields() for r in loaded.records] == [r.to_fields() for r in COMPLETE.records]


def test_no_files_are_no_results(tmp_path: Path) -> None:
    assert reference.load(tmp_path / "none") == Reference()


@pytest.mark.parametrize("name", ["run.json", "cells.jsonl.xz", "records.jsonl.xz"])
def test_damaged_results_are_one_line(tmp_path: Path, name: str) -> None:
    reference.save(tmp_path, MADE, COMPLETE.cells.values(), COMPLETE.records)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-4])
    with pytest.raises(UsageError, match=r"the reference results in .* are damaged \(.*\); reinstall mbcbench"):
        reference.load(tmp_path)


def test_the_results_that_ship_can_be_read() -> None:
    loaded = reference.load()
    assert {record.cell for record in loaded.records} == loaded.cells.keys()
    assert not loaded.cells or {"commit", "created", "hardware"} <= loaded.info.keys()


def test_the_seeds_and_rates_are_those_of_final_trainings(shipped: Reference) -> None:
    assert shipped.seeds(CASE) == {"mean": {0, 1, 2, 3, 4}, "pma": {0}}
    assert shipped.rates(CASE) == {"mean": 1e-3, "pma": 1e-3}


def joined(own: list[Record], encoders: list[str], about: dict[str, Any] | None = MADE) -> pd.DataFrame:
    return reference.add_reference(frame(own), {"encoders": encoders, "reference": about})


@pytest.mark.usefixtures("shipped")
def test_a_run_shows_the_reference_scores_of_its_encoders() -> None:
    assert set(joined([], ["mean", "fspool"])["encoder"]) == {"mean"}
    mine = records_of(cell("my.py:Mine", 0))
    assert set(joined(mine, ["mean", "my.py:Mine"])["encoder"]) == {"mean", "my.py:Mine"}


@pytest.mark.usefixtures("shipped")
def test_a_run_without_reference_shows_its_own_records_only() -> None:
    mine = records_of(cell("mean", 0))
    assert len(joined(mine, ["mean"], None)) == len(mine)


@pytest.mark.usefixtures("shipped")
def test_the_trainings_of_a_run_replace_the_reference_if_they_are_as_many() -> None:
    five = [record for seed in range(5) for record in records_of(cell("mean", seed), value=0.9)]
    assert set(joined(five, ["mean"])["value"]) == {0.9}
    spot_check = records_of(cell("mean", 3), value=0.9)
    assert set(joined(spot_check, ["mean"])["value"]) == {0.5}


@pytest.mark.usefixtures("shipped")
def test_a_spot_check_compares_tests_in_one_piece() -> None:
    own = [*records_of(cell("mean", 1), value=0.52), *records_of(cell("mean", 2), value=0.6)]
    first, second = reference.spot_checks(frame(own))
    assert (first.encoder, first.seed) == ("mean", 1)
    assert first.difference == pytest.approx(0.02)
    assert first.difference <= first.tolerance < second.difference


@pytest.mark.usefixtures("shipped")
def test_other_settings_and_lost_scores_are_not_reproduced() -> None:
    assert reference.spot_checks(frame(records_of(cell("mean", 1, lr=1e-2)))) == []
    lost = [replace(record, value=None) for record in records_of(cell("mean", 1))]
    (check,) = reference.spot_checks(frame([*lost, *records_of(cell("pma", 0))]))[:1]
    assert check.difference == float("inf")
    assert reference.spot_checks(frame([])) == []


def planned(*encoders: str, **more: Any) -> list[Cell]:
    request = Request(encoders=encoders, **{"profile": "standard", **more})
    cells: list[Cell] = standard.cells(TASK, request)
    return cells


@pytest.mark.usefixtures("shipped")
def test_encoders_with_reference_results_are_not_trained() -> None:
    assert {c.encoder for c in planned("mean", "my.py:Mine")} == {"my.py:Mine"}
    assert {c.encoder for c in planned("mean", "my.py:Mine", reference=False)} == {"mean", "my.py:Mine"}
    assert {c.encoder for c in planned("pma")} == {"pma"}  # four seeds are missing


@pytest.mark.usefixtures("shipped")
def test_a_given_number_of_seeds_takes_the_rates_of_the_reference() -> None:
    cells = planned("mean", "max", reference=False, seeds=2)
    finals = [c for c in cells if c.params["role"] == "final"]
    assert [(c.encoder, c.seed, c.params["lr"]) for c in finals] == [("mean", 0, 1e-3), ("mean", 1, 1e-3)]
    assert {c.encoder for c in cells if c.params["role"] == "search"} == {"max"}
    assert not [c for c in cells if c.params["role"] == "doubled"]


@pytest.mark.usefixtures("shipped")
def test_the_profile_quick_trains_a_few_reference_cells_again() -> None:
    cells = planned("mean", "pma", "my.py:Mine", profile="quick", draw=1)
    assert len(cells) == standard.SPOT_CHECKS
    assert {c.key for c in cells} <= {c.key for c in COMPLETE.final_cells(CASE)}
    assert cells == planned("mean", "pma", profile="quick", draw=1)
    draws = {tuple(c.key for c in planned("mean", "pma", profile="quick", draw=draw)) for draw in range(5)}
    assert len(draws) > 1
    assert planned("my.py:Mine", profile="quick") == []


def test_slow_cells_are_no_spot_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = cell("pma", 0)
    results = Reference(MADE, {slow.key: slow}, tuple(records_of(slow, seconds=standard.SPOT_CHECK_SECONDS + 1)))
    monkeypatch.setattr(reference, "load", lambda: results)
    assert planned("pma", profile="quick") == []


def test_packed_results_are_a_run_that_continues_on_another_machine(tmp_path: Path) -> None:
    reference.save(tmp_path / "packed", MADE, COMPLETE.cells.values(), COMPLETE.records)
    folder = unpack(tmp_path / "packed", tmp_path / "root")
    assert [(r.cell, r.value, r.seed) for r in store.records(folder)] == [
        (r.cell, r.value, r.seed) for r in COMPLETE.records
    ]
    cache = RunCache(tmp_path / "root")
    assert all(cache.find(c) for c in COMPLETE.cells.values())
    cells, records, info = collect(tmp_path / "root")
    assert {c.key for c in cells} == COMPLETE.cells.keys()
    assert len(records) == len(COMPLETE.records)
    assert {name: info[name] for name in MADE} == MADE  # not of this machine


def test_a_run_shows_reference_results_of_its_suites_and_encoders_only() -> None:
    shipped = reference.load()
    assert shipped.covers(["laws", "point-clouds"], ["my.py:Mine", "mean"])
    assert not shipped.covers(["laws", "paper"], ["mean"])
    assert not shipped.covers(["point-clouds"], ["my.py:Mine"])
