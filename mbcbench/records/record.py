"""Records: one row of results each. A failure is a row too, and numbers are kept unrounded."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from mbcbench.records.field_types import check_types, types_of
from mbcbench.records.schema import RECORD_MIGRATIONS, SCHEMA, Fields, migrate
from mbcbench.types import JsonDict, JsonObject

if TYPE_CHECKING:
    import pandas as pd


class Status(StrEnum):
    """Outcome of a law, a measurement or a probe."""

    PASS = "pass"
    FAIL = "fail"
    XFAIL = "xfail"  # broken, as the spec says
    XPASS = "xpass"  # the spec says broken, no counterexample was found
    UNDECIDED = "undecided"  # no counterexample, but the bound is as large as an error
    SKIP = "skip"  # does not apply, with the reason
    OK = "ok"  # measured
    ERROR = "error"  # the encoder raised
    TIMEOUT = "timeout"
    CRASH = "crash"  # the process died
    OOM = "oom"  # the memory limit was reached
    USAGE = "usage"  # a probe has an argument that cannot be used; a run stores it as an error


BROKEN = frozenset({Status.ERROR, Status.TIMEOUT, Status.CRASH, Status.OOM})
UNEXPECTED = frozenset({Status.FAIL, Status.XPASS})
NOT_RUN = "not run: "  # begins the message of a cell whose encoder or data cannot be used


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of results.

    Parameters
    ----------
    suite
        Name of the suite.
    case
        Id of the law, or name of the task or measurement.
    encoder
        Target of the encoder; empty if the record is not about an encoder.
    status
        Outcome.
    cell
        Key of the cell that gave the record.
    seed, dtype, device, params
        Fields of the cell.
    metric, value, unit, higher_is_better
        The measurement; `value` is None if nothing was measured.
    seconds
        Duration of the cell, or of the part of it that the record is about.
    message
        Reason of a failure or a skip, in one line.
    detail
        Fields that only records of one kind have (see `mbcbench.records.detail`).
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
    params: JsonObject = field(default_factory=dict)
    detail: JsonObject = field(default_factory=dict)

    def to_fields(self) -> Fields:
        """Return all fields as JSON values: numbers that JSON cannot hold become strings ("nan", "inf", "-inf")."""
        return {f.name: _finite(getattr(self, f.name)) for f in fields(self)}

    def to_json(self) -> str:
        """Return the record as one self-contained line of JSON."""
        return json.dumps({"schema": SCHEMA, **self.to_fields()}, allow_nan=False)

    @classmethod
    def from_dict(cls, row: JsonObject) -> Self:
        """Return the record of a decoded line, migrated from an older schema; unknown fields are ignored.

        Raises UsageError for a newer schema, and ValueError for a field of another type.
        """
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in migrate(row, RECORD_MIGRATIONS).items() if name in known}
        for name in {"value", "seconds"} & values.keys():
            values[name] = float(values[name]) if isinstance(values[name], str) else values[name]
        values["status"] = Status(values["status"])
        check_types(values, types_of(Record))
        return cls(**values)


def _finite(value: Any) -> Any:
    if isinstance(value, float):  # first: most values are numbers of curves
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return value


def count_statuses(statuses: Iterable[str]) -> str:
    """Return how often each status occurs, in words: `12 pass, 1 fail`."""
    counts = Counter(map(str, statuses))
    return ", ".join(f"{counts[status]} {status}" for status in map(str, Status) if counts[status])


def frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Return the records as a frame, one row each; `params` and `detail` become columns `params.*` and `detail.*`."""
    import pandas as pd

    columns = [f.name for f in fields(Record) if f.name not in ("params", "detail")]
    table = pd.DataFrame([_flat(record, columns) for record in records])
    return table.reindex(columns=[*columns, *(name for name in table.columns if name not in columns)])


def _flat(record: Record, columns: Iterable[str]) -> JsonDict:
    row = {name: getattr(record, name) for name in columns}
    row["status"] = str(record.status)
    row |= {f"params.{key}": value for key, value in record.params.items()}
    return row | {f"detail.{key}": value for key, value in record.detail.items()}
