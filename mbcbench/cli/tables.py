"""What the commands print: tables and cards made of records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mbcbench.records.record import BROKEN, UNEXPECTED, Record, Status

COLOURS = {Status.PASS: "green", Status.OK: "green", Status.XFAIL: "yellow", Status.SKIP: "dim"}
EVIDENCE = ("gap", "bound", "examples", "counterexample", "reproduce")


def colour(status: Status) -> str:
    """The colour of a status."""
    return COLOURS.get(status, "red")


def laws_table(encoder: str, records: Iterable[Record]) -> Table:
    """The laws of one encoder, a row each."""
    table = plain_table("law", "status", "gap", "bound", "examples", "seconds", "", title=encoder)
    for record in records:
        held = evidence(record.value, record.detail)
        numbers = (_number(held[name]) for name in ("gap", "bound", "examples"))
        status = Text(record.status, style=colour(record.status))
        table.add_row(record.case, status, *numbers, f"{record.seconds:.1f}", Text(record.message))
    return table


def counterexample(record: Record) -> Text | None:
    """What a failure shows: the counterexample, and a snippet that reproduces it, to be pasted as it stands."""
    parts = [str(record.detail[name]) for name in ("text", "reproduce") if record.detail.get(name)]
    if record.status not in UNEXPECTED | BROKEN or not parts:
        return None
    title = (f"{record.encoder}  {record.case}  {record.status}\n\n", f"bold {colour(record.status)}")
    return Text.assemble(title, "\n\n".join(part.strip("\n") for part in parts), "\n")


def plain_table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house's style."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        number = name in ("gap", "bound", "examples", "seconds")
        table.add_column(name, justify="right" if number else "left", no_wrap=number or name in ("law", "status"))
    return table


def facts(rows: Mapping[str, Any]) -> Table:
    """Names and values, one a line; what has no value is left out."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value not in (None, "", {}, []):
            table.add_row(Text(name, style="bold"), _value(value))
    return table


def write_json(path: Path, records: Sequence[Record]) -> None:
    """The records of a check, one a line, with the evidence beside the other fields."""
    path.write_text("".join(json.dumps(flat(record)) + "\n" for record in records), encoding="utf-8")


def flat(record: Record) -> dict[str, Any]:
    """A law's record as one flat object; what a record has no evidence of is null."""
    row = json.loads(record.to_json())
    names = ("encoder", "status", "seconds", "dtype", "device", "seed", "message")
    return {"law": row["case"], **{n: row[n] for n in names}, **evidence(row["value"], row["detail"])}


def evidence(gap: Any, detail: Mapping[str, Any]) -> dict[str, Any]:
    """What a law's record holds besides its status, None where it holds nothing; the gap is its value."""
    held = {"gap": gap, **detail}
    return {name: held.get(name) for name in EVIDENCE}


def counts(records: Iterable[Record]) -> str:
    """How many records have each status: `12 pass, 1 fail`."""
    statuses = [record.status for record in records]
    return ", ".join(f"{statuses.count(status)} {status}" for status in Status if status in statuses)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}"
    return "" if value is None else str(value)


def _value(value: Any) -> RenderableType:
    return facts(value) if isinstance(value, Mapping) else Text(str(value))
