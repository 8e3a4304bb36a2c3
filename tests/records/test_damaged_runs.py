"""Files of a run that somebody else wrote, or that are damaged: each fault is one line that names the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from mbcbench.errors import UsageError
from mbcbench.records import asv, store
from mbcbench.records.cache import RunCache
from mbcbench.records.field_types import check_types
from mbcbench.records.files import CELLS, INFO, RECORDS
from mbcbench.records.record import Status
from tests.records.helpers import CELL, make_run
from tests.records.test_asv import RESULTS

LINE: dict[str, Any] = {"schema": 2, "cell": CELL.key, "records": [{"status": "ok", "value": 1.5}]}
NESTED = "[" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path, CELL.record(Status.OK))


@pytest.mark.parametrize("line", ["3", "[]", '"x"', "null", NESTED, '{"schema":Infinity}', '{"records":3,"cell":"a"}'])
def test_a_line_that_is_not_a_record_is_named(folder: Path, line: str) -> None:
    (folder / RECORDS).write_text(f"{line}\n{json.dumps(LINE)}\n")
    with pytest.raises(UsageError, match=r"records\.jsonl, line 1: not a record \(.*\); remove the line"):
        store.records(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suite", 3), ("encoder", None), ("value", [1]), ("value", 10**400), ("value", True), ("seed", 0.5),
        ("seconds", "x"), ("params", "abc"), ("detail", [1]), ("message", {}), ("higher_is_better", "yes"),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_refused(folder: Path, name: str, value: object) -> None:
    (folder / RECORDS).write_text(json.dumps({**LINE, "records": [{"status": "ok", name: value}]}) + "\n")
    with pytest.raises(UsageError, match=r"line 1: not a record"):
        store.load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run", 3), ("seed", "x"), ("seed", 10**400), ("seed", True), ("encoders", "sum"), ("encoders", [1]),
        ("suites", None), ("versions", {"torch": 2}), ("hardware", "a CPU"), ("hardware", {"cpu": []}),
        ("experiments", []), ("experiments", {"fig1": "title"}), ("reference", 3),
    ],
)  # fmt: skip
def test_a_description_with_a_field_of_another_type_is_refused(folder: Path, name: str, value: object) -> None:
    (folder / INFO).write_text(json.dumps({**store.info(folder), name: value}))
    with pytest.raises(UsageError, match=rf"run\.json does not describe a run \(ValueError: {name} is .*, not "):
        store.info(folder)


@pytest.mark.parametrize("content", ["[]", "3", NESTED, '{"schema":NaN}', '{"schema":"x"}', "\ufeff{}"])
def test_a_description_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / INFO).write_text(content)
    with pytest.raises(UsageError, match="does not describe a run"):
        store.info(folder)


@pytest.mark.parametrize("name", [RECORDS, CELLS])
def test_a_file_that_is_not_text_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\xfe\n")
    with pytest.raises(UsageError, match=rf"cannot read .*{name} \(UnicodeDecodeError"):
        store.records(folder)


def test_earlier_runs_that_are_damaged_are_skipped(folder: Path) -> None:
    cell = {"cell": CELL.key, "suite": "s", "case": "c", "encoder": "e", "identity": "abc"}
    (folder / CELLS).write_text(json.dumps({"schema": 2, "cells": [cell]}) + "\n")
    (line,) = RunCache(folder.parents[1]).unreadable
    assert "cells.jsonl, line 1: not a record (ValueError: identity is 'abc', not Mapping" in line


def read_asv(folder: Path, **changes: object) -> None:
    path = folder / "results.json"
    path.write_text(json.dumps({**RESULTS, **changes}))
    asv.read(path)


def row(*columns: object) -> dict[str, object]:
    return {"a.time_b": list(columns)}


@pytest.mark.parametrize(
    "changes",
    [
        {"params": []}, {"results": []}, {"results": row([1.0], 3)}, {"results": row([1.0], [["1", "2"]])},
        {"results": row(["x"], [])}, {"results": row([1.0], [[1, 2]] * 60)}, {"result_columns": None},
    ],
)  # fmt: skip
def test_a_results_file_of_another_structure_is_one_line(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"results\.json is not a results file of ASV"):
        read_asv(tmp_path, **changes)


@pytest.mark.parametrize("text", ["b'x'", "{1}", "1j", "(" * 1000, "-" * 100_000 + "1"])
def test_a_parameter_that_json_does_not_have_stays_a_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**RESULTS, "results": row([1.0], [[text]])}))
    (record,) = asv.read(path)
    assert record.params["param1"] == text


def test_a_boolean_is_no_number_and_an_integer_is_one() -> None:
    check_types({"a": 1, "b": None, "c": {"x": [1]}, "unknown": object()}, {"a": float, "b": int | None, "c": Any})
    for value in (True, "1", 2**70):
        with pytest.raises(ValueError, match=r"a is .*, not float"):
            check_types({"a": value}, {"a": float})


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x9b31m", "a\rb", "\x7f", "\x00"])
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_control_characters_are_written_out(folder: Path, text: str, ensure_ascii: bool) -> None:
    row = {"status": "fail", "message": text, "detail": {text: [text]}}
    (folder / RECORDS).write_text(json.dumps({**LINE, "records": [row]}, ensure_ascii=ensure_ascii) + "\n")
    (folder / INFO).write_text(json.dumps({**store.info(folder), "profile": text}, ensure_ascii=ensure_ascii))
    (record,) = store.records(folder)
    for shown in (record.message, *record.detail, *next(iter(record.detail.values())), store.info(folder)["profile"]):
        assert shown.isprintable()
        assert shown.startswith(("\\x", "a\\x0db"))


def test_lines_and_tabs_are_kept(folder: Path) -> None:
    row = {"status": "fail", "message": "a\x1bb", "detail": {"text": "one\n\ttwo é"}}
    (folder / RECORDS).write_text(json.dumps({**LINE, "records": [row]}) + "\n")
    (record,) = store.records(folder)
    assert (record.message, record.detail["text"]) == ("a\\x1bb", "one\n\ttwo é")
