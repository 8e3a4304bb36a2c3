"""Records of measurements of ASV (airspeed velocity), from its results files (version 2 of their format)."""

import ast
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench.errors import MALFORMED, UsageError, one_line
from mbcbench.records.detail import AsvDetail
from mbcbench.records.record import Record, Status
from mbcbench.records.schema import read_json
from mbcbench.types import JsonObject

VERSION = 2
MAX_POINTS = 10_000  # combinations of the parameters of one benchmark
OTHER_FILES = ("benchmarks.json", "machine.json")  # in a folder of results


def read(path: Path) -> list[Record]:
    """Return the records of a results file, or of all in a folder: one per benchmark and parameters.

    Raises UsageError if there are none, or if a file is in another format.
    """
    files = sorted(f for f in path.rglob("*.json") if f.name not in OTHER_FILES) if path.is_dir() else [path]
    records = [record for file in files for record in _read_file(file)]
    if not records:
        raise UsageError(f"no results of ASV in {path}; make some with: make bench")
    return records


def _read_file(path: Path) -> list[Record]:
    try:
        content = read_json(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise UsageError(f"{path} has version {content['version']} of ASV's format and only {VERSION} can be read")
        return list(_records(content))
    except (OSError, *MALFORMED) as error:
        raise UsageError(
            f"{path} is not a results file of ASV ({one_line(error)}); make one with: make bench"
        ) from error


def _records(content: JsonObject) -> Iterator[Record]:
    machine = {name: content["params"].get(name) for name in ("cpu", "num_cpu", "ram", "os")}  # never its host name
    context = AsvDetail(commit=content["commit_hash"], python=content["python"], hardware=machine)
    for name, row in content["results"].items():
        columns = dict(zip(content["result_columns"], row, strict=False))  # ASV omits empty columns at the end
        values = columns.get("params") or []
        if math.prod(map(len, values)) > MAX_POINTS:
            raise ValueError(f"{name} has more than {MAX_POINTS:,} combinations of parameters")
        points = itertools.product(*values)
        for index, point in enumerate(points):
            yield _record(name, point, columns, index, context)


def _record(name: str, point: Sequence[str], columns: JsonObject, index: int, context: AsvDetail) -> Record:
    value = _entry(columns.get("result"), index)
    if not isinstance(value, int | float | None):
        raise TypeError(f"{name} has the result {value!r}, which is not a number")
    values = [_parse_literal(text) for text in point]
    low, high = (_entry(columns.get(f"stats_ci_99_{end}"), index) for end in "ab")
    is_time = name.rpartition(".")[2].startswith("time_")
    has_result = value is not None
    return Record(
        suite="asv",
        case=name,
        encoder=values[0] if values and isinstance(values[0], str) else "",
        status=Status.OK if has_result else Status.ERROR,
        metric="time" if is_time else "result",
        value=value,
        unit="s" if is_time else "",
        higher_is_better=False,
        message="" if has_result else "ASV has no result: the benchmark failed, timed out or was left out",
        params={f"param{number}": parameter for number, parameter in enumerate(values, 1)},
        detail=replace(context, low=low, high=high).to_dict(),
    )


def _entry(column: Sequence[Any] | None, index: int) -> Any:
    """Return an entry of a column; ASV writes None for a column without any value."""
    return column[index] if column is not None else None


def _parse_literal(text: str) -> Any:
    """Parse the repr of a parameter, as ASV writes it. A value that JSON does not have stays a text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deeply
        return str(text)
    return value if isinstance(value, str | int | float | None) else str(text)
