"""Records from the results files of ASV (airspeed velocity), version 2 of their format."""

import ast
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench.errors import UsageError
from mbcbench.records.detail import AsvDetail
from mbcbench.records.record import Record, Status
from mbcbench.types import JsonObject

VERSION = 2
OTHERS = ("benchmarks.json", "machine.json")  # other files in a folder of results


def read(path: Path) -> list[Record]:
    """Return the records of one results file, or of all in a folder: one record per benchmark and parameters.

    Raises UsageError if there are none, or if a file has another format.
    """
    files = sorted(f for f in path.rglob("*.json") if f.name not in OTHERS) if path.is_dir() else [path]
    records = [record for file in files for record in _file(file)]
    if not records:
        raise UsageError(f"no results of ASV in {path}; make some with: make bench")
    return records


def _file(path: Path) -> list[Record]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise UsageError(
                f"{path}: ASV's results format has version {content['version']}; mbcbench reads version {VERSION}"
            )
        return list(_records(content))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not a results file of ASV ({type(error).__name__}: {error})") from error


def _records(content: JsonObject) -> Iterator[Record]:
    machine = {name: content["params"].get(name) for name in ("cpu", "num_cpu", "ram", "os")}  # never its host name
    context = AsvDetail(commit=content["commit_hash"], python=content["python"], hardware=machine)
    for name, row in content["results"].items():
        columns = dict(zip(content["result_columns"], row, strict=False))  # ASV omits empty columns at the end
        points = list(itertools.product(*columns.get("params") or []))
        for index, point in enumerate(points):
            yield _record(name, point, columns, index, context)


def _record(name: str, point: Sequence[str], columns: JsonObject, index: int, context: AsvDetail) -> Record:
    value = _value_at(columns.get("result"), index)
    words = [_literal(word) for word in point]
    params = {f"param{number}": word for number, word in enumerate(words, 1)}
    low, high = (_value_at(columns.get(f"stats_ci_99_{end}"), index) for end in "ab")
    timed = name.rpartition(".")[2].startswith("time_")
    has_value = value is not None
    return Record(
        suite="asv",
        case=name,
        encoder=str(words[0]) if words and isinstance(words[0], str) else "",
        status=Status.OK if has_value else Status.ERROR,
        metric="time" if timed else "result",
        value=value,
        unit="s" if timed else "",
        higher_is_better=False,
        message="" if has_value else "ASV has no result: the benchmark failed, timed out or was left out",
        params=params,
        detail=replace(context, low=low, high=high).to_dict(),
    )


def _value_at(values: Sequence[Any] | None, index: int) -> Any:
    """Return one value; ASV omits the list if there is no value for any parameter."""
    return values[index] if values is not None else None


def _literal(word: str) -> Any:
    """Return the value of a parameter, which ASV stores as its repr."""
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word
