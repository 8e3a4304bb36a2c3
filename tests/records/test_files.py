"""The files of a run: what is shared is written once, and everything is read back unchanged."""

import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbcbench.errors import UsageError
from mbcbench.records import files, store
from mbcbench.records.cell import Cell
from mbcbench.records.files import (
    CELLS,
    RECORDS,
    decode_cells,
    decode_records,
    encode_cells,
    encode_records,
    read_cells,
    read_records,
)
from mbcbench.records.record import Record, Status
from mbcbench.records.store import Run
from tests.records.helpers import CELL, make_run
from tools import pack

SCHEMA_1 = Path(__file__).parent / "schema_1"  # parts of runs that an older mbcbench wrote
COMMITTED = sorted((Path(__file__).parents[2] / "docs" / "results" / "runs").iterdir())
MANY_BYTES = 2**20  # of a packed run


def read(text: str, cells: dict[str, Cell]) -> list[Record]:
    return [record for line in text.splitlines() for record in decode_records(line, cells).records]


def test_a_packed_run_is_read_like_any_other(tmp_path: Path) -> None:
    folder = make_run(tmp_path, CELL.record(Status.OK, value=0.5))
    cells, records = read_cells(folder / CELLS), store.records(folder)
    pack.main([str(folder)])
    assert {path.name for path in folder.iterdir()} == {"run.json", "cells.jsonl.xz", "records.jsonl.xz"}
    assert read_cells(folder / CELLS) == cells
    assert as_json(store.records(folder)) == as_json(records)
    assert store.find(folder.name, tmp_path) == folder


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: content + content])
def test_a_packed_run_that_is_damaged_is_refused_in_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = make_run(tmp_path, CELL.record(Status.OK, value=0.5))
    pack.main([str(folder)])
    packed = folder / f"{RECORDS}.xz"
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(UsageError, match=r"cannot read .*records\.jsonl \(.*\); remove it"):
        store.records(folder)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_TEXT_BYTES", 100, "it is cut off, longer than 0 MiB, or followed by other data"),
        ("MAX_DICTIONARY_BYTES", 2**20, "Memory usage limit exceeded"),
    ],
)
def test_a_packed_run_that_needs_too_much_memory_is_refused_in_one_line(
    limit: str, value: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path, CELL.record(Status.OK, value=0.5))
    pack.main([str(folder)])
    monkeypatch.setattr(files, limit, value)
    with pytest.raises(UsageError, match=rf"cannot read .*cells\.jsonl \(.*{message}\); remove it"):
        read_cells(folder / CELLS)


def as_json(records: list[Record]) -> list[str]:
    """Return records in a form in which 1, 1.0 and True differ, and NaN is itself."""
    return [json.dumps(record.to_fields(), sort_keys=True) for record in records]


# Values that are equal in Python, or easily lost.
values = st.sampled_from([None, 0, 0.0, False, 1, 1.0, True, "", "nan", "sum", [], [1, 2.0], {}, {"k": None}])
mappings = st.dictionaries(st.sampled_from(["data", "mode", "curve", "n"]), values)
records = st.builds(
    Record,
    suite=st.sampled_from(["task", "laws"]),
    case=st.just("points"),
    encoder=st.sampled_from(["sum", ""]),
    status=st.sampled_from(Status),
    cell=st.sampled_from([CELL.key, "unplanned", ""]),
    seed=st.integers(0, 1),
    device=st.sampled_from(["cpu", "cuda"]),
    metric=st.sampled_from([None, "gap"]),
    value=st.sampled_from([None, 0.5, float("nan"), float("-inf")]),
    seconds=st.sampled_from([0.0, 1.5]),
    params=st.one_of(mappings, st.just(CELL.params)),
    detail=mappings,
)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(records, max_size=6))
def test_records_are_read_back_unchanged(written: list[Record]) -> None:
    text = encode_records(written, {CELL.key: CELL})
    assert as_json(read(text, {CELL.key: CELL})) == as_json(written)


def test_cells_are_read_back_with_their_keys() -> None:
    cells = [replace(CELL, seed=seed, params={"n": n}) for seed in (0, 1) for n in (1, 2)]
    cells += [replace(CELL, case="other"), Cell(suite="laws", case="mbc.merge", encoder="sum")]
    lines = encode_cells(cells).splitlines()
    assert len(lines) == 3
    decoded = {key: cell for line in lines for key, cell in decode_cells(line).items()}
    assert decoded == {cell.key: cell for cell in cells}
    assert all(cell.key == key for key, cell in decoded.items())


def test_what_the_records_of_a_cell_share_is_written_once(tmp_path: Path) -> None:
    curve = [[step, 0.123] for step in range(25)]
    folder = make_run(
        tmp_path,
        *(CELL.record(Status.OK, value=0.1 * n, detail={"test_size": n, "curve": curve}) for n in range(50)),
    )
    (line,) = (folder / RECORDS).read_text().splitlines()
    content = json.loads(line)
    assert content["shared"] == {"status": "ok", "detail": {"curve": curve}}
    assert content["records"][7] == {"value": pytest.approx(0.7), "detail": {"test_size": 7}}


def test_parameters_of_the_cell_are_not_written_again_in_another_order(tmp_path: Path) -> None:
    cell = replace(CELL, params={"steps": 10, "lr": 0.1})
    cells = {cell.key: cell}
    reused = replace(cell.record(Status.OK), params={"lr": 0.1, "steps": 10})
    assert encode_records([reused], cells) == encode_records([cell.record(Status.OK)], cells)


def test_records_that_no_cell_describes_have_all_fields(tmp_path: Path) -> None:
    foreign = Record(suite="asv", case="time", encoder="sum", status=Status.OK, value=1.0)
    folder = make_run(tmp_path, foreign, replace(foreign, value=2.0))
    (folder / CELLS).unlink()
    assert store.records(folder) == [foreign, replace(foreign, value=2.0)]


def test_a_record_whose_cell_is_gone_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path, CELL.record(Status.OK))
    (folder / CELLS).unlink()
    with pytest.raises(UsageError, match=rf"line 1, is of the cell {CELL.key}, which is not in cells.jsonl"):
        store.records(folder)


def test_a_file_of_whole_records_needs_no_cells(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    path.write_text(CELL.record(Status.OK, value=0.5).to_json() + "\n")
    assert read_records(path) == [CELL.record(Status.OK, value=0.5)]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_costs_its_cell_only(tmp_path: Path, cut: int) -> None:
    other = replace(CELL, case="other")
    folder = make_run(tmp_path, other.record(Status.OK), CELL.record(Status.OK, message="x" * 300))
    whole = (folder / RECORDS).read_text()
    (folder / RECORDS).write_text(whole[:-cut])
    assert store.records(folder)[0] == other.record(Status.OK)
    run = Run(folder)  # as `import-asv --run` opens it
    run.append([Record(suite="asv", case="time", encoder="", status=Status.OK)])
    run.close()
    assert [record.case for record in store.records(folder)] == ["other", "time"]


def test_a_run_of_schema_1_is_read_as_it_was_written() -> None:
    rows: list[dict[str, Any]] = [json.loads(line) for line in (SCHEMA_1 / RECORDS).read_text().splitlines()]
    for row in rows:
        del row["schema"]
        if "card" in row["detail"]:  # renamed since
            row["detail"]["text"] = row["detail"].pop("card")
    assert as_json(store.records(SCHEMA_1)) == [json.dumps(row, sort_keys=True) for row in rows]
    fields = {row["cell"]: row["fields"] for row in map(json.loads, (SCHEMA_1 / CELLS).read_text().splitlines())}
    cells = read_cells(SCHEMA_1 / CELLS)
    assert {key: cell.fields() for key, cell in cells.items()} == fields
    assert all(cell.key == key for key, cell in cells.items())


def test_a_run_of_schema_1_is_rewritten_without_loss() -> None:
    cells, written = read_cells(SCHEMA_1 / CELLS), store.records(SCHEMA_1)
    again = {
        key: cell for line in encode_cells(cells.values()).splitlines() for key, cell in decode_cells(line).items()
    }
    assert again == cells
    assert as_json(read(encode_records(written, again), again)) == as_json(written)


def is_large(run: Path) -> bool:
    return sum(file.stat().st_size for file in run.iterdir()) > MANY_BYTES


@pytest.mark.parametrize(
    "folder",
    [pytest.param(run, id=run.name, marks=[pytest.mark.slow] if is_large(run) else []) for run in COMMITTED],
)
def test_committed_runs_are_in_the_present_schema_and_rewritten_without_loss(folder: Path) -> None:
    assert json.loads((folder / "run.json").read_text()) == store.info(folder)
    cells = read_cells(folder / CELLS)
    assert text_of(folder / CELLS) == encode_cells(cells.values())
    assert text_of(folder / RECORDS) == encode_records(store.records(folder), cells)


def text_of(path: Path) -> str:
    """Return the text of a file of a run, which may be packed."""
    packed = path.with_name(f"{path.name}.xz")
    return lzma.decompress(packed.read_bytes()).decode() if packed.exists() else path.read_text()
