"""Options that `mbcbench.check` and `parametrize_with_laws` share."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mbcbench.protocol.build import target_name
from mbcbench.protocol.customize import BuildOptions
from mbcbench.types import Device, Hyper
from mbcbench.verify.checker import Checker
from mbcbench.verify.law import select_laws
from mbcbench.verify.xfails import ExpectedFailures, load_xfails


@dataclass(frozen=True)
class CheckerOptions:
    """Laws to check, and the arguments with which a `Checker` is made."""

    law_ids: Sequence[str] = ()
    build: BuildOptions = field(default_factory=BuildOptions)
    expected_failures: dict[str, str] = field(default_factory=dict)
    reference: object = None

    def make_checker(self, encoder: object, seed: int) -> Checker:
        """Return a checker for an encoder; raise like `Checker`."""
        return Checker(
            encoder,
            seed=seed,
            expected_failures=self.expected_failures,
            reference=self.reference,
            options=self.build,
        )


def checker_options(  # noqa: PLR0913 # as many as `mbcbench check` has options
    encoders: Sequence[object],
    *,
    laws: Collection[str] | None,
    skip_laws: Collection[str] | None,
    dim_in: int | None,
    expected_failures: ExpectedFailures,
    reference: object,
    hyper: Hyper | None,
    weights: str | Path,
    weights_key: str,
    device: Device,
) -> CheckerOptions:
    """Return the options given as arguments of `mbcbench.check`; raise UsageError if one cannot be used."""
    build = BuildOptions(dim_in=dim_in, hyper=hyper or {}, weights=str(weights), weights_key=weights_key, device=device)
    xfails = load_xfails(expected_failures, [target_name(encoder) for encoder in encoders])
    return CheckerOptions(select_laws(laws, skip_laws), build, xfails, reference)
