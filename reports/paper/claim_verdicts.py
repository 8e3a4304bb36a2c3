"""Verdicts on claims: laws that hold or break, and contrasts between models that are paired by seed.

A claim of several parts is confirmed if every part is, and refuted if one is. Confirmation uses the 95 % interval of
each part. Refutation uses intervals widened by the number of parts (Bonferroni), since any of them may refute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mbcbench.paper import Filter

from ..columns import Row
from ..formatting import plural
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
            names += test.encoders
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Part:
    """One part of a claim, judged.

    text: the result in words. would_decide, seeds: if undecided, what would decide it, or about how many seeds.
    """

    outcome: Outcome
    text: str
    would_decide: str = ""
    seeds: int = 0

    def __str__(self) -> str:
        return f"{self.outcome}: {self.text}"


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
    parts: list[Part] = []
    for test in claim.tests:
        parts += _parts(test, rows, len(claim.tests))
    outcome = _combine(parts)
    deciding = [part for part in parts if part.outcome == outcome]
    return Verdict(
        verdict=outcome,
        why=_why(deciding),
        data=_data(claim, rows),
        would_decide=_would_decide(deciding) if outcome == "undecided" else "",
        evidence="\n".join(map(str, parts)),
    )


def _combine(parts: Sequence[Part]) -> Outcome:
    outcomes = {part.outcome for part in parts}
    if "refuted" in outcomes:
        return "refuted"
    if outcomes == {"confirmed"}:
        return "confirmed"
    return "undecided"


def _why(deciding: Sequence[Part]) -> str:
    if not deciding:
        return "no records"
    first, *others = deciding
    if not others:
        return first.text
    return f"{first.text} (and {plural(len(others), 'more comparison')} with this outcome)"


def _would_decide(undecided: Sequence[Part]) -> str:
    """Return what would decide all parts: the most seeds that one of them needs, and whatever else there is."""
    needs: dict[str, None] = {}
    seeds = max((part.seeds for part in undecided), default=0)
    if seeds:
        needs[f"about {seeds} seeds, if differences and spreads stay as they are"] = None
    needs |= dict.fromkeys(part.would_decide for part in undecided)
    return "; ".join(filter(None, needs))


def _parts(test: Holds | Breaks | Contrast, rows: pd.DataFrame, tests: int) -> list[Part]:
    if isinstance(test, Contrast):
        return [judge_contrast(test, rows, tests)]
    return [judge_law(test, encoder, rows) for encoder in test.encoders]


def judge_law(test: Holds | Breaks, encoder: str, rows: pd.DataFrame) -> Part:
    """Judge a law of one encoder: one counterexample outweighs any number of passes."""
    if_broken: Outcome = "refuted" if isinstance(test, Holds) else "confirmed"
    if_kept: Outcome = "confirmed" if isinstance(test, Holds) else "refuted"
    records = rows[rows["suite"].eq("laws") & rows["case"].eq(test.law) & rows["encoder"].eq(encoder)]
    name = f"{encoder}, {test.law}"
    is_counterexample = records["status"].eq("ok") & records["detail.counterexample"].notna()
    broken = records[records["status"].isin(["fail", "xfail"]) | is_counterexample]
    if len(broken):
        text = f"{name}: {describe_counterexample(broken.iloc[0].to_dict())}"
        return Part(if_broken, text)
    holds = records[records["status"].isin(["pass", "xpass"])]
    if len(holds):
        text = f"{name}: no counterexample in {_count_examples(holds)} examples"
        return Part(if_kept, text)
    why = "no record" if records.empty else ", ".join(sorted(set(records["status"])))
    return Part("undecided", f"{name}: {why}", "mbcbench run --suite laws")


def _count_examples(rows: pd.DataFrame) -> str:
    counts = pd.to_numeric(rows["detail.examples"])
    return f"{int(counts.sum())}" if counts.notna().any() else "the"


def describe_counterexample(record: Row) -> str:
    """Return the smallest counterexample in one line: `n = 2 in chunks 1 + 1, off by 0.77`."""
    example = record["detail.counterexample"]
    if not isinstance(example, Mapping):
        return str(record["message"] or "broken")
    text = f"n = {example['n']}" if "n" in example else "one example"
    if example.get("sizes"):
        text += f" in chunks {' + '.join(map(str, example['sizes']))}"
    return f"{text}, off by {float(record['value']):.2g}"


def judge_contrast(test: Contrast, rows: pd.DataFrame, tests: int) -> Part:
    """Judge a paired difference by its interval. tests: the number of parts of the claim."""
    setting = chosen_setting(test, rows)
    label = test.label
    if setting:
        label += f" ({describe_setting(setting)})"
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
    seeds = seeds_needed(estimate, test.margin or 0.0)
    if outcome == "undecided" and seeds is None:
        return Part(outcome, text, f"more than {MAX_SEEDS} seeds: the difference is too small to matter")
    return Part(outcome, text, seeds=seeds or 0)


def describe_estimate(estimate: Estimate, quantity: Quantity) -> str:
    """Return a difference in words: `NLL lower by 0.0123 ± 0.0045 nats (3 seeds)`."""
    seeds = plural(estimate.seeds, "seed")
    if not estimate.mean:
        return f"{quantity.name}: no difference ({seeds})"
    direction = quantity.above if estimate.mean > 0 else quantity.below
    size = f"{abs(estimate.mean):.{quantity.digits}f}"
    if not np.isnan(estimate.half):
        size += f" ± {estimate.half:.{quantity.digits}f}"
    if quantity.unit:
        size += f" {quantity.unit}"
    return f"{quantity.name} {direction} by {size} ({seeds})"


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
    if refuted:
        return "refuted"
    return "undecided"


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


def _data(claim: Claim, rows: pd.DataFrame) -> str:
    """Return the data sets that a claim was tested on, marked if they stand in for the paper's."""
    names: set[str] = set()
    for test in claim.tests:
        if not isinstance(test, Contrast):
            return "random sets"
        for term in _with_setting(test, chosen_setting(test, rows)):
            names |= set(select(rows, term.where)["detail.data"].dropna())
    return "; ".join(name + stand_in(name) for name in sorted(names))


def stand_in(data: str) -> str:
    """Return ` (stand-in)` for a data set that is not the paper's. A part of MNIST counts as MNIST."""
    is_real = any(name in data for name in PAPER_DATA) and "name" not in data
    if is_real or "MNIST" in data:
        return ""
    return " (stand-in)"
