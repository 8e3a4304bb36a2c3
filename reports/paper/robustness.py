"""Robustness of verdicts: verdicts from shorter trainings, and from a second data set.

They do not change a verdict, but show whether it would have been different.
"""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from mbcbench.paper import case_on

from ..selection import additional_data, is_standard
from .claim_verdicts import Claim, judge
from .contrast_verdicts import MIN_STEPS
from .contrasts import Contrast


def describe_robustness(claim: Claim, rows: pd.DataFrame) -> str:
    """Return the verdicts from other records, such as `500 steps: confirmed; furniture (8 of 16 parts): undecided`.

    Empty for a claim that laws decide, and if there are no other records. rows: see `label_models`.
    """
    if not all(isinstance(test, Contrast) for test in claim.tests):
        return ""
    verdicts = [(name, _judge_parts(claim, records)) for name, records in other_records(claim, rows)]
    return "; ".join(f"{name}{verdict}" for name, verdict in verdicts if verdict)


def _judge_parts(claim: Claim, rows: pd.DataFrame) -> str:
    """Return the verdict on the parts of a claim that have records, with their number if some have none."""
    judged = judge(claim, rows)
    tests = tuple(test for test, part in zip(claim.tests, judged.parts, strict=True) if part.test is not None)
    if not tests:
        return ""
    if len(tests) == len(judged.parts):
        return f": {judged.verdict}"
    verdict = judge(replace(claim, tests=tests), rows).verdict
    return f" ({len(tests)} of {len(judged.parts)} parts): {verdict}"


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
    """Yield the records of each number of steps except the largest, and except those too small for a verdict."""
    steps = pd.to_numeric(rows["detail.steps"])
    for number in sorted(steps.dropna().unique())[:-1]:
        if number >= MIN_STEPS:
            yield int(number), rows[steps.eq(number)]
