"""Captions: what was measured (computed from the data), then the paper's claim, the verdict and the data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MAX_NAMED = 4  # series that a sentence lists


@dataclass(frozen=True)
class Measure:
    """What the values of a figure are: name, unit, and which direction is better."""

    name: str
    unit: str = ""
    lower_is_better: bool = False

    @property
    def axis(self) -> str:
        """Label of an axis: `NLL (nats per value, lower is better)`."""
        notes = [note for note in (self.unit, self.direction) if note]
        return f"{self.name} ({', '.join(notes)})"

    @property
    def direction(self) -> str:
        """Return which direction is better."""
        return "lower is better" if self.lower_is_better else "higher is better"

    @property
    def best(self) -> str:
        """Return the word for the best value."""
        return "lowest" if self.lower_is_better else "highest"


NLL = Measure("NLL", "nats per value", lower_is_better=True)
ACCURACY = Measure("accuracy")


@dataclass(frozen=True)
class Caption:
    """The parts of a caption, each a text without a trailing period.

    result: what was measured. about: how to read the figure. claims: the paper's claims with their verdicts.
    data: the data sets.
    """

    result: str
    about: str
    claims: tuple["ClaimText", ...]
    data: str

    def __str__(self) -> str:
        parts = [f"Result: {self.result}" if self.result else "", self.about]
        for claim in self.claims:
            parts += [f"Claim ({claim.id}): {claim.says}", f"Verdict: {'; '.join(map(str, claim.readings))}"]
        parts.append(f"Data: {self.data}" if self.data else "")
        return " ".join(sentence(part) for part in parts if part)


@dataclass(frozen=True)
class Reading:
    """A reading of a claim with its verdict. place: in the table of claims."""

    name: str
    verdict: str
    why: str
    place: int

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"{self.verdict}{name}, {self.why}"


@dataclass(frozen=True)
class ClaimText:
    """A claim as the paper has it, with the verdicts on its readings."""

    id: str
    says: str
    readings: tuple[Reading, ...]


def sentence(text: str) -> str:
    """Return the text with a period."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def claim_texts(rows: Sequence[Mapping[Any, Any]]) -> tuple[ClaimText, ...]:
    """Group rows of the table of claims (with their `place`) by claim."""
    grouped: dict[tuple[str, str], list[Reading]] = {}
    for row in rows:
        reading = Reading(str(row["reading"]), str(row["verdict"]), str(row["why"]), int(row["place"]))
        grouped.setdefault((str(row["id"]), str(row["claim"])), []).append(reading)
    return tuple(ClaimText(id_, says, tuple(readings)) for (id_, says), readings in grouped.items())


def data_note(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return the data sets that verdicts rest on, each once."""
    names = (name for row in rows for name in str(row["data"] or "").split("; "))
    return "; ".join(dict.fromkeys(name for name in names if name))


def compare_series(data: pd.DataFrame, measure: Measure, x_name: str, hue: str = "model", x: str = "x") -> str:
    """Return which series is best at how many values of `x`, and how the first series change along it."""
    means = data.groupby([hue, x], sort=False)["value"].mean().unstack(x)
    sizes = [size for size in dict.fromkeys(data[x]) if means[size].notna().sum() > 1]
    return join_sentences([_best_series(means, sizes, measure, x_name), _changes(means, x_name)])


def _best_series(means: pd.DataFrame, sizes: Sequence[Any], measure: Measure, x_name: str) -> str:
    if not sizes:
        return ""
    best = means[sizes].idxmin() if measure.lower_is_better else means[sizes].idxmax()
    counts = best.value_counts()
    name, count = counts.index[0], int(counts.iloc[0])
    if len(sizes) == 1:
        return f"{name} has the {measure.best} mean {measure.name} at {x_name} {format_size(sizes[0])}"
    where = "all" if count == len(sizes) else f"{count} of"
    return f"{name} has the {measure.best} mean {measure.name} at {where} {len(sizes)} values of {x_name}"


def _changes(means: pd.DataFrame, x_name: str) -> str:
    """Return the first and last mean of each series: `From 200 to 1,000: A 0.5 to 0.3`."""
    parts = []
    for name, row in means.head(MAX_NAMED).iterrows():
        known = row.dropna()
        if len(known) > 1:
            span = f"{format_size(known.index[0])} to {format_size(known.index[-1])}"
            parts.append(f"{name} {known.iloc[0]:.3f} to {known.iloc[-1]:.3f} ({span})")
        elif len(known):
            parts.append(f"{name} {known.iloc[0]:.3f} ({format_size(known.index[0])})")
    more = len(means) - MAX_NAMED
    others = f"; {more} more in the figure" if more > 0 else ""
    return f"Means along {x_name}: {', '.join(parts)}{others}" if parts else ""


def format_size(value: Any) -> str:
    """Return a size with thousands separators; other values as they are."""
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def join_sentences(parts: Sequence[str]) -> str:
    """Return the sentences that are not empty, without the last period."""
    return ". ".join(part for part in parts if part)


def list_names(names: Sequence[str], limit: int = 5) -> str:
    """Return `a, b and 3 more`."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
