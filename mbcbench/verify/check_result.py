"""Results of `mbcbench.check` as a frame with a readable repr."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import pandas as pd

from mbcbench.records.record import BROKEN, UNEXPECTED, Record, count_statuses, frame

_COLOURS = {"pass": "#2e7d32", "ok": "#2e7d32", "xfail": "#8a6d00", "skip": "#757575"}
_ALARM = "#c62828"
_DETAILS = ("detail.counterexample", "detail.examples", "detail.reproduce", "detail.text")
NOTE = "note"  # key of DataFrame.attrs
_REQUIRED = {"encoder", "case", "status", "value", "message", *_DETAILS}


class CheckResult(pd.DataFrame):
    """Results of `mbcbench.check`: a frame of records, one row per law, with a readable repr.

    The columns are the fields of `Record`, with a column `params.*` for each parameter and a column `detail.*` for each
    entry of the details. If required columns are missing, the repr is that of pandas.

    Attributes
    ----------
    ok : bool
        True if every law is as claimed: none failed, passed unexpectedly, raised or did not finish. An undecided law
        counts as claimed.
    failures : CheckResult
        Rows of the laws that are not as claimed.
    """

    @property
    def _constructor(self) -> "Callable[..., CheckResult]":
        return CheckResult

    @property
    def ok(self) -> bool:
        """True if every law is as claimed: none failed, passed unexpectedly, raised or did not finish."""
        return self.failures.empty

    @property
    def failures(self) -> "CheckResult":
        """Rows of the laws that are not as claimed."""
        return CheckResult(self[self["status"].isin([str(status) for status in UNEXPECTED | BROKEN])])

    def __repr__(self) -> str:
        if not set(self.columns) >= _REQUIRED:
            return super().__repr__()
        rows = [
            f"{row['status']:<6} {row['case']:<24} {_format_number(row['value']):>9} {row['message']}".rstrip()
            for _, row in self.iterrows()
        ]
        texts = [f"\n{text}" for text in self.failures["detail.text"] if isinstance(text, str)]
        notes = [self.attrs[NOTE]] if self.attrs.get(NOTE) else []
        return "\n".join([*rows, *texts, "", *notes, count_statuses(self["status"])])

    def _repr_html_(self) -> str | None:
        if not set(self.columns) >= _REQUIRED:
            return self.to_html(notebook=True)
        encoders = escape(", ".join(self["encoder"].unique()))
        table = _results_table(self)
        counterexamples = "".join(_counterexample_html(row) for _, row in self.failures.iterrows())
        note = f"<p>{escape(self.attrs[NOTE])}</p>" if self.attrs.get(NOTE) else ""
        return f"<div><b>{encoders}</b>: {count_statuses(self['status'])}{note}{table}{counterexamples}</div>"


def to_check_result(records: Iterable[Record], *, note: str = "") -> CheckResult:
    """Return records of laws as a result, with a note on how the encoder was built."""
    table = frame(records)
    missing = [column for column in _DETAILS if column not in table.columns]
    result = CheckResult(table.reindex(columns=[*table.columns, *missing]))
    result.attrs[NOTE] = note
    return result


def _format_number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.3g}"


def _results_table(result: pd.DataFrame) -> str:
    columns = {"case": "law", "status": "status", "value": "gap", "detail.examples": "examples", "message": "message"}
    table = pd.DataFrame(result[list(columns)]).rename(columns=columns)
    formatters: dict[str | int, Callable[[Any], str]] = {
        "law": escape,
        "status": _status_badge,
        "gap": _format_number,
        "examples": _format_number,
        "message": escape,
    }
    # The formatters escape; escaping again would show the badge as text.
    return table.to_html(index=False, border=0, justify="left", escape=False, na_rep="", formatters=formatters)


def _status_badge(status: str) -> str:
    colour = _COLOURS.get(status, _ALARM)
    return f"<span style='background:{colour};color:white;border-radius:3px;padding:0 6px'>{escape(status)}</span>"


def _counterexample_html(row: "pd.Series[Any]") -> str:
    if not isinstance(row["detail.text"], str):
        return ""
    text = f"{row['detail.text']}\n\n{row['detail.reproduce']}"
    return (
        f"<details open><summary>{escape(str(row['case']))}</summary>"
        f"<pre style='white-space:pre-wrap'>{escape(text)}</pre></details>"
    )
