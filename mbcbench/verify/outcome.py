"""Outcome of a law: interpret the result of a search, given the claims and expected failures of the encoder."""

from typing import TYPE_CHECKING

from mbcbench.records.record import Status
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.isolation import isolated, setting_changed_by
from mbcbench.verify.law import Law
from mbcbench.verify.law_run import Observation
from mbcbench.verify.search import SearchResult

if TYPE_CHECKING:
    from mbcbench.verify.checker import Checker

DETERMINISM = "hygiene.determinism"
RNG = "hygiene.rng"


def outcome(checker: "Checker", law: Law, result: SearchResult, note: str) -> tuple[Status, str]:
    """Return status and message of a law that was tried.

    Parameters
    ----------
    checker
        Checker of the encoder.
    law
        The law.
    result
        Result of the search.
    note
        Remark on the result.

    Returns
    -------
    tuple[Status, str]
        Status and message.
    """
    expected = checker.breaks.get(law.id, "")
    error = result.counterexample.error if result.counterexample is not None else ""
    if error:
        return (Status.XFAIL, f"{expected} ({error})") if expected else (Status.ERROR, error)
    if not law.can_fail(checker.spec.claims, checker.breaks):
        return Status.OK, law.describe_outcome(holds=result.holds, note=result.worst.note)
    if result.counterexample is not None:
        remark = note or result.counterexample.note
        return Status.XFAIL if expected else Status.FAIL, join_reasons(expected, remark, _doubt(checker, law))
    if result.undecided is not None:
        return Status.UNDECIDED, join_reasons(_describe_undecided(result.undecided), note)
    if expected:
        source = "the file (or list) of expected failures" if law.id in checker.listed_failures else "the spec"
        message = f"no counterexample in {result.examples} examples, though {source} says: {expected}"
        return Status.XPASS, join_reasons(message, note)
    return Status.PASS, note or checker.spec.claims.get(law.id, "")


def _doubt(checker: "Checker", law: Law) -> str:
    """Return what else about the encoder may be the reason why it breaks a law, or an empty string."""
    if not checker.deterministic and law.id != DETERMINISM:
        return f"not deterministic in eval mode: fix {DETERMINISM} first"
    if law.id == RNG:
        return ""
    subject = checker.subjects()[0]
    x = ExampleData(subject.domain.fit(Example(sizes=(3,))), subject.dim_in).x
    with isolated(checker.seed):
        changed = setting_changed_by(lambda: subject.module(x))
    return f"{changed} when it was called: fix {RNG} first" if changed else ""


def _describe_undecided(observation: Observation) -> str:
    return (
        f"a gap of {observation.gap:.2g} at n={observation.example.n} shows nothing: rounding may explain up to "
        f"{observation.bound:.2g}, where the encoding is about {observation.scale:.2g}"
    )


def join_reasons(*parts: str) -> str:
    """Return the parts that are not empty, separated by semicolons."""
    return "; ".join(part for part in parts if part)
