"""Records as assertions, and the settings of the Hypothesis profile, for pytest and `parametrize_with_laws`."""

import zlib

import hypothesis

from mbcbench.records.record import BROKEN, Record, Status
from mbcbench.verify.checker import Budget

SETS_PER_EXAMPLE = 4  # a profile's max_examples is meant for slower tests


class LawBrokenError(AssertionError):
    """An encoder breaks a law; the message is the text of the counterexample."""


class UnexpectedPassError(AssertionError):
    """An encoder is expected to break a law, and no counterexample was found."""


class EncoderRaisedError(AssertionError):
    """An encoder raised, took too long or ran out of memory on an input that the law allows."""


def assert_as_claimed(record: Record) -> None:
    """Raise AssertionError for a broken law (even an expected one), an unexpected pass, or an encoder that failed.

    An encoder fails if it raises, takes too long or runs out of memory.
    """
    __tracebackhide__ = True
    if record.status in (Status.FAIL, Status.XFAIL):
        raise LawBrokenError(explain(record))
    if record.status is Status.XPASS:
        raise UnexpectedPassError(f"{record.case} holds for {record.encoder}: {record.message}")
    if record.status in BROKEN:
        raise EncoderRaisedError(explain(record))


def explain(record: Record) -> str:
    """Return a failure as text: the counterexample, and how to reproduce it."""
    if "text" not in record.detail:
        return f"{record.case} cannot be checked on {record.encoder}: {record.message}"
    text = record.detail["text"]
    message = f"  message   {record.message}\n" if record.message not in text else ""
    return f"{text}\n{message}\nReproduce it with\n\n{_indent(record.detail['reproduce'])}"


def summarize(record: Record) -> str:
    """Return the outcome of a law in one line."""
    numbers = "" if record.value is None else f"gap {record.value:.3g}, bound {record.detail['bound']:.3g}, "
    message = f"; {record.message}" if record.message else ""
    return f"{record.status} ({numbers}{record.detail.get('examples', 0)} examples){message}"


def budget_from_hypothesis(examples: int | None = None) -> Budget:
    """Return the budget that the active Hypothesis profile asks for: its `max_examples` and its example database."""
    profile = hypothesis.settings()
    return Budget(examples or SETS_PER_EXAMPLE * profile.max_examples, database=profile.database)


def seed_from_hypothesis() -> int:
    """Return the seed of `--hypothesis-seed`, or 0."""
    seed: object = hypothesis.core.global_force_seed
    if seed is None:
        return 0
    return seed % 2**32 if isinstance(seed, int) else zlib.crc32(str(seed).encode())


def _indent(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.rstrip().splitlines())
