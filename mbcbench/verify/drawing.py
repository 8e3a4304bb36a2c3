"""Try examples that Hypothesis draws, independent of the loaded modules and of the settings of Hypothesis."""

import contextlib
import math
from collections.abc import Callable
from typing import TypeVar
from unittest import mock

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

from mbcbench.verify.law_run import Observation

MAX_SHRINKS = 2000  # attempts to make a counterexample smaller; Hypothesis itself would stop after some minutes

T = TypeVar("T")


class _Falsified(Exception):  # noqa: N818 # not an error: it tells Hypothesis what to shrink towards
    pass


def try_drawn(
    strategy: SearchStrategy[T], attempt: Callable[[T], Observation], *, max_examples: int, seed: int, shrink: bool
) -> Observation | None:
    """Try values that a strategy draws until one of them is a counterexample.

    Parameters
    ----------
    strategy
        Strategy of the values. Its integers should span less than 100 (see `mbcbench.verify.strategies`).
    attempt
        Function that tries a value.
    max_examples
        Number of values to try.
    seed
        Seed of the search.
    shrink
        True to make a counterexample smaller.

    Returns
    -------
    Observation or None
        The smallest counterexample, or None.
    """
    counterexamples: list[Observation] = []
    shrinks = 0

    @_settings(max_examples, shrink=shrink)
    @hypothesis.seed(seed)
    @hypothesis.given(strategy)
    def try_value(value: T) -> None:
        nonlocal shrinks
        if counterexamples:
            shrinks += 1
        if shrinks > MAX_SHRINKS:  # report no further failures to Hypothesis, which ends shrinking
            return
        observation = attempt(value)
        if observation.is_counterexample:
            counterexamples.append(observation)
            raise _Falsified

    try:
        with _without_local_constants():
            try_value()
    except (_Falsified, hypothesis.errors.Flaky):
        if not counterexamples:  # flaky for another reason than MAX_SHRINKS
            raise
        return counterexamples[-1]  # Hypothesis runs the smallest failing example last
    return None


def _without_local_constants() -> contextlib.AbstractContextManager[object]:
    """Keep Hypothesis from collecting constants in the sources of all modules that are loaded.

    The examples would depend on what is loaded. And to find the sources, Hypothesis reads `__file__` of every module:
    that imports a lazy module (as those of SpeechBrain), or raises its ImportError. Versions that collect no constants
    need nothing.
    """
    collect = "_get_local_constants"
    if not hasattr(providers, collect):
        return contextlib.nullcontext()
    return mock.patch.object(providers, collect, providers.Constants)  # type: ignore[attr-defined] # imported there


def _settings(max_examples: int, *, shrink: bool) -> hypothesis.settings:
    """Return settings that do not depend on the active profile, which differs under CI and may be the user's."""
    return hypothesis.settings(
        max_examples=max(1, math.ceil(max_examples)),
        derandomize=False,  # the seed decides
        database=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        stateful_step_count=1,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        print_blob=False,
        backend="hypothesis",
    )
