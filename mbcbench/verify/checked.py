"""What `mbcbench.check` gives: a frame of records that is fit to be looked at."""

from collections import Counter
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import pandas as pd

from mbcbench.records.record import BROKEN, UNEXPECTED, Record, Status, frame

_COLOURS = {"pass": "#2e7d32", "ok": "#2e7d32", "xfail": "#8a6d00", "skip": "#757575"}
_ALARM = "#c62828"
_SHOWN = {"encoder", "case", "status", "message", "detail.card", "detail.reproduce", "detail.examples"}


class Checked(pd.DataFrame):
    """A frame of records (see `mbcbench.records.record.frame`): `ok`, `failures`, and its own look in a notebook."""

    @property
    def _constructor(self) -> "Callable[..., Checked]":
        return Checked

    @property
    def ok(self) -> bool:
        """Whether every law is as claimed: none failed, passed unexpectedly or broke."""
        return self.failures.empty

    @property
    def failures(self) -> "Checked":
        """The rows that are not as claimed."""
        return Checked(self[self["status"].isin([str(s) for s in UNEXPECTED | BROKEN])])

    def __repr__(self) -> str:
        if not set(self.columns) >= _SHOWN:
            return super().__repr__()
        rows = [
            f"{row['status']:<6} {row['case']:<24} {_number(row['value']):>9} {row['message']}".rstrip()
            for _, row in self.iterrows()
        ]
        cards = [f"\n{card}" for card in self.failures["detail.card"] if isinstance(card, str)]
        return "\n".join([*rows, *cards, "", _counts(self)])

    def _repr_html_(self) -> str | None:
        if not set(self.columns) >= _SHOWN:
            return self.to_html(notebook=True)
        head = "".join(f"<th style='text-align:left'>{title}</th>" for title in ("law", "", "gap", "examples", ""))
        rows = "".join(_row(row) for _, row in self.iterrows())
        cards = "".join(_card(row) for _, row in self.failures.iterrows() if isinstance(row["detail.card"], str))
        names = escape(", ".join(self["encoder"].unique()))
        return f"<div><b>{names}</b>: {_counts(self)}<table><tr>{head}</tr>{rows}</table>{cards}</div>"


def checked(records: Iterable[Record]) -> Checked:
    """The records as a frame that shows itself."""
    table = frame(records)
    wanted = [*table.columns, *sorted(_SHOWN - set(table.columns))]
    return Checked(table.reindex(columns=wanted))


def _counts(table: pd.DataFrame) -> str:
    number = Counter(table["status"])
    return ", ".join(f"{number[str(status)]} {status}" for status in Status if number[str(status)])


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.3g}"


def _row(row: "pd.Series[Any]") -> str:
    status = str(row["status"])
    badge = (
        f"<span style='background:{_COLOURS.get(status, _ALARM)};color:white;border-radius:3px;padding:0 6px'>"
        f"{escape(status)}</span>"
    )
    cells = (
        escape(str(row["case"])),
        badge,
        _number(row["value"]),
        _number(row["detail.examples"]),
        escape(str(row["message"])),
    )
    return "<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells) + "</tr>"


def _card(row: "pd.Series[Any]") -> str:
    text = f"{row['detail.card']}\n\n{row['detail.reproduce']}"
    return (
        f"<details open><summary>{escape(str(row['case']))}</summary>"
        f"<pre style='white-space:pre-wrap'>{escape(text)}</pre></details>"
    )
