"""Format values for the terminal and for pages: symbols, numbers, failures and facts about a run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mbcbench.errors import plural
from mbcbench.types import JsonObject

from .aggregation import BROKEN, MISSING
from .columns import Row

SYMBOLS = {
    "pass": "✓",
    "ok": "✓",
    "fail": "✗",
    "xfail": "~",
    "xpass": "?",
    "undecided": "…",
    "skip": "–",
    MISSING: "·",
    "unlearnt": "≈",
    "unranked": "–",
}
BROKEN_SYMBOL = "!"
NOT_RUN = "not run, since "  # prefix of the runner's message for a cell that an earlier failure made pointless
STATUS_WORDS = {
    "pass": "holds",
    "fail": "broken, though claimed",
    "xfail": "broken as claimed",
    "xpass": "claimed broken, but no counterexample",
    "undecided": "no counterexample, but rounding is as large as an error",
    "error": "error, timeout, crash or out of memory",
    "skip": "does not apply",
    MISSING: "no record",
    "unlearnt": "remark: training ended at the loss of the baseline",
}
NO_TASKS = ("probe", "laws", "architectures", "consistency", "resources")  # suites without data sets
BYTES = (" B", " KiB", " MiB", " GiB", " TiB")
COUNTS = ("", "k", "M", "G", "T")


def symbol(status: str) -> str:
    """Return one character for a status; `!` if something broke."""
    return SYMBOLS.get(status, BROKEN_SYMBOL)


def css_class(status: str) -> str:
    """Return the class of a status in the style sheet."""
    return status if status in SYMBOLS else "broken"


def format_number(value: float, metric: str) -> str:
    """Return a score with three decimals, bytes in binary units, and counts in thousands."""
    if metric in ("accuracy", "nll"):
        return f"{value:.3f}"
    if metric in ("peak_memory", "state_size"):
        return _scaled(value, 1024, BYTES)
    return _scaled(value, 1000, COUNTS)


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    """Return the value with about three digits, in the largest unit in which it is at least one."""
    for unit in units[:-1]:
        if abs(value) < base:
            return f"{value:.3g}{unit}" if abs(value) < 100 else f"{value:.0f}{unit}"
        value /= base
    return f"{value:.3g}{units[-1]}"


def format_effect(mean: float, half: float) -> str:
    """Return a difference with half its interval, if it has one: `+0.0230 ± 0.0060`."""
    return f"{mean:+.4f}" + ("" if math.isnan(half) else f" ± {half:.4f}")


def format_parameters(count: float) -> str:
    """Return a number of parameters with two or three digits: `940`, `4.2 k`, `61 k`, `1.3 M`."""
    for unit, suffix in ((1e6, " M"), (1e3, " k")):
        if count >= unit:
            return f"{count / unit:.1f}{suffix}" if count < 10 * unit else f"{count / unit:.0f}{suffix}"
    return f"{count:.0f}"


def parameter_range(counts: pd.Series) -> str:
    """Return `20 k`, or `20 k to 61 k` for several numbers of parameters; nothing if none is known."""
    known = sorted(pd.to_numeric(counts).dropna().unique())
    return " to ".join(dict.fromkeys(format_parameters(count) for count in known[:1] + known[-1:]))


def failures(rows: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return one line per failure: encoder, status, place and reason.

    rows: tidy records. Failures of one encoder for one reason share a line.
    """
    wrong = rows[rows["status"].isin(["fail", "xpass", *BROKEN])]
    lines: dict[tuple[str, str, str, str], list[Row]] = {}  # by encoder, status, law and reason
    for row in wrong.to_dict("records"):
        if row["status"] in BROKEN:
            key = (row["encoder"], row["status"], "", _cause(str(row["message"] or "")))
        else:
            key = (row["encoder"], row["status"], row["case"], _reason(row))
        lines.setdefault(key, []).append(row)
    return [(key[0], key[1], where(records), key[3]) for key, records in lines.items()]


def _cause(message: str) -> str:
    """Return the message of the failure that prevented a cell from running."""
    if message.startswith(NOT_RUN):
        return message.partition(" broke: ")[2] or message
    return message


def where(records: Sequence[Row]) -> str:
    """Return the laws and suites of some records in a few words."""
    suites: dict[str, list[str]] = {}
    for record in records:
        suites.setdefault(record["suite"], []).append(record["case"])
    parts = []
    for suite, cases in suites.items():
        if suite == "laws" and len(set(cases)) == 1:
            parts.append(cases[0])
        elif suite == "laws":
            parts.append(f"{len(set(cases))} laws")
        elif len(cases) == 1:
            parts.append(suite)
        else:
            parts.append(f"{suite} × {len(cases)}")
    return ", ".join(parts)


def _reason(row: Row) -> str:
    """Return a law's smallest counterexample with gap and bound, and its message, in one line."""
    example, message = row.get("detail.counterexample"), str(row["message"] or "")
    if not isinstance(example, Mapping):
        return _shorten(message)
    parts = []
    if "n" in example:
        parts.append(f"n = {example['n']}")
    chunks = example.get("sizes")
    if isinstance(chunks, list | tuple):
        parts.append(f"chunks {' + '.join(map(str, chunks))}")
    for name, value in (("gap", row["value"]), ("bound", row["detail.bound"])):
        if isinstance(value, int | float) and not math.isnan(value):
            parts.append(f"{name} {value:.2g}")
    return _shorten(": ".join(filter(None, (", ".join(parts), message))))


def _shorten(text: str, limit: int = 240) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def facts(rows: pd.DataFrame, info: JsonObject) -> list[tuple[str, str]]:
    """Return facts about a run, its data and its machine as pairs of label and text; unknown facts are left out.

    rows: tidy records. info: description of the run.
    """
    tasks = rows[~rows["suite"].isin(NO_TASKS) & rows["params.role"].ne("search")]
    known = {
        "run": str(info.get("run") or ""),
        "profile": str(info.get("profile") or ""),
        "created": str(info.get("created") or ""),
        "data": _join(sorted(set(map("{} ({})".format, tasks["suite"], tasks["case"])))),
        "seeds": _join(sorted(tasks["seed"].dropna().unique())),
        "machine": machine(info),
        "device": _join(sorted(set(map(str, rows["device"].dropna())))),
        "versions": _join(map("{0[0]} {0[1]}".format, (info.get("versions") or {}).items())),
        "commit": str(info.get("commit") or "")[:12],
    }
    return [(label, text) for label, text in known.items() if text]


def machine(info: JsonObject) -> str:
    """Return the processor, cores, memory and threads of a run, as far as they are known."""
    hardware = info.get("hardware") or {}
    parts = []
    if hardware.get("cpu"):
        parts.append(hardware["cpu"])
    if hardware.get("cores"):
        parts.append(plural(hardware["cores"], "core"))
    if hardware.get("memory_bytes"):
        parts.append(format_number(hardware["memory_bytes"], "peak_memory"))
    if info.get("threads"):
        parts.append(plural(info["threads"], "thread"))
    return _join(parts)


def _join(parts: Iterable[Any]) -> str:
    return ", ".join(map(str, parts))
