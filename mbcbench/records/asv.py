"""Records of what ASV (airspeed velocity) measured, from its results files (version 2 of their format)."""

import ast
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench.errors import UsageError
from mbcbench.records.detail import AsvDetail
from mbcbench.records.record import Record, Status

VERSION = 2
OTHERS = ("benchmarks.json", "machine.json")  # in a folder of results, beside them


def read(path: Path) -> list[Record]:
    """The records of one results file, or of all in a folder, a record a benchmark and parameters.

    Raises UsageError when there are none, or when a file is in another format.
    """
    files = sorted(f for f in path.rglob("*.json") if f.name not in OTHERS) if path.is_dir() else [path]
    records = [record for file in files for record in _file(file)]
    if not records:
        raise UsageError(f"no results of ASV in {path}; make some with: make bench")
    return records


def _file(path: Path) -> list[Record]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["version"] != VERSION:
            raise UsageError(f"{path}: version {told['version']} of ASV's results, and {VERSION} can be read")
        return list(_records(told))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no results file of ASV ({type(error).__name__}: {error})") from error


def _records(told: Mapping[str, Any]) -> Iterator[Record]:
    machine = {name: told["params"].get(name) for name in ("cpu", "num_cpu", "ram", "os")}  # never its host name
    context = AsvDetail(commit=told["commit_hash"], python=told["python"], hardware=machine)
    for name, row in told["results"].items():
        columns = dict(zip(told["result_columns"], row, strict=False))  # ASV leaves out what is empty at the end
        points = list(itertools.product(*columns.get("params") or []))
        for index, point in enumerate(points):
            yield _record(name, point, columns, index, context)


def _record(name: str, point: Sequence[str], columns: Mapping[str, Any], index: int, context: AsvDetail) -> Record:
    value = _at(columns.get("result"), index)
    words = [_literal(word) for word in point]
    params = {f"param{number}": word for number, word in enumerate(words, 1)}
    low, high = (_at(columns.get(f"stats_ci_99_{end}"), index) for end in "ab")
    timed = name.rpartition(".")[2].startswith("time_")
    known = value is not None
    return Record(
        suite="asv",
        case=name,
        encoder=str(words[0]) if words and isinstance(words[0], str) else "",
        status=Status.OK if known else Status.ERROR,
        metric="time" if timed else "result",
        value=value,
        unit="s" if timed else "",
        higher_is_better=False,
        message="" if known else "ASV has no result: the benchmark failed, timed out or was left out",
        params=params,
        detail=replace(context, low=low, high=high).to_dict(),
    )


def _at(values: Sequence[Any] | None, index: int) -> Any:
    """ASV writes nothing where no parameter has a value."""
    return values[index] if values is not None else None


def _literal(word: str) -> Any:
    """A parameter as it was: ASV keeps its repr."""
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word
