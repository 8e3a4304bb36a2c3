"""Records: one row of evidence each. A failure is a row too, and numbers are kept unrounded."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mbcbench.errors import UsageError
from mbcbench.records.schema import RECORD_MIGRATIONS, SCHEMA, migrate

if TYPE_CHECKING:
    import pandas as pd


class Status(StrEnum):
    """How a piece of work ended."""

    PASS = "pass"
    FAIL = "fail"
    XFAIL = "xfail"  # broken, as the spec says
    XPASS = "xpass"  # the spec says broken, no counterexample was found
    SKIP = "skip"  # does not apply, with the reason
    OK = "ok"  # a measurement that was taken
    ERROR = "error"  # the encoder raised
    TIMEOUT = "timeout"
    CRASH = "crash"  # the process died
    OOM = "oom"  # the memory limit was reached
    USAGE = "usage"  # a probe was asked for something that cannot be used; a run keeps it as an error


BROKEN = frozenset({Status.ERROR, Status.TIMEOUT, Status.CRASH, Status.OOM})
UNEXPECTED = frozenset({Status.FAIL, Status.XPASS})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of evidence.

    cell: the key of the cell it came from. case: the law's id, or the name of the task or measurement.
    metric, value, unit, higher_is_better: what was measured; `value` is None where nothing was.
    params: the cell's parameters. detail: what only this kind of record has (a law's gap, bound, examples,
    counterexample and reproduce; a task's test size and mode).
    """

    suite: str
    case: str
    encoder: str
    status: Status
    cell: str = ""
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    metric: str | None = None
    value: float | None = None
    unit: str = ""
    higher_is_better: bool | None = None
    seconds: float = 0.0
    message: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON; numbers that JSON cannot hold become their names ("nan", "inf", "-inf")."""
        return json.dumps(_finite({"schema": SCHEMA, **asdict(self)}), allow_nan=False)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The record of a decoded line, migrated where its schema is older; fields that are not known are passed over.

        Raises UsageError for a newer schema.
        """
        known = {f.name for f in fields(cls)}
        kept = {name: value for name, value in migrate(row, RECORD_MIGRATIONS).items() if name in known}
        if isinstance(kept.get("value"), str):
            kept["value"] = float(kept["value"])
        return cls(**{**kept, "status": Status(kept["status"])})


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read_records(path: Path) -> list[Record]:
    """The records of a file, one a line; a torn last line (a run that was killed) is passed over.

    Raises UsageError naming file and line when any other line cannot be read, or has a newer schema.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Record.from_dict(json.loads(line)))
        except UsageError as error:
            raise UsageError(f"{path}, line {number}, {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # no newline behind it: the writer was cut off
                break
            raise UsageError(f"{path}, line {number}: not a record ({error}); remove the line") from error
    return found


def frame(records: Iterable[Record]) -> "pd.DataFrame":
    """The records as a frame, one row each; `params` and `detail` become columns `params.*` and `detail.*`."""
    import pandas as pd

    rows = [_flat(record) for record in records]
    columns = [f.name for f in fields(Record) if f.name not in ("params", "detail")]
    table = pd.DataFrame(rows)
    return table.reindex(columns=[*columns, *(c for c in table.columns if c not in columns)])


def _flat(record: Record) -> dict[str, Any]:
    row = {f.name: getattr(record, f.name) for f in fields(Record) if f.name not in ("params", "detail")}
    row["status"] = str(record.status)
    row |= {f"params.{key}": value for key, value in record.params.items()}
    return row | {f"detail.{key}": value for key, value in record.detail.items()}
