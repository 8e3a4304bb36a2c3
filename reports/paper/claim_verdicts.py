"""Verdicts on claims: laws that hold or break, and contrasts between models that are paired by seed.

A claim of several parts is confirmed if every part is, and refuted if one is. Confirmation uses the 95 % interval of
each part. Refutation uses intervals widened by the number of parts (Bonferroni), since any of them may refute.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mbcbench.paper import Filter

from ..selection import select, weighted_sum
from ..stats import LEVEL, MAX_SEEDS, Estimate, bonferroni, half_at, seeds_needed
from .contrasts import Contrast, Quantity, Term, describe_setting

Outcome = Literal["confirmed", "refuted", "undecided"]
COMMAND = "mbcbench run --suite paper, with --profile paper for what thorough leaves out"
MIN_STEPS = 400  # of training: a model that was trained for less says nothing about its encoder
PAPER_DATA = ("CelebA", "ModelNet40", "ImageNet")


@dataclass(frozen=True)
class Holds:
    """A law that encoders keep."""

    law: str
    encoders: tuple[str, ...]


@dataclass(frozen=True)
class Breaks:
    """A law that encoders break."""

    law: str
    encoders: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """One reading of a claim of the paper, and what tests it.

    id: C1 to C24. reading: which of several, or empty. where: in the paper. says: the claim in words.
    """

    id: str
    reading: str
    where: str
    says: str
    tests: tuple[Holds | Breaks | Contrast, ...]

    @property
    def encoders(self) -> list[str]:
        """Encoders that the claim is tested on."""
        names: list[str] = []
        for test in self.tests:
            if isinstance(test, Contrast):
                names += [str(term.where["model"]).partition(" ")[0] for term in test.terms]
            else:
                names += test.encoders
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Part:
    """One part of a claim, judged. text: the result in words. would_decide: if undecided, what would decide it."""

    outcome: Outcome
    text: str
    would_decide: str = ""


@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim. why: the deciding result. data: the data sets. evidence: the result of each part."""

    verdict: Outcome
    why: str
    data: str
    would_decide: str
    evidence: str


def judge(claim: Claim, rows: pd.DataFrame) -> Verdict:
    """Return the verdict on a claim. rows: see `label_models`."""
    parts = [part for test in claim.tests for part in _parts(test, rows, len(claim.tests))]
    outcome = _combine(parts)
    deciding = [part for part in parts if part.outcome == outcome]
    would_decide = dict.fromkeys(part.would_decide for part in deciding if part.would_decide)
    return Verdict(
        verdict=outcome,
        why=_why(deciding),
        data=_data(claim, rows),
        would_decide="; ".join(would_decide) if outcome == "undecided" else "",
        evidence="\n".join(f"{part.outcome}: {part.text}" for part in parts),
    )


def _combine(parts: Sequence[Part]) -> Outcome:
    outcomes = {part.outcome for part in parts}
    if "refuted" in outcomes:
        return "refuted"
    return "confirmed" if outcomes == {"confirmed"} else "undecided"


def _why(deciding: Sequence[Part]) -> str:
    if not deciding:
        return "no records"
    others = len(deciding) - 1
    more = f" (and {others} more comparison{'s' if others > 1 else ''} with this outcome)" if others else ""
    return deciding[0].text + more


def _parts(test: Holds | Breaks | Contrast, rows: pd.DataFrame, tests: int) -> Iterator[Part]:
    if isinstance(test, Contrast):
        yield judge_contrast(test, rows, tests)
    else:
        for encoder in test.encoders:
            yield judge_law(test, encoder, rows)


def judge_law(test: Holds | Breaks, encoder: str, rows: pd.DataFrame) -> Part:
    """Judge a law of one encoder: one counterexample outweighs any number of passes."""
    expects_pass = isinstance(test, Holds)
    records = rows[rows["suite"].eq("laws") & rows["case"].eq(test.law) & rows["encoder"].eq(encoder)]
    name = f"{encoder}, {test.law}"
    is_counterexample = records["status"].eq("ok") & records["detail.counterexample"].notna()
    broken = records[records["status"].isin(["fail", "xfail"]) | is_counterexample]
    if len(broken):
        text = f"{name}: {describe_counterexample(broken.iloc[0].to_dict())}"
        return Part("refuted" if expects_pass else "confirmed", text)
    holds = records[records["status"].isin(["pass", "xpass"])]
    if len(holds):
        text = f"{name}: no counterexample in {_count_examples(holds)} examples"
        return Part("confirmed" if expects_pass else "refuted", text)
    why = "no record" if records.empty else ", ".join(sorted(set(records["status"])))
    return Part("undecided", f"{name}: {why}", "mbcbench run --suite laws")


def _count_examples(rows: pd.DataFrame) -> str:
    counts = pd.to_numeric(rows["detail.examples"])
    return f"{int(counts.sum())}" if counts.notna().any() else "the"


def describe_counterexample(record: Mapping[Any, Any]) -> str:
    """Return the smallest counterexample in one line: `n = 2 in chunks 1 + 1, off by 0.77`."""
    example = record["detail.counterexample"]
    if not isinstance(example, Mapping):
        return str(record["message"] or "broken")
    size = f"n = {example['n']}" if "n" in example else "one example"
    chunks = " + ".join(map(str, example.get("sizes") or ()))
    return size + (f" in chunks {chunks}" if chunks else "") + f", off by {float(record['value']):.2g}"


def judge_contrast(test: Contrast, rows: pd.DataFrame, tests: int) -> Part:
    """Judge a paired difference by its interval. tests: the number of parts of the claim."""
    setting = chosen_setting(test, rows)
    described = describe_setting(setting)
    label = test.label + (f" ({described})" if described else "")
    terms = _with_setting(test, setting)
    estimate = Estimate.of(weighted_sum(rows, terms, test.column))
    if not estimate.seeds:
        return Part("undecided", f"{label}: no records", COMMAND)
    text = f"{label}: {describe_estimate(estimate, test.quantity)}"
    problem = _training_problem(terms, rows)
    if problem:
        return Part("undecided", f"{text}; {problem[0]}", problem[1])
    if estimate.seeds < 2:
        return Part("undecided", text, "more seeds")
    outcome = _outcome(estimate, bonferroni(LEVEL, tests), test.margin)
    return Part(outcome, text, _wanted_seeds(estimate, test.margin) if outcome == "undecided" else "")


def describe_estimate(estimate: Estimate, quantity: Quantity) -> str:
    """Return a difference in words: `NLL lower by 0.0123 ± 0.0045 nats (3 seeds)`."""
    direction = quantity.above if estimate.mean >= 0 else quantity.below
    half = "" if np.isnan(estimate.half) else f" ± {estimate.half:.4f}"
    unit = f" {quantity.unit}" if quantity.unit else ""
    seeds = f"{estimate.seeds} seed{'s' if estimate.seeds > 1 else ''}"
    return f"{quantity.name} {direction} by {abs(estimate.mean):.4f}{half}{unit} ({seeds})"


def chosen_setting(test: Contrast, rows: pd.DataFrame) -> Filter:
    """Return the first setting of a contrast under which there are pairs, or its last."""
    for setting in test.settings[:-1]:
        if len(weighted_sum(rows, _with_setting(test, setting), test.column)):
            return setting
    return test.settings[-1]


def _with_setting(test: Contrast, setting: Filter) -> list[Term]:
    return [Term(term.weight, {**setting, **term.where}) for term in test.terms]


def _outcome(estimate: Estimate, joint_level: float, margin: float | None) -> Outcome:
    """Confirm by the 95 % interval, refute by the interval at the level of all parts together."""
    wide = half_at(estimate, joint_level)
    low, high = estimate.mean - wide, estimate.mean + wide
    if margin is None:
        confirmed, refuted = estimate.low > 0, high < 0
    else:
        confirmed = estimate.low > -margin and estimate.high < margin
        refuted = high < -margin or low > margin
    if confirmed:
        return "confirmed"
    return "refuted" if refuted else "undecided"


def _training_problem(terms: Sequence[Term], rows: pd.DataFrame) -> tuple[str, str] | None:
    """Return why models are not trained enough to be compared, and what would change that; None if they are."""
    records = pd.concat([select(rows, term.where) for term in terms])
    steps = pd.to_numeric(records["detail.steps"]).min()
    if steps < MIN_STEPS:
        return f"trained for {steps:g} steps", "a longer training: --profile thorough"
    on_plateau = int(records["detail.plateau"].eq(True).sum())
    if on_plateau:
        why = f"{on_plateau} of {len(records)} tests are no better than the mean of the pixels yet"
        return why, "a longer training: --profile paper"
    return None


def _wanted_seeds(estimate: Estimate, margin: float | None) -> str:
    seeds = seeds_needed(estimate, margin or 0.0)
    if seeds is None:
        return f"more than {MAX_SEEDS} seeds: the difference is too small to matter"
    return f"about {seeds} seeds, if difference and spread stay as they are"


def _data(claim: Claim, rows: pd.DataFrame) -> str:
    """Return the data sets that a claim was tested on, marked if they stand in for the paper's."""
    contrasts = [test for test in claim.tests if isinstance(test, Contrast)]
    if not contrasts:
        return "random sets"
    names: set[str] = set()
    for test in contrasts:
        for term in _with_setting(test, chosen_setting(test, rows)):
            names |= set(select(rows, term.where)["detail.data"].dropna())
    return "; ".join(name + stand_in(name) for name in sorted(names))


def stand_in(data: str) -> str:
    """Return ` (stand-in)` for a data set that is not the paper's. A part of MNIST counts as MNIST."""
    is_real = any(name in data for name in PAPER_DATA) and "name" not in data
    return "" if "MNIST" in data or is_real else " (stand-in)"
