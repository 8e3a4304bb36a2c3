"""Robustness of verdicts: verdicts from shorter trainings, and from a second data set.

They do not change a verdict, but show whether it would have been different.
"""

from dataclasses import dataclass, replace

from ..formatting import format_effect
from .claim_verdicts import Claim, judge
from .contrasts import Contrast
from .records import Records
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


def other_verdicts(claim: Claim, records: Records) -> list[OtherVerdict]:
    """Return the verdicts from other records; none for a claim that laws decide."""
    if not all(isinstance(test, Contrast) for test in claim.tests):
        return []
    verdicts = [_judge_parts(claim, name, others) for name, others in records.others(claim.cases)]
    return [verdict for verdict in verdicts if verdict is not None]


def _judge_parts(claim: Claim, name: str, records: Records) -> OtherVerdict | None:
    """Return the verdict on the parts of a claim that have records, or None if none has."""
    judged = judge(claim, records)
    tests = tuple(test for test, part in zip(claim.tests, judged.parts, strict=True) if part.test is not None)
    if not tests:
        return None
    if len(tests) < len(judged.parts):
        name = f"{name} ({len(tests)} of {len(judged.parts)} parts)"
        judged = judge(replace(claim, tests=tests), records)
    test = judged.deciding.test
    assert test is not None
    return OtherVerdict(name, judged.verdict, format_effect(test.estimate.mean, test.estimate.half))
