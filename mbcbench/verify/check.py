"""`mbcbench.check`: check an encoder in this process, and show the results as a frame.

Unlike the command line, nothing here protects against an encoder that hangs or kills the process.
"""

import math
from collections.abc import Callable, Collection, Iterable
from html import escape
from typing import Any

import pandas as pd

from mbcbench.errors import UsageError
from mbcbench.protocol.target import target_name
from mbcbench.records.record import BROKEN, UNEXPECTED, Record, count_statuses, frame
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import select_laws
from mbcbench.verify.xfails import ExpectedFailures, load_xfails

DEFAULT_EXAMPLES = 400
_COLOURS = {"pass": "#2e7d32", "ok": "#2e7d32", "xfail": "#8a6d00", "skip": "#757575"}
_ALARM = "#c62828"
_DETAILS = ("detail.counterexample", "detail.examples", "detail.reproduce", "detail.text")
_REQUIRED = {"encoder", "case", "status", "value", "message", *_DETAILS}


class CheckResult(pd.DataFrame):
    """Results of `mbcbench.check`: a frame of records, one row per law, with a readable repr.

    The columns are those of `mbcbench.records.record.frame`. Selecting other columns gives a frame with the repr of
    pandas.
    """

    @property
    def _constructor(self) -> "Callable[..., CheckResult]":
        return CheckResult

    @property
    def ok(self) -> bool:
        """True if every law is as claimed: none failed, passed unexpectedly or raised."""
        return self.failures.empty

    @property
    def failures(self) -> "CheckResult":
        """The rows that are not as claimed."""
        return CheckResult(self[self["status"].isin([str(status) for status in UNEXPECTED | BROKEN])])

    def __repr__(self) -> str:
        if not set(self.columns) >= _REQUIRED:
            return super().__repr__()
        rows = [
            f"{row['status']:<6} {row['case']:<24} {_format_number(row['value']):>9} {row['message']}".rstrip()
            for _, row in self.iterrows()
        ]
        texts = [f"\n{text}" for text in self.failures["detail.text"] if isinstance(text, str)]
        return "\n".join([*rows, *texts, "", count_statuses(self["status"])])

    def _repr_html_(self) -> str | None:
        if not set(self.columns) >= _REQUIRED:
            return self.to_html(notebook=True)
        encoders = escape(", ".join(self["encoder"].unique()))
        table = _results_table(self)
        counterexamples = "".join(_counterexample_html(row) for _, row in self.failures.iterrows())
        return f"<div><b>{encoders}</b>: {count_statuses(self['status'])}{table}{counterexamples}</div>"


def check(
    target: object,
    *,
    laws: Collection[str] | None = None,
    examples: int = DEFAULT_EXAMPLES,
    seconds: float | None = None,
    seed: int = 0,
    dim_in: int | None = None,
    expected_failures: ExpectedFailures = None,
    reference: object = None,
) -> CheckResult:
    """Try to falsify the laws on one encoder, in this process.

    Parameters
    ----------
    target
        A target string, an EncoderSpec, a module class or factory (called with the element width), or a module.
    laws
        Ids of the laws, by default all.
    examples
        Number of sets to try per law.
    seconds
        Time limit of a law, by default none. A law that takes longer has the status `timeout`. The limit is tested
        between examples, so it cannot end an encoder that hangs.
    seed
        Seed of the parameters and of the search.
    dim_in
        Element width `d`; by default one that fits the encoder.
    expected_failures
        Reasons by law id, or a file of them (see `mbcbench.verify.xfails.read_xfails`).
    reference
        Independent implementation for the law `reference.equal` (see `mbcbench.verify.reference.with_reference`).

    Returns
    -------
    CheckResult
        A frame with one row per law.

    Raises
    ------
    UsageError
        If the target is not an encoder, or another argument cannot be used.
    BrokenPluginError
        If the encoder cannot be imported or built.
    """
    if examples < 1:
        raise UsageError(f"examples={examples}: give at least 1")
    xfails = load_xfails(expected_failures, [target_name(target)])
    checker = Checker(target, dim_in=dim_in, seed=seed, expected_failures=xfails, reference=reference)
    checker.validate()  # a fault of the encoder itself is raised once, not reported for every law
    budget = Budget(examples, math.inf if seconds is None else seconds)
    records = [checker.judge(law_id, budget) for law_id in select_laws(laws)]
    return _to_result(records)


def _to_result(records: Iterable[Record]) -> CheckResult:
    table = frame(records)
    missing = [column for column in _DETAILS if column not in table.columns]
    return CheckResult(table.reindex(columns=[*table.columns, *missing]))


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
