"""Records as lines of JSON, of this schema, an older one and a newer one."""

import json
from pathlib import Path
from typing import Any

import pytest

from mbcbench.errors import UsageError
from mbcbench.records import schema
from mbcbench.records.files import read_records
from mbcbench.records.record import Record, Status

ROW = Record(suite="s", case="c", encoder="e", status=Status.OK, value=1.5)


def test_a_record_says_its_schema_and_is_read_back() -> None:
    line = json.loads(ROW.to_json())
    assert line["schema"] == schema.SCHEMA
    assert Record.from_dict(line) == ROW


def test_a_line_that_names_no_schema_is_of_the_first() -> None:
    line = json.loads(ROW.to_json())
    del line["schema"]
    assert Record.from_dict(line) == ROW


def test_an_older_record_is_migrated_through_every_schema_between(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "encoder": row["model"]}

    def shouted(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "encoder": row["encoder"].upper()}

    old = {"suite": "s", "case": "c", "model": "e", "status": "ok", "schema": 1}
    monkeypatch.setattr(schema, "SCHEMA", 3)
    for step, change in {1: renamed, 2: shouted}.items():
        monkeypatch.setitem(schema.RECORD_MIGRATIONS, step, change)
    assert Record.from_dict(old).encoder == "E"
    assert Record.from_dict({**old, "encoder": "e", "schema": 2}).encoder == "E"
    assert Record.from_dict({**old, "encoder": "e", "schema": 3}).encoder == "e"


def test_every_older_schema_has_a_migration() -> None:
    for migrations in (schema.RECORD_MIGRATIONS, schema.RUN_MIGRATIONS):
        assert set(migrations) == set(range(1, schema.SCHEMA))


def test_a_newer_record_is_refused_with_file_line_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    newer = json.dumps({**json.loads(ROW.to_json()), "schema": schema.SCHEMA + 1})
    path.write_text(f"{ROW.to_json()}\n{newer}\n")
    with pytest.raises(UsageError, match=r"records.jsonl, line 2, has schema 3 .* install a newer mbcbench"):
        list(read_records(path))
