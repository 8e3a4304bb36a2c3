"""The law book in one's own test file: one test per encoder and law."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from mbcbench.errors import BrokenPluginError
from mbcbench.protocol.target import target_name
from mbcbench.records.record import Status
from mbcbench.verify.checking import (
    Bench,
    LawBrokenError,
    from_hypothesis,
    law_ids,
    raise_unless_as_claimed,
    seed_from_hypothesis,
)
from mbcbench.verify.xfails import ExpectedFailures, expected


class Check:
    """One law, to be called with an encoder: nothing happens when it is as claimed, or AssertionError tells why not."""

    def __init__(self, law: str, bench: Bench | None, examples: int | None, options: Mapping[str, Any]) -> None:
        self.law = law
        self.bench = bench
        self.examples = examples
        self.options = options

    def __call__(self, encoder: object) -> None:
        __tracebackhide__ = True
        shared = self.bench is not None and encoder is self.bench.target
        try:
            bench = self.bench if shared else Bench(encoder, seed=seed_from_hypothesis(), **self.options)
        except BrokenPluginError as error:
            raise AssertionError(f"{self.law} cannot be checked: {error}") from None
        assert bench is not None
        found = bench.judge(self.law, from_hypothesis(self.examples))
        if found.status is Status.SKIP:
            pytest.skip(found.message)
        raise_unless_as_claimed(found)

    def __repr__(self) -> str:
        return f"<law {self.law}>"


def parametrize_with_laws(
    encoders: Sequence[object],
    *,
    laws: Collection[str] | None = None,
    examples: int | None = None,
    dim_in: int | None = None,
    expected_failures: ExpectedFailures = None,
    reference: object = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test function with the arguments `encoder` and `check` once per encoder and law.

        @mbcbench.parametrize_with_laws(["deepsets-mean", MyEncoder])
        def test_laws(encoder, check):
            check(encoder)

    encoders: target strings, specs, classes, factories or modules. The other arguments are those of `mbcbench.check`;
    examples are by default what the active Hypothesis profile asks for. A law that the encoder is said to break is
    a strict xfail, one that does not apply to it is skipped with the reason.

    Raises UsageError when an encoder, a law or an expected failure is none.
    """
    names = [target_name(encoder) for encoder in encoders]
    entries = expected(expected_failures, names)
    options = {"dim_in": dim_in, "expected_failures": entries, "reference": reference}
    ids = sorted(law_ids(laws))
    benches = [_bench(encoder, options) for encoder in encoders]
    rows = [
        pytest.param(
            encoder,
            Check(law, bench, examples, options),
            id=f"{_numbered(names, at)}-{law}",
            marks=_marks(bench, law),
        )
        for at, (encoder, bench) in enumerate(zip(encoders, benches, strict=True))
        for law in ids
    ]
    return pytest.mark.parametrize(("encoder", "check"), rows)


def _bench(encoder: object, options: Mapping[str, Any]) -> Bench | None:
    """None where the encoder cannot be imported, which its tests will say."""
    try:
        return Bench(encoder, seed=seed_from_hypothesis(), **options)
    except BrokenPluginError:
        return None


def _marks(bench: Bench | None, law: str) -> list[pytest.MarkDecorator]:
    reason = bench.spec.breaks.get(law) if bench is not None else None
    return [pytest.mark.xfail(reason=reason, raises=LawBrokenError, strict=True)] if reason else []


def _numbered(names: Sequence[str], at: int) -> str:
    earlier = list(names[:at]).count(names[at])
    return f"{names[at]}#{earlier + 1}" if earlier else names[at]
