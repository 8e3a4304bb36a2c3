"""Outcomes of tests, and the verdict that the parts of a claim give together.

confirmed: every part is confirmed. refuted: one part is refuted. no difference: no part is refuted, and one part
differs from zero by at most the margin, so that its size does not matter. undecided: all other cases.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mbcbench.errors import plural

from ..paired import PairedTest

Outcome = Literal["confirmed", "refuted", "no difference", "undecided"]
OUTCOMES: tuple[Outcome, ...] = ("confirmed", "refuted", "no difference", "undecided")


@dataclass(frozen=True)
class Part:
    """One part of a claim, judged.

    text: the result in words. would_decide, seeds: if undecided, a remedy, or the approximate number of seeds.
    data: names of the data sets. test: of the differences, if the part is a contrast with records. p: of the test that
    gave the outcome, before any adjustment; NaN for a law.
    """

    outcome: Outcome
    text: str
    would_decide: str = ""
    seeds: int = 0
    data: frozenset[str] = frozenset()
    test: PairedTest | None = None
    p: float = math.nan

    def __str__(self) -> str:
        return f"{self.outcome}: {self.text}"


@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim.

    deciding: the part that decides: the weakest of those that confirm, the strongest of those that refute.
    p: its p-value, for a refutation or equivalence times the number of parts, since any of them may give one.
    """

    verdict: Outcome
    parts: tuple[Part, ...]
    deciding: Part
    p: float

    @property
    def why(self) -> str:
        """The deciding result, in words."""
        others = sum(part.outcome == self.verdict for part in self.parts) - 1
        more = f" (and {plural(others, 'more comparison')} with this outcome)" if others > 0 else ""
        return self.deciding.text + more

    @property
    def would_decide(self) -> str:
        """Requirements for deciding all undecided parts: the largest number of seeds, and all other remedies."""
        if self.verdict != "undecided":
            return ""
        undecided = [part for part in self.parts if part.outcome == "undecided"]
        seeds = max((part.seeds for part in undecided), default=0)
        needs = (
            {f"about {seeds} seeds for 80 % power, if differences and spreads stay as they are": None} if seeds else {}
        )
        return "; ".join(needs | {part.would_decide: None for part in undecided if part.would_decide})

    @property
    def evidence(self) -> str:
        """The result of each part, in lines."""
        return "\n".join(map(str, self.parts))


def combine(parts: Sequence[Part]) -> Verdict:
    """Return the verdict that parts give together."""
    outcomes = {part.outcome for part in parts}
    outcome: Outcome = "undecided"
    if "refuted" in outcomes:
        outcome = "refuted"
    elif "no difference" in outcomes:
        outcome = "no difference"
    elif outcomes == {"confirmed"}:
        outcome = "confirmed"
    of_outcome = [part for part in parts if part.outcome == outcome] or list(parts)
    strength = [-part.p if outcome == "confirmed" else part.p for part in of_outcome]
    deciding = min(zip(strength, of_outcome, strict=True), key=lambda pair: _nan_last(pair[0]))[1]
    factor = len(parts) if outcome in ("refuted", "no difference") else 1
    return Verdict(outcome, tuple(parts), deciding, float(np.minimum(1.0, factor * deciding.p)))  # NaN stays NaN


def _nan_last(value: float) -> tuple[bool, float]:
    return math.isnan(value), value
