"""Captions: what was measured (computed from the data), then the paper's claim, the verdict and the data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MAX_NAMED = 5  # series that a sentence lists
MAX_SIZES = 3  # and sizes at which a series is the best


@dataclass(frozen=True)
class Measure:
    """What the values of a figure are: name, unit, and which direction is better."""

    name: str
    unit: str = ""
    lower_is_better: bool = False

    @property
    def in_words(self) -> str:
        """Return the measure in a sentence: `NLL (nats per value, lower is better)`."""
        notes = [note for note in (self.unit, self.direction) if note]
        return f"{self.name} ({', '.join(notes)})"

    @property
    def label(self) -> str:
        """Label of an axis, in two lines."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name}{unit}\n{self.direction}"

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
        """Return the caption as one paragraph."""
        parts = [f"Result: {self.result}" if self.result else "", self.about]
        for claim in self.claims:
            parts += [f"Claim ({claim.id}): {claim.says}", f"Verdict: {'; '.join(map(str, claim.readings))}"]
        parts.append(f"Data: {self.data}" if self.data else "")
        return " ".join(sentence(part) for part in parts if part)

    def markdown(self) -> str:
        """Return the caption in paragraphs, with a list of verdicts."""
        parts = [f"**Result:** {sentence(self.result)}" if self.result else "", sentence(self.about)]
        for claim in self.claims:
            readings = "\n".join(f"- {sentence(str(reading))}" for reading in claim.readings)
            parts += [f"**Claim ({claim.id}):** {sentence(claim.says)} **Verdict:**", readings]
        parts.append(f"**Data:** {sentence(self.data)}" if self.data else "")
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True)
class Reading:
    """A reading of a claim with its verdict. place: in the table of claims."""

    name: str
    verdict: str
    why: str
    place: int

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"{self.verdict}{name}: {self.why}"


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


def compare_series(data: pd.DataFrame, measure: Measure, at: str = "{}", hue: str = "model", x: str = "x") -> str:
    """Return which series is the best at which `x`, and the means of the first series.

    at: a phrase for values of `x`, such as `{} pixels` or `K = {}`.
    """
    is_text = any(isinstance(value, str) for value in data[x])
    sizes = list(dict.fromkeys(data[x]))
    means = data.groupby([hue, x], sort=False)["value"].mean().unstack(x)
    means = means[sizes if is_text else sorted(sizes)]
    values = _list_means(means) if is_text else _span_means(means, measure, at)
    return join_sentences([_best_series(means, measure, at), values])


def _best_series(means: pd.DataFrame, measure: Measure, at: str) -> str:
    """Return `Lowest mean NLL (nats per value, lower is better): A at 200 and 500 pixels; B at 1,000 pixels`."""
    names = name_best(means, measure, at)
    return f"{measure.best} mean {measure.in_words}: {names}" if names else ""


def name_best(means: pd.DataFrame, measure: Measure, at: str) -> str:
    """Return the best series (rows) of each size (columns): `A at 200 and 500 pixels; B at 1,000 pixels`."""
    compared = means.loc[:, means.notna().sum() > 1]
    if compared.empty:
        return ""
    best = compared.idxmin() if measure.lower_is_better else compared.idxmax()
    parts = []
    for name, sizes in best.groupby(best, sort=False):
        values = [format_size(size) for size in sizes.index]
        where = f"{len(values)} of {len(best)} sizes" if len(values) > MAX_SIZES else at.format(list_all(values))
        parts.append(f"{name} throughout" if len(values) == len(best) > 1 else f"{name} at {where}")
    return "; ".join(parts)


def _span_means(means: pd.DataFrame, measure: Measure, at: str) -> str:
    """Return `Mean NLL from 200 to 1,000 pixels: A 0.512 to 0.301, B 0.634 to 0.402`."""
    spans: dict[str, list[str]] = {}
    for name, row in means.head(MAX_NAMED).iterrows():
        known = row.dropna()
        ends = known.iloc[[0, -1]] if len(known) > 1 else known
        span = at.format(" to ".join(map(format_size, ends.index)))
        spans.setdefault(span, []).append(f"{name} {' to '.join(f'{value:.3f}' for value in ends)}")
    return "; ".join(f"mean {measure.name} at {span}: {', '.join(names)}" for span, names in spans.items())


def _list_means(means: pd.DataFrame) -> str:
    """Return the means of each series in all categories: `means of A: sum 0.512, mean 0.301`."""
    parts = []
    for name, row in means.head(MAX_NAMED).iterrows():
        values = ", ".join(f"{format_size(category)} {value:.3f}" for category, value in row.dropna().items())
        parts.append(f"{name}: {values}")
    return f"Means of {'; '.join(parts)}"


def format_size(value: Any) -> str:
    """Return a size with thousands separators; other values as they are."""
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def join_sentences(parts: Sequence[str]) -> str:
    """Return the sentences that are not empty, each with a capital letter, without the last period."""
    return ". ".join(part[0].upper() + part[1:] for part in parts if part)


def list_all(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def list_names(names: Sequence[str], limit: int = 5) -> str:
    """Return `a, b and 3 more`."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
