"""Cache of earlier runs: what a run can reuse, and why it cannot."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mbcbench.records.cache import CacheMiss, RunCache, reasons
from mbcbench.records.record import Status
from tests.records.helpers import CELL, make_run


def test_a_run_of_a_newer_schema_is_unreadable(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"schema": 3}))
    assert len(RunCache(tmp_path).unreadable) == 1


def test_a_good_cell_is_reused_with_the_name_of_its_run(tmp_path: Path) -> None:
    first = make_run(tmp_path, CELL.record(Status.FAIL, value=0.25))
    (record,) = RunCache(tmp_path).find(CELL)
    assert (record.status, record.value, record.detail["reused_from"]) == (Status.FAIL, 0.25, first.name)
    make_run(tmp_path, record)
    (again,) = RunCache(tmp_path).find(CELL)
    assert again.detail["reused_from"] == first.name


@pytest.mark.parametrize("status", [Status.ERROR, Status.TIMEOUT, Status.CRASH, Status.OOM])
def test_a_broken_cell_runs_again(tmp_path: Path, status: Status) -> None:
    make_run(tmp_path, CELL.record(status))
    cache = RunCache(tmp_path)
    assert cache.find(CELL) == []
    assert str(cache.miss(CELL)) == "broke before"


def test_a_cell_whose_records_were_cut_off_runs_again(tmp_path: Path) -> None:
    other = replace(CELL, case="other")
    folder = make_run(tmp_path, other.record(Status.OK), CELL.record(Status.OK), CELL.record(Status.OK))
    whole = (folder / "records.jsonl").read_text()
    for cut in (1, 30):  # the newline alone, and part of the last record
        (folder / "records.jsonl").write_text(whole[:-cut])
        cache = RunCache(tmp_path)
        assert cache.find(CELL) == []
        assert len(cache.find(other)) == 1


def test_a_miss_names_the_fields_that_changed(tmp_path: Path) -> None:
    near = replace(CELL, params={"n": 6})
    make_run(tmp_path, CELL.record(Status.OK), near.record(Status.OK), cells=(CELL, near))
    cache = RunCache(tmp_path)
    edited = replace(near, identity={"encoder source": "b"})
    assert str(cache.miss(edited)) == "encoder source changed"
    assert str(cache.miss(replace(edited, params={"n": 7}))) == "encoder source, n changed"
    assert str(cache.miss(replace(CELL, encoder="max"))) == "new"


def test_reasons_are_counted() -> None:
    misses = [CacheMiss(changed=("encoder source",))] * 2 + [CacheMiss()]
    assert reasons(misses) == "encoder source changed (2), new (1)"


def test_an_unreadable_run_is_skipped_and_named(tmp_path: Path) -> None:
    bad = make_run(tmp_path, CELL.record(Status.OK))
    (bad / "records.jsonl").write_text("no json\n" * 2)
    make_run(tmp_path, CELL.record(Status.OK))
    cache = RunCache(tmp_path)
    assert len(cache.find(CELL)) == 1
    assert "line 1: not a record" in cache.unreadable[0]
