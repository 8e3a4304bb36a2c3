"""A report shows the records of a run: here, the time that each suite took."""

from collections.abc import Mapping
from html import escape
from typing import Any

import mbcbench
import pandas as pd


def seconds_by_suite(records: pd.DataFrame) -> pd.DataFrame:
    """Return the number of cells and the time of each suite, the slowest first."""
    cells = records.drop_duplicates("cell").groupby("suite")["seconds"].agg(["count", "sum"])
    return cells.sort_values("sum", ascending=False).set_axis(["cells", "seconds"], axis=1)


def terminal(records: pd.DataFrame, run: Mapping[str, Any]) -> str:
    """Return the text that `mbcbench show` prints; any renderable of `rich` will do."""
    return f"{run['run']}\n{seconds_by_suite(records).to_string()}"


def html(records: pd.DataFrame, run: Mapping[str, Any]) -> str:
    """Return a page that needs no other file."""
    return f"<h1>{escape(run['run'])}</h1>{seconds_by_suite(records).to_html()}"


REPORT = mbcbench.Report(
    name="PLUGIN_NAME",
    summary="the time that each suite took",
    terminal=terminal,
    html=html,
)
