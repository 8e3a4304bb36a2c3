"""Costs: how time and memory grow with the set, predicted memory beside the measured, and what ASV timed."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mbcbench.reporting import Report

from .aggregation import complete
from .formatting import facts, number
from .growth import costs, exponents, validation

Rows = list[list[str]]
METHOD = "Exponents p of cost ~ n^p with 95% intervals: least squares on logarithms, over the four largest n."
PREDICTED = (
    "Predicted: bytes of live tensors, by fake tensors. Measured: resident memory (CUDA: what is allocated)."
    " An allocator's rounding and what kernels take for themselves are in resident memory alone."
)


def tables(frame: pd.DataFrame) -> dict[str, tuple[list[str], Rows]]:
    """The tables of the report: title -> headings and rows."""
    known = costs(frame)
    return {
        METHOD: _growth(known),
        PREDICTED: _validation(known),
        "Benchmarks of ASV, with 99% intervals.": _asv(frame),
        "Not measured, and why.": _skipped(frame),
    }


def _growth(known: pd.DataFrame) -> tuple[list[str], Rows]:
    names = ["time", "measured memory", "predicted memory", "FLOPs"]
    rows = []
    for key, part in exponents(known).groupby(["encoder", "device", "mode"], sort=False):
        said = {row.cost: _exponent(row) for row in part.itertuples()}
        rows.append([*map(str, key), *(said.get(name, "") for name in names)])
    return ["encoder", "device", "mode", *names], rows


def _exponent(row: Any) -> str:
    if pd.isna(row.exponent):
        return f"one size ({row.largest:g})"
    interval = "" if pd.isna(row.low) else f" [{row.low:.2f}, {row.high:.2f}]"
    return f"{row.exponent:.2f}{interval} to {row.largest:.0e}".replace("e+0", "e")


def _validation(known: pd.DataFrame) -> tuple[list[str], Rows]:
    found = validation(known).sort_values(["encoder", "device", "mode", "n"])
    rows = []
    for row in found.to_dict("records"):
        sizes = (number(row[name], "peak_memory") for name in ("measured", "predicted"))
        names = [str(row[name]) for name in ("encoder", "device", "mode")]
        rows.append([*names, f"{row['n']:g}", *sizes, f"{row['ratio']:.2f}"])
    return ["encoder", "device", "mode", "n", "measured", "predicted", "measured / predicted"], rows


def _asv(frame: pd.DataFrame) -> tuple[list[str], Rows]:
    rows = []
    for row in frame[frame["suite"].eq("asv")].to_dict("records"):
        names = sorted(key for key in map(str, row) if key.startswith("params.param") and pd.notna(row[key]))
        point = ", ".join(str(row[key]) for key in names)
        ends = [row.get(f"detail.{end}") for end in ("low", "high")]
        interval = "" if any(pd.isna(end) for end in ends) else f"{ends[0]:.3g} to {ends[1]:.3g}"
        value = str(row["status"]) if pd.isna(row["value"]) else f"{row['value']:.3g}"
        rows.append([str(row["case"]), point, value, interval, str(row["unit"]), str(row.get("detail.commit"))[:12]])
    return ["benchmark", "parameters", "median", "interval", "unit", "commit"], rows


def _skipped(frame: pd.DataFrame) -> tuple[list[str], Rows]:
    """What was not measured; a plain module that does not stream is one line."""
    rows = frame[frame["suite"].eq("resources") & frame["status"].ne("ok")]
    lines = set()
    for row in rows.to_dict("records"):
        n = "any" if "plain module" in str(row["message"]) else f"{row['detail.n']:g}"
        lines.add(
            (*(str(row[name]) for name in ("encoder", "detail.mode")), n, str(row["status"]), str(row["message"]))
        )
    return ["encoder", "mode", "n", "status", "why"], [list(line) for line in sorted(lines)]


def terminal(frame: pd.DataFrame, info: Mapping[str, Any]) -> RenderableType:
    """The tables beneath each other."""
    parts: list[RenderableType] = [Text(f"{label}: {text}") for label, text in facts(complete(frame), info)]
    for title, (headings, rows) in tables(complete(frame)).items():
        table = Table(*headings, box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))
        parts.append(table)
    return Group(*parts)


def html(frame: pd.DataFrame, info: Mapping[str, Any]) -> str:
    """The same as one self-contained page."""
    body = "".join(f"<p>{escape(label)}: {escape(text)}</p>\n" for label, text in facts(complete(frame), info))
    for title, (headings, rows) in tables(complete(frame)).items():
        lines = [_row(headings, "th"), *(_row(row, "td") for row in rows)]
        body += f"<h2>{escape(title)}</h2>\n<table>\n{''.join(lines)}</table>\n"
    style = "body{font:14px sans-serif;margin:2em}h2{font-size:1em}td,th{text-align:left;padding:.1em 1em .1em 0}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>mbcbench costs</title>'
        f"<style>{style}</style></head>\n<body><h1>mbcbench costs</h1>\n{body}</body></html>\n"
    )


def _row(cells: list[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>\n"


REPORT = Report(
    name="costs",
    summary="growth exponents of time and memory, and predicted beside measured memory",
    terminal=terminal,
    html=html,
)
