"""How the leaderboard's values read, in the terminal and on the page alike: symbols, numbers, cells and columns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .aggregation import BROKEN, MISSING
from .leaderboard.columns import Slot

SYMBOLS = {
    **{"pass": "✓", "ok": "✓", "fail": "✗", "xfail": "~", "xpass": "?", "skip": "–", MISSING: "·", "undecided": "≈"},
    "unranked": "–",
}
NOT_RUN = "not run, since "  # how the runner begins the message of a cell that an earlier failure made pointless
WORDS = {
    "pass": "holds",
    "fail": "broken, though claimed",
    "xfail": "broken as claimed",
    "xpass": "claimed broken, but no counterexample",
    "error": "error, timeout, crash or out of memory",
    "skip": "does not apply",
    MISSING: "no record",
    "undecided": "undecided: still on the plateau where training begins",
}


NO_TASKS = ("probe", "laws", "architectures", "consistency")
OTHER_TASKS = ("nll", "centroids")  # the columns of these stand in a table of their own where room is short


LOWER_IS_BETTER = ("mean_rank", "nll", "memory", "state", "parameters")


def other_task(column: "Column") -> bool:
    """Whether a column belongs to a task beside the one that encoders are ranked by."""
    return column.key.partition(".")[0] in OTHER_TASKS


def symbol(status: str) -> str:
    """One character for a status; `!` for whatever broke."""
    return SYMBOLS.get(status, "!")


def kind(status: str) -> str:
    """The class of a status in the style sheet."""
    known = {"pass", "ok", "fail", "xfail", "xpass", "skip", MISSING, "unranked", "undecided"}
    return status if status in known else "broken"


@dataclass(frozen=True)
class Shown:
    """One cell: the text, the interval or what is missing beside it, the status, what it sorts by, the long story."""

    text: str
    beside: str = ""
    status: str = "ok"
    order: float | str | None = None
    title: str = ""


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard: key, heading, what it says in words, and whether it holds numbers."""

    key: str
    label: str
    about: str
    numeric: bool
    cells: tuple[Shown, ...]

    @property
    def down(self) -> bool:
        """Whether the best is the largest."""
        return self.numeric and self.key.partition(".")[0] not in LOWER_IS_BETTER


def columns(table: pd.DataFrame, slots: Sequence[Slot]) -> list[Column]:
    """The columns as they are shown: the encoder, a badge per group of laws, and then what was measured."""
    rows = table.to_dict("records")
    groups = [c.removeprefix("laws.") for c in table.columns if c.startswith("laws.") and c.count(".") == 1]
    found = [Column("encoder", "encoder", "the encoder, best first", False, tuple(_encoder(row) for row in rows))]
    for group in groups:
        about = f"laws of the group {group} that hold, of those that apply"
        found.append(Column(group, group, about, True, tuple(_badge(row, group) for row in rows)))
    return [*found, *(_measurements(rows, slot) for slot in slots)]


def _measurements(rows: Sequence[Mapping[Any, Any]], slot: Slot) -> Column:
    cells = tuple(_measured(row, slot) for row in rows)
    return Column(slot.key, slot.label, slot.about, True, cells)


def _encoder(row: Mapping[Any, Any]) -> Shown:
    rank = row["rank"]
    place = "" if math.isnan(rank) else f"{rank:g}"
    return Shown(str(row["encoder"]), place, "ok" if place else "unranked", str(row["encoder"]))


def over_tasks(table: pd.DataFrame) -> list[Column]:
    """Columns of what is counted over all tasks."""
    told = {
        "mean_rank": ("mean rank", "the mean over tasks of the rank by mean score"),
        "borda": ("Borda", "encoders beaten, averaged over the seeds of a task and summed over tasks"),
    }
    return [
        Column(key, label, about, True, tuple(_counted(value) for value in table[key]))
        for key, (label, about) in told.items()
    ]


def _counted(value: float) -> Shown:
    if math.isnan(value):
        return Shown("", "", "unranked", None, "not every seed of every task gave a score")
    return Shown(f"{value:.3g}", "", "ok", value)


def _badge(row: Mapping[Any, Any], group: str) -> Shown:
    text, status = row[f"laws.{group}"], row[f"laws.{group}.status"]
    held, apply = map(int, text.split("/"))
    told = status if status in BROKEN else WORDS.get(status, status)
    title = f"{held} of {apply} {group} laws hold" + ("" if status == "pass" else f"; {told}")
    return Shown(text if apply else "", "", status, held / apply if apply else None, title)


def _measured(row: Mapping[Any, Any], slot: Slot) -> Shown:
    mean, half = row[slot.key], row[f"{slot.key}.half"]
    seeds, expected, lost, status = (row[f"{slot.key}.{name}"] for name in ("seeds", "expected", "lost", "status"))
    if status == MISSING and slot.at.get("detail.mode") == "streamed" and row["streaming"] is False:
        return Shown("", "", "skip", None, "it does not stream")
    story = f"{seeds} of {expected} seeds" + (f"; {lost}" if lost else "")
    title = f"{story}: {row[f'{slot.key}.message']}" if row[f"{slot.key}.message"] else story
    if not seeds:
        return Shown("", "", status, None, title)
    if lost:  # sorted behind the whole ones, since it is no match for them
        return Shown(number(mean, slot.metric), story, status, None, title)
    if undecided := row[f"{slot.key}.undecided"]:
        title = f"{undecided} of {expected} seeds still on the plateau where training begins"
        return Shown(number(mean, slot.metric), f"{undecided:g}/{expected:g}", "undecided", None, title)
    return Shown(number(mean, slot.metric), "" if math.isnan(half) else f"±{half:.3f}", "ok", mean, title)


def number(value: float, metric: str) -> str:
    """A number as people read it: accuracy to three places, bytes in binary units, counts in thousands."""
    if metric in ("accuracy", "nll"):
        return f"{value:.3f}"
    if metric in ("peak_memory", "state_size"):
        return scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))
    return scaled(value, 1000, ("", "k", "M", "G", "T"))


def scaled(value: float, base: int, units: Sequence[str]) -> str:
    """The value in the largest unit that leaves at least one before the point; three digits or so."""
    for unit in units[:-1]:
        if abs(value) < base:
            return f"{value:.3g}{unit}" if abs(value) < 100 else f"{value:.0f}{unit}"
        value /= base
    return f"{value:.3g}{units[-1]}"


def failures(frame: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """What went wrong, one line each: encoder, status, where, and why (see `evidence.tidy` for the frame).

    Records of one encoder that broke for one reason share a line.
    """
    wrong = frame[frame["status"].isin(["fail", "xpass", *BROKEN])]
    lines: dict[tuple[str, str, str], list[Mapping[Any, Any]]] = {}
    for row in wrong.to_dict("records"):
        why = short_reason(row) if row["status"] not in BROKEN else cause(str(row["message"] or ""))
        own = why if row["status"] in BROKEN else f"{row['case']}\0{why}"
        lines.setdefault((row["encoder"], row["status"], own), []).append(row)
    return [(name, status, where(rows), why.rpartition("\0")[2]) for (name, status, why), rows in lines.items()]


def cause(message: str) -> str:
    """The message without the words of a cell that was not run."""
    return message.partition(" broke: ")[2] or message if message.startswith(NOT_RUN) else message


def where(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Which laws and suites some records are of, in a few words."""
    suites: dict[str, list[str]] = {}
    for row in rows:
        suites.setdefault(row["suite"], []).append(row["case"])
    parts = []
    for suite, cases in suites.items():
        if suite == "laws":
            parts.append(cases[0] if len(set(cases)) == 1 else f"{len(set(cases))} laws")
        else:
            parts.append(suite if len(cases) == 1 else f"{suite} × {len(cases)}")
    return ", ".join(parts)


def short_reason(row: Mapping[Any, Any]) -> str:
    """A law's failure in one line: the smallest counterexample, its gap and bound; without one, the message."""
    example, message = row.get("detail.counterexample"), str(row["message"] or "")
    if not isinstance(example, Mapping):
        return one_line(message)
    chunks = example.get("sizes")
    gap, bound = (_short(value) for value in (row["value"], row["detail.bound"]))
    parts = [
        f"n = {example['n']}" if "n" in example else "",
        f"chunks {' + '.join(map(str, chunks))}" if isinstance(chunks, list | tuple) else "",
        f"gap {gap}" if gap else "",
        f"bound {bound}" if bound else "",
    ]
    return one_line(", ".join(part for part in parts if part) + (f": {message}" if message else ""))


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, int | float) and not math.isnan(value) else ""


def one_line(text: str, limit: int = 240) -> str:
    """The text on one line, cut where it is too long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def facts(frame: pd.DataFrame, info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run on what: label and text; what is not known is left out."""
    machine, versions = info.get("hardware") or {}, info.get("versions") or {}
    memory = machine.get("memory_bytes")
    parts = [
        machine.get("cpu"),
        f"{machine['cores']} cores" if machine.get("cores") else None,
        number(memory, "peak_memory") if memory else None,
        f"{info['threads']} thread{'s' * (info['threads'] != 1)}" if info.get("threads") else None,
    ]
    tasks = frame[~frame["suite"].isin(NO_TASKS)]
    rows = [
        ("run", _joined([info.get("run"), info.get("profile") and f"profile {info['profile']}"])),
        ("created", str(info.get("created") or "")),
        ("data", _joined(sorted({f"{s} ({c})" for s, c in zip(tasks["suite"], tasks["case"], strict=True)}))),
        ("seeds", _joined(str(seed) for seed in sorted(tasks["seed"].dropna().unique()))),
        ("machine", _joined(parts)),
        ("device", _joined(sorted({str(device) for device in frame["device"].dropna()}))),
        ("versions", _joined(f"{name} {version}" for name, version in versions.items())),
        ("commit", str(info.get("commit") or "")[:12]),
    ]
    return [(label, text) for label, text in rows if text]


def _joined(parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part)
