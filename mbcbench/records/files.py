"""Lines of the files of a run. Fields that the records of a cell, or the cells of a case, share are written once.

A line of cells.jsonl describes the cells of one suite and case:

    {"schema": 2, "shared": {fields of all of them}, "cells": [{"cell": key, the other fields}, ...]}

A line of records.jsonl holds the records of one cell:

    {"schema": 2, "cell": key, "shared": {fields of all of them}, "records": [{the other fields}, ...]}

A record omits fields that its cell has or that have their default. Schema 1 had one line per cell and one line per
record, each with all fields. Both files may be compressed: cells.jsonl.xz and records.jsonl.xz.
"""

import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mbcbench.errors import MALFORMED, UsageError, one_line
from mbcbench.records.cell import Cell
from mbcbench.records.field_types import check_types, types_of
from mbcbench.records.record import Record
from mbcbench.records.schema import SCHEMA, Fields, check_schema, read_json
from mbcbench.types import JsonObject

Decoded = TypeVar("Decoded")

INFO, CELLS, RECORDS = "run.json", "cells.jsonl", "records.jsonl"
CELL_FIELDS = ("suite", "case", "encoder", "seed", "dtype", "device")
MAPPINGS = ("params", "detail", "identity")  # their entries are shared one by one
DEFAULTS: Fields = {f.name: f.default for f in fields(Record) if f.default is not MISSING}
DEFAULTS |= {"params": {}, "detail": {}}
MAX_TEXT_BYTES, MAX_DICTIONARY_BYTES = 2**29, 2**27  # of a compressed file, when it is unpacked


class CellRecords(NamedTuple):
    """The records of one line: all of a cell, or, in schema 1, one of them."""

    cell: str
    records: list[Record]
    schema: int


def encode_cells(cells: Iterable[Cell]) -> str:
    """Return the lines of cells.jsonl."""
    cases: dict[tuple[str, str], list[Fields]] = {}
    for cell in cells:
        cases.setdefault((cell.suite, cell.case), []).append({"cell": cell.key, **asdict(cell)})
    return "".join(_line({"schema": SCHEMA, **_share(rows, "cells")}) for rows in cases.values())


def decode_cells(line: str) -> dict[str, Cell]:
    """Return the cells of one line of cells.jsonl, by their keys. Raises UsageError for a newer schema."""
    content = read_json(line)
    check_schema(content)
    if "fields" in content:
        return {content["cell"]: _cell_from_1(content["fields"])}
    rows = [_merge(content.get("shared", {}), row) for row in content["cells"]]
    return {row.pop("cell"): _cell(row) for row in rows}


def _cell(fields_of_cell: Fields) -> Cell:
    check_types(fields_of_cell, types_of(Cell))
    return Cell(**fields_of_cell)


def _cell_from_1(flat: JsonObject) -> Cell:
    """Return the cell whose `fields()` schema 1 stored."""
    params = {name.removeprefix("params."): value for name, value in flat.items() if name.startswith("params.")}
    identity = {
        name: value for name, value in flat.items() if name not in CELL_FIELDS and not name.startswith("params.")
    }
    return _cell({**{name: flat[name] for name in CELL_FIELDS}, "params": params, "identity": identity})


def encode_records(records: Iterable[Record], cells: Mapping[str, Cell]) -> str:
    """Return the lines of records.jsonl for some records. cells: the cells of the run, by key."""
    lines = []
    for key, group in groupby(records, key=lambda record: record.cell):
        implied = {**DEFAULTS, **_fields_of_cell(key, cells)}
        rows = [_without(record.to_fields(), implied) for record in group]
        lines.append(_line({"schema": SCHEMA, "cell": key, **_share(rows, "records")}))
    return "".join(lines)


def decode_records(line: str, cells: Mapping[str, Cell]) -> CellRecords:
    """Return the records of one line of records.jsonl. Raises UsageError for a newer schema or an unknown cell."""
    content = read_json(line)
    schema = check_schema(content)
    if "records" not in content:
        return CellRecords(content.get("cell", ""), [Record.from_dict(content)], schema)
    key = content["cell"]
    implied = {"schema": schema, **_fields_of_cell(key, cells)}
    rows = [{**implied, **_merge(content.get("shared", {}), row)} for row in content["records"]]
    if not all("suite" in row for row in rows):
        raise UsageError(f"is of the cell {key}, which is not in cells.jsonl; remove the line")
    return CellRecords(key, [Record.from_dict(row) for row in rows], schema)


def _fields_of_cell(key: str, cells: Mapping[str, Cell]) -> Fields:
    """Return the fields that a record takes over from its cell."""
    if key not in cells:
        return {"cell": key}
    return {"cell": key, **{name: getattr(cells[key], name) for name in (*CELL_FIELDS, "params")}}


def _without(row: Fields, implied: Fields) -> Fields:
    """Return the fields of a row that differ from those implied."""
    return {name: value for name, value in row.items() if name not in implied or not _is_same(value, implied[name])}


def _share(rows: Sequence[Fields], name: str) -> Fields:
    """Return the fields that all rows share as `shared`, and the rest of each row in the list `name`."""
    shared, rest = _split(rows)
    for mapping in MAPPINGS:
        if all(mapping in row for row in rest):
            shared[mapping], entries = _split([row.pop(mapping) for row in rest])
            for row, remaining in zip(rest, entries, strict=True):
                if remaining:
                    row[mapping] = remaining
    return {"shared": shared, name: rest} if len(rows) > 1 and shared else {name: list(rows)}


def _split(rows: Sequence[Fields]) -> tuple[Fields, list[Fields]]:
    """Return the fields that all rows have with the same value, and the rest of each row."""
    first, *others = rows
    shared = {
        name: value
        for name, value in first.items()
        if all(name in row and _is_same(value, row[name]) for row in others)
    }
    return shared, [{name: value for name, value in row.items() if name not in shared} for row in rows]


def _merge(shared: Fields, row: Fields) -> Fields:
    """Return the row that `_share` has split into these two parts."""
    mappings = {name: {**shared[name], **row[name]} for name in MAPPINGS if name in shared and name in row}
    return {**shared, **row, **mappings}


def _is_same(a: Any, b: Any) -> bool:
    """Return True if two values are the same in JSON, where 1, 1.0 and True differ and keys have no order."""
    if isinstance(a, str) or a is None:
        return bool(a == b)
    if type(a) is type(b) and type(a) in (int, float, bool):
        return repr(a) == repr(b)  # 0.0 and -0.0 differ
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _line(content: Fields) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"


def is_present(path: Path) -> bool:
    """Return True if there is a file of a run, or its compressed form."""
    return path.exists() or _compressed(path).exists()


def compress(path: Path) -> None:
    """Replace a file of a run by its compressed form."""
    write_compressed(path, path.read_text(encoding="utf-8"))
    path.unlink()


def write_compressed(path: Path, text: str) -> None:
    """Write the compressed form of a file of a run."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    with lzma.open(_compressed(path), "wt", encoding="utf-8", filters=filters) as file:
        file.write(text)


def _read_text(path: Path) -> str:
    if path.exists():
        return path.read_text(encoding="utf-8")
    # A file of a stranger may ask for more memory than there is, or be unpacked to a thousand times its size.
    unpacking = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY_BYTES)
    content = unpacking.decompress(_compressed(path).read_bytes(), MAX_TEXT_BYTES)
    if not unpacking.eof or unpacking.unused_data:
        raise EOFError(f"it is cut off, longer than {MAX_TEXT_BYTES // 2**20} MiB, or followed by other data")
    return content.decode("utf-8")


def _compressed(path: Path) -> Path:
    return path.with_name(f"{path.name}.xz")


def read_cells(path: Path) -> dict[str, Cell]:
    """Return the cells of cells.jsonl by their keys; none if there is no such file."""
    cells: dict[str, Cell] = {}
    for _, decoded in read_lines(path, decode_cells) if is_present(path) else ():
        cells |= decoded
    return cells


def read_records(path: Path) -> list[Record]:
    """Return the records of a file (see `read_record_lines`)."""
    return [record for _, line in read_record_lines(path) for record in line.records]


def read_record_lines(path: Path) -> Iterator[tuple[int, CellRecords]]:
    """Yield the number of each line of a file of records, and its records.

    path: records.jsonl of a run, with the run's cells.jsonl next to it, or a file of records that have all fields.
    Raises UsageError with the file and the line for a line that cannot be read or has a newer schema.
    """
    cells = read_cells(path.with_name(CELLS))
    return read_lines(path, lambda line: decode_records(line, cells))


def read_lines(path: Path, decode: Callable[[str], Decoded]) -> Iterator[tuple[int, Decoded]]:
    """Yield the decoded lines of a file, or of its compressed form, with their numbers.

    An incomplete last line, as of a run that was killed, is ignored.
    Raises UsageError with the file and the line if another one cannot be decoded.
    """
    try:
        lines = _read_text(path).split("\n")
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise UsageError(f"cannot read {path} ({one_line(error)}); remove it") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            decoded = decode(line)
        except UsageError as error:
            raise UsageError(f"{path}, line {number}, {error}") from error
        except MALFORMED as error:
            if number == len(lines):  # without a newline: the writer was cut off
                return
            raise UsageError(f"{path}, line {number}: not a record ({one_line(error)}); remove the line") from error
        yield number, decoded
