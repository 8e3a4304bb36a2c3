"""Laws in your own test file: one test per encoder and law."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest

from mbcbench.errors import BrokenPluginError, check_lists
from mbcbench.protocol.build import target_name
from mbcbench.records.record import Status
from mbcbench.types import Device, Hyper
from mbcbench.verify.assertions import (
    LawBrokenError,
    assert_as_claimed,
    budget_from_hypothesis,
    seed_from_hypothesis,
)
from mbcbench.verify.checker import Checker
from mbcbench.verify.options import CheckerOptions, checker_options
from mbcbench.verify.xfails import ExpectedFailures


class LawCheck:
    """The argument `check` of a test: call it with an encoder to check one law.

    Parameters
    ----------
    law_id
        Id of the law.
    checker
        Checker of the encoder that the test is parametrized with, shared by its tests; None if it cannot be imported.
    examples
        Number of sets to try; None for what the Hypothesis profile asks for.
    options
        Arguments for the checker of another encoder.
    """

    def __init__(self, law_id: str, checker: Checker | None, examples: int | None, options: CheckerOptions) -> None:
        self.law_id = law_id
        self.checker = checker
        self.examples = examples
        self.options = options

    def __call__(self, encoder: object) -> None:
        """Check the law on `encoder`; raise AssertionError with the counterexample if it is not as claimed."""
        __tracebackhide__ = True
        try:
            checker = self._checker_of(encoder)
        except BrokenPluginError as error:
            raise AssertionError(f"{self.law_id} cannot be checked: {error}") from None
        record = checker.judge(self.law_id, budget_from_hypothesis(self.examples))
        if record.status is Status.SKIP:
            pytest.skip(record.message)
        if record.status is Status.UNDECIDED:
            pytest.skip(f"undecided: {record.message}")
        if record.status is Status.XFAIL and self.law_id not in checker.spec.breaks:
            pytest.xfail(record.message)  # an encoder that reads the order; what the spec breaks has a mark
        assert_as_claimed(record)

    def _checker_of(self, encoder: object) -> Checker:
        if self.checker is not None and encoder is self.checker.target:
            return self.checker
        return self.options.make_checker(encoder, seed_from_hypothesis())

    def __repr__(self) -> str:
        return f"<law {self.law_id}>"


def parametrize_with_laws(  # noqa: PLR0913 # as many as `mbcbench check` has options
    encoders: Sequence[object],
    *,
    laws: Collection[str] | None = None,
    skip_laws: Collection[str] | None = None,
    examples: int | None = None,
    dim_in: int | None = None,
    expected_failures: ExpectedFailures = None,
    reference: object = None,
    hyper: Hyper | None = None,
    weights: str | Path = "",
    weights_key: str = "",
    device: Device = "cpu",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test function with the arguments `encoder` and `check` once per encoder and law.

        @mbcbench.parametrize_with_laws(["deepsets-mean", MyEncoder])
        def test_laws(encoder, check):
            check(encoder)

    A law that an encoder is expected to break is a strict xfail; one that does not apply is skipped with the reason.

    Parameters
    ----------
    encoders
        Target strings, specs, classes, factories or modules.
    laws
        Ids of the laws, globs (`mbc.m*`) or groups (`mbc`); by default all that are not slow.
    skip_laws
        Laws to leave out, given in the same way.
    examples
        Sets to try per law; by default four times `max_examples` of the active Hypothesis profile.
    dim_in
        Element width `d`; by default one that fits the encoder.
    expected_failures
        Reasons by `law-id` or `TARGET::law-id`, or a file of them (see `mbcbench.verify.xfails.read_xfails`).
    reference
        Independent implementation for the law `reference.equal` (see `mbcbench.verify.reference.with_reference`).
    hyper
        Hyper-parameters that override those of the spec.
    weights
        File with trained weights: a state_dict, or a checkpoint that holds one.
    weights_key
        The dict in that file, or the prefix of its names, that holds the weights; by default the only one that fits.
    device
        Device on which the encoders run. The laws themselves run on the CPU.

    Returns
    -------
    pytest.MarkDecorator
        Decorator of the test function.

    Raises
    ------
    UsageError
        If a target is not an encoder, or there is no such law or expected failure.
    """
    check_lists(encoders=encoders)
    names = [target_name(encoder) for encoder in encoders]
    options = checker_options(
        encoders,
        laws=laws,
        skip_laws=skip_laws,
        dim_in=dim_in,
        expected_failures=expected_failures,
        reference=reference,
        hyper=hyper,
        weights=weights,
        weights_key=weights_key,
        device=device,
    )
    parameters: list[pytest.ParameterSet] = []
    for position, encoder in enumerate(encoders):
        checker = _try_make_checker(encoder, options)
        name = _unique_name(names, position)
        for law_id in sorted(options.law_ids):
            law_check = LawCheck(law_id, checker, examples, options)
            parameters.append(_parameter(encoder, law_check, f"{name}-{law_id}"))
    return pytest.mark.parametrize(("encoder", "check"), parameters)


def _try_make_checker(encoder: object, options: CheckerOptions) -> Checker | None:
    """Return a checker, or None if the encoder cannot be imported, which its tests will report."""
    try:
        return options.make_checker(encoder, seed_from_hypothesis())
    except BrokenPluginError:
        return None


def _parameter(encoder: object, law_check: LawCheck, test_id: str) -> "pytest.ParameterSet":
    """Return the arguments of one test, marked if the encoder is expected to break the law."""
    reason = law_check.checker.spec.breaks.get(law_check.law_id) if law_check.checker is not None else None
    marks = [pytest.mark.xfail(reason=reason, raises=LawBrokenError, strict=True)] if reason else []
    return pytest.param(encoder, law_check, id=test_id, marks=marks)


def _unique_name(names: Sequence[str], position: int) -> str:
    """Return the name at a position, numbered if it occurs earlier."""
    earlier = list(names[:position]).count(names[position])
    return f"{names[position]}#{earlier + 1}" if earlier else names[position]
