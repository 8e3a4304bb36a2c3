"""Verdicts on claims: laws that hold or break, and contrasts between models that are paired by seed.

A claim of several parts is confirmed if every part is, and refuted if one is. Confirmation uses the 95 % interval of
each part. Refutation uses intervals widened by the number of parts (Bonferroni), since any of them may refute. The
parts are judged in one setting, and a model that has not learnt is compared like any other, with a remark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ..captions import list_all
from ..columns import Row
from ..formatting import parameter_range, plural
from ..selection import has_not_learnt, mean_by_seed, select
from ..stats import LEVEL, MAX_SEEDS, Estimate, bonferroni, half_at, paired_sum, seeds_needed
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


Test = Holds | Breaks | Contrast


@dataclass(frozen=True)
class Claim:
    """One reading of a claim of the paper, and what tests it.

    id: C1 to C24. reading: which of several, or empty. where: in the paper. says: the claim in words.
    """

    id: str
    reading: str
    where: str
    says: str
    tests: tuple[Test, ...]

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
    data: names of the data sets.
    """

    outcome: Outcome
    text: str
    would_decide: str = ""
    seeds: int = 0
    data: frozenset[str] = frozenset()

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
    place = chosen_setting(claim.tests, rows)
    for test in claim.tests:
        parts += _parts(test, rows, len(claim.tests), place)
    outcome = _combine(parts)
    deciding = [part for part in parts if part.outcome == outcome]
    return Verdict(
        verdict=outcome,
        why=_why(deciding),
        data=_data(claim, parts),
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


def _parts(test: Test, rows: pd.DataFrame, tests: int, place: int) -> list[Part]:
    if isinstance(test, Contrast):
        return [judge_contrast(test, rows, tests, place)]
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


def judge_contrast(test: Contrast, rows: pd.DataFrame, tests: int, place: int) -> Part:
    """Judge a paired difference by its interval. tests: the number of parts of the claim. place: of the setting."""
    terms = test.terms_in(place)
    records = [select(rows, term.where) for term in terms]
    data = frozenset(name for part in records for name in part["detail.data"].dropna())
    notes = [describe_setting(test.setting_in(place)), _describe_parameters(records)]
    label = f"{test.label} ({'; '.join(filter(None, notes))})" if any(notes) else test.label
    estimate = Estimate.of(_weighted_sum(test, terms, records))
    if not estimate.seeds:
        return Part("undecided", f"{label}: {_describe_missing(terms, records)}", COMMAND, data=data)
    text = f"{label}: {describe_estimate(estimate, test.quantity)}"
    trainings = pd.concat(records).drop_duplicates(["model", "seed"])
    problem = _training_problem(trainings)
    if problem:
        return Part("undecided", f"{text}; {problem[0]}", problem[1], data=data)
    text += _training_remark(trainings)
    if estimate.seeds < 2:
        return Part("undecided", text, "more seeds", data=data)
    outcome = _outcome(estimate, bonferroni(LEVEL, tests), test.margin)
    seeds = seeds_needed(estimate, test.margin or 0.0)
    if outcome == "undecided" and seeds is None:
        needed = f"more than {MAX_SEEDS} seeds: the difference is too small to matter"
        return Part(outcome, text, needed, data=data)
    return Part(outcome, text, seeds=seeds or 0, data=data)


def _weighted_sum(test: Contrast, terms: Sequence[Term], records: Sequence[pd.DataFrame]) -> pd.Series:
    """Return the value of a contrast by seed: +1 and -1 give a paired difference. records: of each term."""
    samples = [mean_by_seed(part, test.column) for part in records]
    return paired_sum(samples, [term.weight for term in terms])


def _describe_missing(terms: Sequence[Term], records: Sequence[pd.DataFrame]) -> str:
    """Return `no records of DeepSets (mean)`: the models without records in their settings."""
    pairs = zip(terms, records, strict=True)
    missing = dict.fromkeys(str(term.where["model"]) for term, part in pairs if part.empty)
    return f"no records of {list_all(list(missing))}" if missing else "no records of the same seeds"


def _describe_parameters(records: Sequence[pd.DataFrame]) -> str:
    """Return `20 k and 61 k parameters`, in the order of the models; nothing for one model, or without records."""
    counts: dict[str, str] = {}
    for part in records:
        for model, known in part.groupby("model")["detail.parameters"]:
            counts[str(model)] = parameter_range(known)
    return f"{list_all(list(counts.values()))} parameters" if len(counts) > 1 and all(counts.values()) else ""


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


def chosen_setting(tests: Sequence[Test], rows: pd.DataFrame) -> int:
    """Return the place of the setting in which most contrasts of a claim have pairs; the first of several.

    A claim is judged in one setting: contrasts of different image sizes do not make one verdict.
    """
    contrasts = [test for test in tests if isinstance(test, Contrast)]
    places = range(max((len(test.settings) for test in contrasts), default=1))
    if len(places) == 1:
        return 0
    counts = [sum(_has_pairs(test, rows, place) for test in contrasts) for place in places]
    return counts.index(max(counts))


def _has_pairs(test: Contrast, rows: pd.DataFrame, place: int) -> bool:
    terms = test.terms_in(place)
    return len(_weighted_sum(test, terms, [select(rows, term.where) for term in terms])) > 0


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


def _training_problem(trainings: pd.DataFrame) -> tuple[str, str] | None:
    """Return why models cannot be compared, and what would change that; None if they can.

    Only the length of a training can exclude it. What came of it is what the comparison is about.
    """
    steps = sorted(pd.to_numeric(trainings["detail.steps"]).dropna().unique())
    if len(steps) > 1:
        return f"trained for different numbers of steps, {list_all([f'{n:,g}' for n in steps])}", COMMAND
    if steps and steps[0] < MIN_STEPS:
        return f"trained for {steps[0]:g} steps", "a longer training: --profile thorough"
    return None


def _training_remark(trainings: pd.DataFrame) -> str:
    """Return a remark on trainings that ended at the baseline. It changes no verdict."""
    count = int(has_not_learnt(trainings).sum())
    return f"; remark: {count} of {len(trainings)} trainings ended at the loss of the baseline" if count else ""


def _data(claim: Claim, parts: Sequence[Part]) -> str:
    """Return the data sets that a claim was tested on, marked if they stand in for the paper's."""
    if not all(isinstance(test, Contrast) for test in claim.tests):
        return "random sets"
    names = frozenset[str]().union(*(part.data for part in parts))
    return "; ".join(name + stand_in(name) for name in sorted(names))


def stand_in(data: str) -> str:
    """Return ` (stand-in)` for a data set that is not the paper's. A part of MNIST counts as MNIST."""
    is_real = any(name in data for name in PAPER_DATA) and "name" not in data
    if is_real or "MNIST" in data:
        return ""
    return " (stand-in)"
