"""Captions: the result (computed from the data), then the paper's claim, the verdict and the data set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .columns import Row
from .formatting import parameter_range
from .rendering import template

MAX_NAMED = 5  # series that a sentence lists
MAX_SIZES = 3  # sizes, at which a series is the best, that a sentence lists


@dataclass(frozen=True)
class Measure:
    """A measured quantity: its name, its unit and its better direction."""

    name: str
    unit: str = ""
    lower_is_better: bool = False

    @property
    def in_words(self) -> str:
        """Return the measure in a sentence: `NLL (nats per value, lower is better)`."""
        return f"{self.name} ({', '.join(filter(None, (self.unit, self.direction)))})"

    @property
    def label(self) -> str:
        """Label of an axis, in two lines."""
        return f"{self.name} ({self.unit})\n{self.direction}" if self.unit else f"{self.name}\n{self.direction}"

    @property
    def direction(self) -> str:
        """Return the better direction in words."""
        return "lower is better" if self.lower_is_better else "higher is better"

    @property
    def best(self) -> str:
        """Return the word for the best value."""
        return "lowest" if self.lower_is_better else "highest"

    def name_best(self, means: pd.DataFrame) -> pd.Series:
        """Return the name of the best series (row) in each column."""
        return means.idxmin() if self.lower_is_better else means.idxmax()


NLL = Measure("NLL", "nats per value", lower_is_better=True)
ACCURACY = Measure("accuracy")


@dataclass(frozen=True)
class Reading:
    """A reading of a claim with its verdict. place: row in the table of claims."""

    name: str
    verdict: str
    why: str
    place: int

    def __str__(self) -> str:
        return f"{self.verdict} ({self.name}): {self.why}" if self.name else f"{self.verdict}: {self.why}"


@dataclass(frozen=True)
class ClaimText:
    """A claim as the paper states it, with the verdicts on its readings."""

    id: str
    says: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Caption:
    """The parts of a caption, each a text without a trailing period.

    result: the result. about: advice for reading the figure. claims: the paper's claims with their verdicts.
    data: the data sets. parameters: of each model.
    """

    result: str
    about: str
    claims: tuple[ClaimText, ...]
    data: str
    parameters: str = ""

    def __str__(self) -> str:
        """Return the caption as one paragraph."""
        parts = [f"Result: {self.result}", self.about] if self.result else [self.about]
        for claim in self.claims:
            parts.append(f"Claim ({claim.id}): {claim.says}")
            parts.append(f"Verdict: {'; '.join(map(str, claim.readings))}")
        if self.parameters:
            parts.append(f"Parameters: {self.parameters}")
        if self.data:
            parts.append(f"Data: {self.data}")
        return " ".join(map(sentence, parts))

    def markdown(self) -> str:
        """Return the caption in paragraphs, with a list of verdicts."""
        return template("caption.md").render(caption=self, sentence=sentence)


def sentence(text: str) -> str:
    """Return the text with a period."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def claim_texts(rows: Sequence[Row]) -> tuple[ClaimText, ...]:
    """Group rows of the table of claims (with their `place`) by claim."""
    grouped: dict[tuple[str, str], list[Reading]] = {}
    for row in rows:
        reading = Reading(str(row["reading"]), str(row["verdict"]), str(row["why"]), int(row["place"]))
        grouped.setdefault((str(row["id"]), str(row["claim"])), []).append(reading)
    return tuple(ClaimText(name, says, tuple(readings)) for (name, says), readings in grouped.items())


def data_note(rows: Sequence[Row]) -> str:
    """Return the data sets behind verdicts, each once."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(str(row["data"] or "").split("; "))
    return "; ".join(filter(None, names))


def parameter_note(data: pd.DataFrame) -> str:
    """Return the number of parameters of each model or series in a figure's data, where they are known."""
    if "parameters" not in data:
        return ""
    hue = "series" if "series" in data else "model"
    ranges = {str(name): parameter_range(counts) for name, counts in data.groupby(hue, sort=False)["parameters"]}
    return ", ".join(f"{name} {counts}" for name, counts in ranges.items() if counts)


def compare_series(data: pd.DataFrame, measure: Measure, at: str = "{}", hue: str = "model", x: str = "x") -> str:
    """Return the best series at each `x`, and the means of the first series, in words.

    at: a phrase for values of `x`, such as `{} pixels` or `K = {}`.
    """
    means = mean_by_size(data, hue, x)
    best = name_best(means, measure, at)
    is_text = isinstance(means.columns[0], str)
    values = _list_means(means) if is_text else _span_means(means, measure, at)
    return join_sentences([f"{measure.best} mean {measure.in_words}: {best}", values] if best else [values])


def mean_by_size(data: pd.DataFrame, hue: str = "model", x: str = "x") -> pd.DataFrame:
    """Return the mean of each series (rows) at each size (columns); categories stay in their order."""
    sizes = list(dict.fromkeys(data[x]))
    means = data.groupby([hue, x], sort=False)["value"].mean().unstack(x)
    return means[sizes if isinstance(sizes[0], str) else sorted(sizes)]


def name_best(means: pd.DataFrame, measure: Measure, at: str) -> str:
    """Return the best series of each size: `A at 200 and 500 pixels; B at 1,000 pixels`."""
    compared = means.loc[:, means.notna().sum() > 1]
    if compared.empty:
        return ""
    best = measure.name_best(compared)
    parts = []
    for name, sizes in best.groupby(best, sort=False):
        if len(sizes) == len(best) > 1:
            parts.append(f"{name} throughout")
        elif len(sizes) > MAX_SIZES:
            parts.append(f"{name} at {len(sizes)} of {len(best)} sizes")
        else:
            parts.append(f"{name} at {at.format(list_all(list(map(format_size, sizes.index))))}")
    return "; ".join(parts)


def _span_means(means: pd.DataFrame, measure: Measure, at: str) -> str:
    """Return `mean NLL at 200 to 1,000 pixels: A 0.512 to 0.301, B 0.634 to 0.402`."""
    spans: dict[str, list[str]] = {}
    for name, row in means.head(MAX_NAMED).iterrows():
        known = row.dropna()
        ends = known.iloc[[0, -1]] if len(known) > 1 else known
        span = at.format(" to ".join(map(format_size, ends.index)))
        spans.setdefault(span, []).append(f"{name} {' to '.join(map('{:.3f}'.format, ends))}")
    parts = []
    for span, names in spans.items():
        parts.append(f"mean {measure.name} at {span}: {', '.join(names)}")
    return "; ".join(parts)


def _list_means(means: pd.DataFrame) -> str:
    """Return the means of each series in all categories: `means of A: sum 0.512, mean 0.301`."""
    parts = []
    for name, row in means.head(MAX_NAMED).iterrows():
        values = map("{} {:.3f}".format, row.dropna().index, row.dropna())
        parts.append(f"{name}: {', '.join(values)}")
    return f"means of {'; '.join(parts)}"


def format_size(value: Any) -> str:
    """Return a size with thousands separators; other values as they are."""
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def join_sentences(parts: Iterable[str]) -> str:
    """Return the sentences that are not empty, each with a capital letter, without the last period."""
    return ". ".join(part[0].upper() + part[1:] for part in parts if part)


def list_all(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def list_names(names: Sequence[str], limit: int = 5) -> str:
    """Return `a, b and 3 more`."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
