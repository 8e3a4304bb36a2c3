"""`mbcbench.check`: check an encoder in this process, and show the results as a frame.

Unlike the command line, nothing here protects against an encoder that hangs or kills the process.
"""

import math
from collections.abc import Collection

from mbcbench.errors import UsageError
from mbcbench.protocol.build import target_name
from mbcbench.verify.check_result import CheckResult, to_check_result
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import select_laws
from mbcbench.verify.xfails import ExpectedFailures, load_xfails

DEFAULT_EXAMPLES = 400


def check(
    target: object,
    *,
    laws: Collection[str] | None = None,
    examples: int = DEFAULT_EXAMPLES,
    seconds: float | None = None,
    seed: int = 0,
    dim_in: int | None = None,
    expected_failures: ExpectedFailures = None,
    reference: object = None,
) -> CheckResult:
    """Try to falsify the laws on one encoder, in this process.

    Parameters
    ----------
    target
        A target string, an EncoderSpec, a module class or factory (called with the element width), or a module.
    laws
        Ids of the laws, by default all.
    examples
        Number of sets to try per law.
    seconds
        Time limit of a law, by default none. A law that takes longer has the status `timeout`. The limit is tested
        between examples, so it cannot end an encoder that hangs.
    seed
        Seed of the parameters and of the search.
    dim_in
        Element width `d`; by default one that fits the encoder.
    expected_failures
        Reasons by law id, or a file of them (see `mbcbench.verify.xfails.read_xfails`).
    reference
        Independent implementation for the law `reference.equal` (see `mbcbench.verify.reference.with_reference`).

    Returns
    -------
    CheckResult
        A frame with one row per law.

    Raises
    ------
    UsageError
        If the target is not an encoder, or another argument cannot be used.
    BrokenPluginError
        If the encoder cannot be imported or built.
    """
    if examples < 1:
        raise UsageError(f"examples={examples}: give at least 1")
    xfails = load_xfails(expected_failures, [target_name(target)])
    checker = Checker(target, dim_in=dim_in, seed=seed, expected_failures=xfails, reference=reference)
    checker.validate()  # a fault of the encoder itself is raised once, not reported for every law
    budget = Budget(examples, math.inf if seconds is None else seconds)
    records = [checker.judge(law_id, budget) for law_id in select_laws(laws)]
    return to_check_result(records)
