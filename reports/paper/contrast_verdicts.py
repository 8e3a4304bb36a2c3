"""Verdicts by numbers: differences between models that are paired by seed, in one setting.

A model that has not learnt under some seeds is compared like any other, with a remark: leaving it out would depend on
the outcome.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mbcbench.errors import plural

from ..captions import list_all
from ..formatting import parameter_range
from ..paired import PairedTest
from ..selection import has_not_learnt, mean_by_seed
from ..stats import LEVEL, Estimate, bonferroni, half_at, paired_sum
from .contrasts import Contrast, Quantity, Term, describe_setting
from .records import MIN_STEPS, Records
from .verdicts import Outcome, Part

COMMAND = "mbcbench run --suite paper --profile thorough"
MIN_SEEDS, MIN_SEEDS_OF_LARGE = 6, 3  # of a verdict: with fewer than six, no exact test can be significant
LARGE = 1000  # elements in training, from which a verdict may rest on fewer seeds


def judge_contrast(test: Contrast, records: Records, tests: int, place: int) -> Part:
    """Judge a paired difference. tests: the number of parts of the claim. place: position of the setting."""
    terms = test.terms_in(place)
    measured = [records.select(term.where) for term in terms]
    data = frozenset(name for part in measured for name in part["detail.data"].dropna())
    notes = [describe_setting(test.setting_in(place)), _describe_parameters(measured)]
    label = f"{test.label} ({'; '.join(filter(None, notes))})" if any(notes) else test.label
    estimate = Estimate.of(_weighted_sum(test, terms, measured))
    if not estimate.seeds:
        return Part("undecided", f"{label}: {_describe_missing(terms, measured)}", COMMAND, data=data)
    paired = PairedTest.of(estimate, test.quantity.margin)
    trainings = pd.concat(measured).drop_duplicates(["model", "seed"])
    text = f"{label}: {describe_test(paired, test.quantity)}{_training_remark(trainings)}"
    problem = _training_problem(trainings) or _seed_problem(estimate.seeds, terms)
    if problem:
        return Part("undecided", f"{text}; {problem[0]}", problem[1], data=data, test=paired, p=paired.p)
    outcome, p = _outcome(paired, bonferroni(LEVEL, tests), expects_equality=test.expects_equality)
    if outcome != "undecided":
        return Part(outcome, text, data=data, test=paired, p=p)
    seeds = paired.seeds_for_power
    needs = "" if seeds else "more than 100 seeds: the difference lies at the margin"
    return Part(outcome, text, needs, seeds or 0, data, paired, p)


def _outcome(paired: PairedTest, joint_level: float, *, expects_equality: bool) -> tuple[Outcome, float]:
    """Return the outcome and the p-value of the test that gave it.

    Confirmation uses the 95 % level. Refutation and equivalence use the joint level of all parts, since any part may
    give them. Equivalence comes first: a difference that is real and within the margin does not matter.
    """
    estimate, alpha = paired.estimate, 1 - joint_level
    wide = half_at(estimate, joint_level)
    low, high = estimate.mean - wide, estimate.mean + wide
    if expects_equality:
        if paired.p_equivalence < 1 - LEVEL:
            return "confirmed", paired.p_equivalence
        is_refuted = low > paired.margin or high < -paired.margin
        return ("refuted" if is_refuted else "undecided"), paired.p
    if paired.p_equivalence < alpha:
        return "no difference", paired.p_equivalence
    if paired.p < 1 - LEVEL and estimate.mean > 0:
        return "confirmed", paired.p
    return ("refuted" if high < 0 else "undecided"), paired.p


def _weighted_sum(test: Contrast, terms: Sequence[Term], records: Sequence[pd.DataFrame]) -> pd.Series:
    """Return the value of a contrast by seed: +1 and -1 give a paired difference. records: of each term."""
    if any(part.empty for part in records):
        return pd.Series(dtype=float)
    samples = [mean_by_seed(part, test.column) for part in records]
    return paired_sum(samples, [term.weight for term in terms])


def _describe_missing(terms: Sequence[Term], records: Sequence[pd.DataFrame]) -> str:
    """Return `no records of DeepSets (mean)`: the models without records in their settings."""
    pairs = zip(terms, records, strict=True)
    missing = dict.fromkeys(str(term.where["model"]) for term, part in pairs if part.empty)
    return f"no records of {list_all(list(missing))}" if missing else "no records of the same seeds"


def _describe_parameters(records: Sequence[pd.DataFrame]) -> str:
    """Return `20 k and 61 k parameters`, in the order of the models; empty for one model, or without records."""
    counts: dict[str, str] = {}
    for part in filter(len, records):
        for model, known in part.groupby("model")["detail.parameters"]:
            counts[str(model)] = parameter_range(known)
    return f"{list_all(list(counts.values()))} parameters" if len(counts) > 1 and all(counts.values()) else ""


def describe_test(paired: PairedTest, quantity: Quantity) -> str:
    """Return a difference in words, with the p-values of its tests."""
    text = describe_estimate(paired.estimate, quantity)
    if paired.estimate.seeds < 2:
        return text
    unit = f" {quantity.unit}" if quantity.unit else ""
    return (
        f"{text}, p = {paired.p:.2g} (sign flips {paired.p_sign_flip:.2g}), "
        f"within {paired.margin:g}{unit}: p = {paired.p_equivalence:.2g}"
    )


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


def chosen_setting(contrasts: Sequence[Contrast], records: Records) -> int:
    """Return the position of the setting in which most contrasts of a claim have pairs, the first one on a tie.

    A claim is judged in one setting: contrasts of different image sizes do not make one verdict.
    """
    places = range(max((len(test.settings) for test in contrasts), default=1))
    if len(places) == 1:
        return 0
    counts = [sum(_has_pairs(test, records, place) for test in contrasts) for place in places]
    return counts.index(max(counts))


def _has_pairs(test: Contrast, records: Records, place: int) -> bool:
    terms = test.terms_in(place)
    return len(_weighted_sum(test, terms, [records.select(term.where) for term in terms])) > 0


def _training_problem(trainings: pd.DataFrame) -> tuple[str, str] | None:
    """Return the reason why models cannot be compared, and a remedy; None if they can be compared.

    Trainings are excluded by their length only, whatever their outcome, unless no training of a model got below the
    loss of the baseline.
    """
    steps = sorted(pd.to_numeric(trainings["detail.steps"]).dropna().unique())
    if len(steps) > 1:
        return f"trained for different numbers of steps, {list_all([f'{n:,g}' for n in steps])}", COMMAND
    if steps and steps[0] < MIN_STEPS:
        return f"trained for {steps[0]:g} steps", "a longer training: --profile thorough"
    model = _untrained(trainings)
    if model:
        return f"no training of {model} got below the loss of the baseline", "another learning rate or more steps"
    return None


def _untrained(trainings: pd.DataFrame) -> str:
    """Return the first model of which no training got below the loss of the baseline, or an empty string.

    Such a model says something about the training, not about the encoder.
    """
    stuck = has_not_learnt(trainings).groupby(trainings["model"]).all()
    return str(stuck[stuck].index[0]) if stuck.any() else ""


def _training_remark(trainings: pd.DataFrame) -> str:
    """Return a remark on trainings that ended at the baseline. It changes no verdict."""
    count = int(has_not_learnt(trainings).sum())
    return f"; remark: {count} of {len(trainings)} trainings ended at the loss of the baseline" if count else ""


def _seed_problem(seeds: int, terms: Sequence[Term]) -> tuple[str, str] | None:
    """Return the number of seeds that a verdict takes, and a remedy, if there are too few; else None."""
    sizes = [size for term in terms if isinstance(size := term.where.get("detail.train_size"), int)]
    needed = MIN_SEEDS_OF_LARGE if sizes and min(sizes) >= LARGE else MIN_SEEDS
    return (f"a verdict takes {needed} seeds", COMMAND) if seeds < needed else None
