"""`mbcbench.check`: check an encoder in this process, and show the results as a frame.

Unlike the command line, nothing here protects against an encoder that hangs or kills the process.
"""

import math
from collections.abc import Collection
from pathlib import Path

from mbcbench.errors import check_positive
from mbcbench.types import Device, Hyper
from mbcbench.verify.check_result import CheckResult, to_check_result
from mbcbench.verify.checker import Budget
from mbcbench.verify.options import checker_options
from mbcbench.verify.validate import why_width
from mbcbench.verify.xfails import ExpectedFailures

DEFAULT_EXAMPLES = 400


def check(  # noqa: PLR0913 # an option of a command is an argument here
    target: object,
    *,
    laws: Collection[str] | None = None,
    skip_laws: Collection[str] | None = None,
    examples: int = DEFAULT_EXAMPLES,
    seconds: float | None = None,
    seed: int = 0,
    dim_in: int | None = None,
    expected_failures: ExpectedFailures = None,
    reference: object = None,
    hyper: Hyper | None = None,
    weights: str | Path = "",
    weights_key: str = "",
    device: Device = "cpu",
) -> CheckResult:
    """Try to falsify the laws on one encoder, in this process.

    Parameters
    ----------
    target
        A target string, an EncoderSpec, a module class or factory (called with the element width), or a module.
    laws
        Ids of the laws, globs (`mbc.m*`) or groups (`mbc`); by default all that are not slow.
    skip_laws
        Laws to leave out, given in the same way.
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
        Reasons by law id, or a file of them (see `mbcbench.verify.xfails.read_xfails`). An empty reason withdraws one
        of the spec, which may not hold with other hyper-parameters.
    reference
        Independent implementation for the law `reference.equal` (see `mbcbench.verify.reference.with_reference`).
    hyper
        Hyper-parameters that override those of the spec.
    weights
        File with trained weights: a state_dict, or a checkpoint that holds one.
    weights_key
        The dict in that file, or the prefix of its names, that holds the weights; by default the only one that fits.
    device
        Device on which the encoder runs. The laws themselves run on the CPU.

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
    check_positive(examples=examples, dim_in=dim_in)
    options = checker_options(
        [target],
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
    checker = options.make_checker(target, seed)
    checker.validate()  # a fault of the encoder itself is raised once, not reported for every law
    budget = Budget(examples, math.inf if seconds is None else seconds)
    records = [checker.judge(law_id, budget) for law_id in options.law_ids]
    reason = "" if dim_in else why_width(checker.spec)
    width = f"elements of width {checker.dim_in}, {reason}; dim_in=N sets another" if reason else ""
    return to_check_result(records, note=width)
