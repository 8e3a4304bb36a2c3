"""Store: what a run keeps, and how it is found and read."""

import json
import os
from pathlib import Path

import pytest

import mbcbench
from mbcbench.errors import UsageError
from mbcbench.records import store
from mbcbench.records.record import Status
from mbcbench.records.store import Run
from tests.records.helpers import CELL, make_run


def test_run_json_describes_how_a_run_was_made(tmp_path: Path) -> None:
    info = json.loads((make_run(tmp_path) / "run.json").read_text())
    assert info["schema"] == 2
    assert info["versions"].keys() == {"mbcbench", "torch", "numpy", "hypothesis", "python"}
    assert info["hardware"].keys() == {"cpu", "cores", "memory_bytes"}
    assert (info["profile"], info["seed"], info["encoders"]) == ("quick", 0, ["sum"])
    assert info["created"].endswith("+00:00")


def test_a_run_names_neither_host_nor_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane.doe")
    run = Run.create(tmp_path, profile="quick", seed=0, argv=["run", "/home/jane.doe/e.py:E"], encoders=[])
    run.close()
    text = (run.folder / "run.json").read_text()
    assert "jane" not in text
    assert os.uname().nodename not in text
    assert "~/e.py:E" in text


def test_ids_of_runs_of_the_same_second_differ_and_sort(tmp_path: Path) -> None:
    made = [make_run(tmp_path) for _ in range(3)]
    assert len(set(made)) == 3
    assert store.runs(tmp_path) == made


def test_a_run_loads_by_id_by_path_and_as_the_latest(tmp_path: Path) -> None:
    make_run(tmp_path)
    folder = make_run(tmp_path, CELL.record(Status.OK, value=1.5), CELL.record(Status.OK, value=float("nan")))
    for run in (folder.name, folder, "latest"):
        frame = mbcbench.load(run, root=tmp_path)
        assert frame["value"].iloc[0] == 1.5
        assert frame["value"].isna().tolist() == [False, True]


def test_the_error_for_an_unknown_run_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no runs under"):
        store.find("latest", tmp_path)
    make_run(tmp_path)
    with pytest.raises(UsageError, match="no run is called 'monday'"):
        store.find("monday", tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"schema": 3}))
    with pytest.raises(UsageError, match=r"has schema 3 and this mbcbench reads up to 2; install a newer mbcbench"):
        store.load(folder)


def test_an_old_run_is_read_under_the_present_names(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
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


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r"cannot write to .*file \(Not a directory\); choose another folder with --root"
    ):
        Run.create(tmp_path / "file", profile="quick", seed=0, argv=[], encoders=[])


def test_records_can_be_read_as_soon_as_their_cell_has_ended(tmp_path: Path) -> None:
    run = Run.create(tmp_path, profile="quick", seed=0, argv=[], encoders=[])
    run.append([CELL.record(Status.OK)])
    assert len(store.records(run.folder)) == 1
    run.close()


def test_a_folder_of_runs_stands_for_its_latest(tmp_path: Path) -> None:
    for profile in ("quick", "smoke"):
        store.Run.create(tmp_path / "before", profile=profile, seed=0, argv=[]).close()
    assert store.find(tmp_path / "before", tmp_path) == store.runs(tmp_path / "before")[-1]
