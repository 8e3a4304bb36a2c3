"""The store: what is kept of a run, what a later run can reuse, and why it cannot."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import mbcbench
from mbcbench.errors import UsageError
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.records.store import Earlier, Run

CELL = Cell(suite="task", case="points", encoder="sum", params={"n": 5}, identity={"encoder source": "a"})


def make(root: Path, *records: Record, cells: tuple[Cell, ...] = (CELL,)) -> Path:
    """A finished run."""
    run = Run.create(root, profile="quick", seed=0, argv=["mbcbench", "run"], encoders=["sum"])
    run.plan(cells, {})
    for record in records:
        run.append([record])
    run.close()
    return run.folder


def test_a_run_says_what_it_was_made_with(tmp_path: Path) -> None:
    info = json.loads((make(tmp_path) / "run.json").read_text())
    assert info["schema"] == 2
    assert info["versions"].keys() == {"mbcbench", "torch", "numpy", "hypothesis", "python"}
    assert info["hardware"].keys() == {"cpu", "cores", "memory_bytes"}
    assert (info["profile"], info["seed"], info["encoders"]) == ("quick", 0, ["sum"])
    assert info["created"].endswith("+00:00")


def test_a_run_names_neither_host_nor_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane.doe")
    run = Run.create(tmp_path, profile="quick", seed=0, argv=["run", "/home/jane.doe/e.py:E"], encoders=[])
    run.close()
    said = (run.folder / "run.json").read_text()
    assert "jane" not in said
    assert os.uname().nodename not in said
    assert "~/e.py:E" in said


def test_ids_of_runs_of_one_second_differ_and_sort(tmp_path: Path) -> None:
    made = [make(tmp_path) for _ in range(3)]
    assert len(set(made)) == 3
    assert store.runs(tmp_path) == made


def test_a_run_loads_by_id_by_path_and_as_the_latest(tmp_path: Path) -> None:
    make(tmp_path)
    folder = make(tmp_path, CELL.record(Status.OK, value=1.5), CELL.record(Status.OK, value=float("nan")))
    for run in (folder.name, folder, "latest"):
        frame = mbcbench.load(run, root=tmp_path)
        assert frame["value"].iloc[0] == 1.5
        assert frame["value"].isna().tolist() == [False, True]


def test_an_unknown_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is kept under"):
        store.find("latest", tmp_path)
    make(tmp_path)
    with pytest.raises(UsageError, match="no run is called 'monday'"):
        store.find("monday", tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"schema": 3}))
    with pytest.raises(UsageError, match=r"has schema 3 and this mbcbench reads up to 2; install a newer mbcbench"):
        store.load(folder)
    assert len(Earlier(tmp_path).unreadable) == 1


def test_an_old_run_is_read_under_the_present_names(tmp_path: Path) -> None:
    folder = make(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    old = {"title": "Sizes", "across": "detail.ways", "as_trained": True, "cells": ["a"]}
    (folder / "run.json").write_text(
        json.dumps(info | {"schema": 1, "profile": "laptop", "experiments": {"fig5": old}})
    )
    info = store.info(folder)
    assert (info["schema"], info["profile"]) == (2, "thorough")
    assert info["experiments"] == {
        "fig5": {"title": "Sizes", "columns_by": "detail.ways", "only_train_size": True, "cells": ["a"]}
    }


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r"cannot write to .*file \(Not a directory\); choose another folder with --out"
    ):
        Run.create(tmp_path / "file", profile="quick", seed=0, argv=[], encoders=[])


def test_records_are_there_as_soon_as_their_cell_ended(tmp_path: Path) -> None:
    run = Run.create(tmp_path, profile="quick", seed=0, argv=[], encoders=[])
    run.append([CELL.record(Status.OK)])
    assert len(store.records(run.folder)) == 1
    run.close()


def test_a_good_cell_is_reused_and_says_where_it_comes_from(tmp_path: Path) -> None:
    first = make(tmp_path, CELL.record(Status.FAIL, value=0.25))
    (record,) = Earlier(tmp_path).find(CELL)
    assert (record.status, record.value, record.detail["reused_from"]) == (Status.FAIL, 0.25, first.name)
    make(tmp_path, record)
    (again,) = Earlier(tmp_path).find(CELL)
    assert again.detail["reused_from"] == first.name


@pytest.mark.parametrize("status", [Status.ERROR, Status.TIMEOUT, Status.CRASH, Status.OOM])
def test_a_broken_cell_is_tried_again(tmp_path: Path, status: Status) -> None:
    make(tmp_path, CELL.record(status))
    earlier = Earlier(tmp_path)
    assert earlier.find(CELL) == []
    assert str(earlier.miss(CELL)) == "broke before"


def test_a_cell_whose_records_were_cut_off_is_tried_again(tmp_path: Path) -> None:
    other = replace(CELL, case="other")
    folder = make(tmp_path, other.record(Status.OK), CELL.record(Status.OK), CELL.record(Status.OK))
    whole = (folder / "records.jsonl").read_text()
    for cut in (1, 30):  # the newline alone, and part of the last record
        (folder / "records.jsonl").write_text(whole[:-cut])
        earlier = Earlier(tmp_path)
        assert earlier.find(CELL) == []
        assert len(earlier.find(other)) == 1


def test_a_miss_names_the_fields_that_changed(tmp_path: Path) -> None:
    near = replace(CELL, params={"n": 6})
    make(tmp_path, CELL.record(Status.OK), near.record(Status.OK), cells=(CELL, near))
    earlier = Earlier(tmp_path)
    edited = replace(near, identity={"encoder source": "b"})
    assert str(earlier.miss(edited)) == "encoder source changed"
    assert str(earlier.miss(replace(edited, params={"n": 7}))) == "encoder source, n changed"
    assert str(earlier.miss(replace(CELL, encoder="max"))) == "new"


def test_reasons_are_counted() -> None:
    misses = [store.Miss(changed=("encoder source",))] * 2 + [store.Miss()]
    assert store.reasons(misses) == "encoder source changed (2), new (1)"


def test_an_unreadable_earlier_run_is_passed_over_and_named(tmp_path: Path) -> None:
    bad = make(tmp_path, CELL.record(Status.OK))
    (bad / "records.jsonl").write_text("no json\n" * 2)
    make(tmp_path, CELL.record(Status.OK))
    earlier = Earlier(tmp_path)
    assert len(earlier.find(CELL)) == 1
    assert "line 1: not a record" in earlier.unreadable[0]
