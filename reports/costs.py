"""Report of costs: growth of time and memory with the set, predicted and measured memory, and times by ASV."""

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mbcbench.reporting import Report
from mbcbench.types import JsonObject

from .columns import Row
from .formatting import facts, format_number
from .growth import COSTS, SERIES, cost_table, growth_table, memory_table
from .provenance import record_lines
from .rendering import template
from .selection import tidy
from .stats import FITTED_SIZES

GROWTH_TITLE = (
    f"Exponents p of cost ~ n^p with 95 % intervals: least squares on logarithms, over the {FITTED_SIZES} largest n."
)
MEMORY_TITLE = (
    "Predicted: bytes of live tensors, by fake tensors. Measured: resident memory (CUDA: what is allocated). Only "
    "resident memory includes what an allocator rounds up and what kernels take for themselves."
)
ASV_TITLE = "Benchmarks of ASV, with 99 % intervals."
SKIPPED_TITLE = "Not measured, and why."


def tables(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of the report by title, with cells as text."""
    costs = cost_table(frame)
    rows = tidy(frame)
    return {
        GROWTH_TITLE: exponents(costs),
        MEMORY_TITLE: _memory(costs),
        ASV_TITLE: _asv(rows),
        SKIPPED_TITLE: _skipped(rows),
    }


def exponents(costs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each encoder, device and mode, with the exponents of all costs: `1.02 [0.98, 1.05] to 1e7`."""
    names = list(COSTS)
    keys = SERIES[:-1]
    fits = growth_table(costs)
    if fits.empty:
        return pd.DataFrame(columns=[*keys, *names])
    fits = fits.assign(text=[_exponent(row) for row in fits.to_dict("records")])
    wide = fits.pivot_table(index=keys, columns="cost", values="text", aggfunc="first", sort=False)
    return wide.reindex(columns=names).astype(object).fillna("").reset_index().rename_axis(columns=None)


def _exponent(row: Row) -> str:
    largest = f"{row['largest']:.0e}".replace("e+0", "e")
    if pd.isna(row["exponent"]):
        return f"one size ({row['largest']:g})"
    interval = "" if pd.isna(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['exponent']:.2f}{interval} to {largest}"


def _memory(costs: pd.DataFrame) -> pd.DataFrame:
    table = memory_table(costs).sort_values(["encoder", "device", "mode", "n"])
    return table.assign(
        n=table["n"].map("{:g}".format),
        measured=table["measured"].map(lambda value: format_number(value, "peak_memory")),
        predicted=table["predicted"].map(lambda value: format_number(value, "peak_memory")),
        ratio=table["ratio"].map("{:.2f}".format),
    ).rename(columns={"ratio": "measured / predicted"})


def _asv(rows: pd.DataFrame) -> pd.DataFrame:
    table = [_asv_row(row) for row in rows[rows["suite"].eq("asv")].to_dict("records")]
    return pd.DataFrame(table, columns=["benchmark", "parameters", "median", "interval", "unit", "commit"])


def _asv_row(row: Row) -> tuple[str, ...]:
    params = sorted(key for key in map(str, row) if key.startswith("params.param") and pd.notna(row[key]))
    low, high = row.get("detail.low"), row.get("detail.high")
    interval = "" if pd.isna(low) or pd.isna(high) else f"{low:.3g} to {high:.3g}"
    value: str = row["status"] if pd.isna(row["value"]) else f"{row['value']:.3g}"
    commit = str(row.get("detail.commit"))[:12]
    return (str(row["case"]), ", ".join(str(row[key]) for key in params), value, interval, str(row["unit"]), commit)


def _skipped(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements that were skipped; a plain module that does not stream is one row."""
    skipped = rows[rows["suite"].eq("resources") & rows["status"].ne("ok")]
    is_plain = skipped["message"].astype(str).str.contains("plain module")
    table = pd.DataFrame(
        {
            "encoder": skipped["encoder"],
            "mode": skipped["detail.mode"],
            "n": skipped["detail.n"].map("{:g}".format).mask(is_plain, "any"),
            "status": skipped["status"],
            "why": skipped["message"],
        }
    )
    return table.drop_duplicates().sort_values(list(table.columns))


def terminal(frame: pd.DataFrame, info: JsonObject) -> RenderableType:
    """Return the tables, one below the other."""
    parts: list[RenderableType] = [Text(f"{label}: {text}") for label, text in facts(tidy(frame), info)]
    parts += map(Text, record_lines(info))
    shown = {title: table for title, table in tables(frame).items() if not table.empty}
    if not shown:
        parts.append(Text("No records of costs; make some with: mbcbench run --suite resources"))
    for title, table in shown.items():
        view = Table(*map(str, table.columns), box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for row in table.itertuples(index=False):
            view.add_row(*(Text(str(cell)) for cell in row))
        parts.append(view)
    return Group(*parts)


def html(frame: pd.DataFrame, info: JsonObject) -> str:
    """Return the tables as one self-contained page."""
    return template("costs.html").render(
        facts=facts(tidy(frame), info), origin=record_lines(info), tables=tables(frame)
    )


REPORT = Report(
    name="costs",
    summary="growth exponents of time and memory, and predicted and measured memory",
    terminal=terminal,
    html=html,
)
