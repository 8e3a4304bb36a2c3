"""Robustness of verdicts: verdicts from shorter trainings, and from a second data set.

They do not change a verdict, but show whether it would have been different.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from mbcbench.paper import case_on

from ..formatting import format_effect
from ..selection import additional_data, is_standard
from .claim_verdicts import Claim, judge
from .contrast_verdicts import MIN_STEPS
from .contrasts import Contrast
from .verdicts import Outcome


@dataclass(frozen=True)
class OtherVerdict:
    """Verdict from other records, such as `500 steps: confirmed (+0.0230 ± 0.0060)`.

    records: their name, and the number of parts that they judge if it is not that of the claim. effect: the deciding
    difference, above zero if the claim is right.
    """

    records: str
    verdict: Outcome
    effect: str

    def __str__(self) -> str:
        return f"{self.records}: {self.verdict} ({self.effect})"


def other_verdicts(claim: Claim, rows: pd.DataFrame) -> list[OtherVerdict]:
    """Return the verdicts from other records; none for a claim that laws decide. rows: see `label_models`."""
    if not all(isinstance(test, Contrast) for test in claim.tests):
        return []
    verdicts = [_judge_parts(claim, name, records) for name, records in other_records(claim, rows)]
    return [verdict for verdict in verdicts if verdict is not None]


def _judge_parts(claim: Claim, name: str, rows: pd.DataFrame) -> OtherVerdict | None:
    """Return the verdict on the parts of a claim that have records, or None if none has."""
    judged = judge(claim, rows)
    tests = tuple(test for test, part in zip(claim.tests, judged.parts, strict=True) if part.test is not None)
    if not tests:
        return None
    if len(tests) < len(judged.parts):
        name = f"{name} ({len(tests)} of {len(judged.parts)} parts)"
        judged = judge(replace(claim, tests=tests), rows)
    test = judged.deciding.test
    assert test is not None
    return OtherVerdict(name, judged.verdict, format_effect(test.estimate.mean, test.estimate.half))


def other_records(claim: Claim, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the names and records of shorter trainings, and of other data in place of the usual ones."""
    contrasts = [test for test in claim.tests if isinstance(test, Contrast)]
    terms = [term for test in contrasts for place in range(len(test.settings)) for term in test.terms_in(place)]
    cases = {str(term.where["case"]) for term in terms}
    of_cases = rows[rows["case"].isin(cases)]
    for steps, shorter in _with_fewer_steps(of_cases[~is_standard(of_cases)]):
        yield f"{steps:,} steps", shorter
    present = set(rows["params.data"].dropna())
    for name in filter(present.__contains__, additional_data()):
        on_data = rows[rows["params.data"].eq(name)]
        usual = {case_on(name, case): case for case in cases}
        renamed = on_data[on_data["case"].isin([*usual])].copy()
        if len(renamed):
            renamed["case"], renamed["params.data"] = renamed["case"].map(usual), "usual"
            yield name, renamed


def _with_fewer_steps(rows: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the records of each number of steps that is large enough for a verdict, without the usual trainings.

    Those are the longest of their task and number of elements: large sets are trained for fewer steps.
    """
    steps = pd.to_numeric(rows["detail.steps"])
    settings = rows.reindex(columns=["case", "params.train_size"])
    usual = steps.groupby([settings[name] for name in settings], dropna=False).transform("max")
    for number in sorted(steps[steps < usual].unique()):
        if number >= MIN_STEPS:
            yield int(number), rows[steps.eq(number) & (steps < usual)]
