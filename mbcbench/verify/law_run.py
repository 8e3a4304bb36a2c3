"""Try one law on examples, and keep count."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mbcbench.errors import LawOutOfMemoryError, is_out_of_memory, one_line
from mbcbench.types import JsonObject
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import COVERED, EPS_RATIO, SPREAD_FACTOR, Comparison, rescale

FLOAT32_TRIALS = 8
CLEAR_RATIO = 1e3  # a gap this many times its bound is certainly not rounding
OBVIOUS_RATIO = 1e6  # ... and is not tried again in float32


class LawTimeout(BaseException):  # like KeyboardInterrupt, it must pass through Hypothesis
    """A law took longer than its time limit."""


@dataclass(frozen=True)
class Observation:
    """What a law showed on one example: gap and bound of the worst set, or the error that the encoder raised.

    Parameters
    ----------
    example
        The example.
    gap, bound
        Gap and bound of the set with the largest ratio of both.
    note
        Explanation of the law.
    error
        Type and message of the exception that the encoder raised, as one line.
    choices
        What the law chose itself, by name.
    """

    example: Example
    gap: float = 0.0
    bound: float = 0.0
    note: str = ""
    error: str = ""
    choices: JsonObject = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ratio of gap and bound, infinite for an error."""
        if self.error:
            return math.inf
        return self.gap / self.bound if self.bound > 0 else (math.inf if self.gap > 0 else 0.0)

    @property
    def is_counterexample(self) -> bool:
        """True if the example breaks the law."""
        return bool(self.error) or self.gap > self.bound


@dataclass
class LawRun:
    """One law and one encoder: tries examples, counts the sets and remembers the worst.

    Parameters
    ----------
    law
        The law.
    subjects
        The encoder, once per parameter set; an example's `variant` says which one it is tried on.
    seconds
        Time limit. An example that is tried after it raises LawTimeout: a slow machine may prevent a result, but it
        never changes one.
    """

    law: Law
    subjects: Sequence[Subject]
    seconds: float = math.inf
    began: float = field(default_factory=time.perf_counter)
    sets_tried: int = 0
    sets_until_broken: int = 0
    worst: Observation = field(default_factory=lambda: Observation(Example(sizes=())))

    @property
    def domain(self) -> Domain:
        """Inputs that the encoder admits."""
        return self.subjects[0].domain

    @property
    def min_size(self) -> int:
        """Smallest number of elements on which the law may be tried."""
        return self.law.min_size + self.domain.num_added

    @property
    def examples(self) -> int:
        """Number of sets tried up to the first counterexample, or in total if there is none."""
        return self.sets_until_broken or self.sets_tried

    def try_example(self, example: Example) -> Observation:
        """Try the law on an example and return its worst set; raise LawTimeout after the time limit."""
        if time.perf_counter() - self.began > self.seconds:
            raise LawTimeout
        subject = self._subject(example)
        data = ExampleData(example, subject.dim_in)
        self.sets_tried += len(example.kinds) if self.law.batched else 1
        try:
            observation = _observe_worst_set(data, self._compare(subject, data))
        except Exception as error:  # the encoder's own
            if is_out_of_memory(error):
                raise LawOutOfMemoryError(str(error)) from error
            observation = Observation(example, error=one_line(error), choices=data.choices)
        if observation.is_counterexample and not self.sets_until_broken:
            self.sets_until_broken = self.sets_tried
        rank = (observation.ratio, observation.gap)
        if not observation.error and rank >= (self.worst.ratio, self.worst.gap):
            self.worst = observation
        return observation

    def rank_sets(self, example: Example) -> list[int]:
        """Return the positions of the sets of an example in the batch, the worst first."""
        subject = self._subject(example)
        try:
            ratio = self._compare(subject, ExampleData(example, subject.dim_in)).ratio
        except Exception:  # the encoder's own: no set is worse than another
            return list(range(len(example.kinds)))
        return [int(i) for i in ratio.nan_to_num(nan=math.inf).argsort(descending=True)]

    def _subject(self, example: Example) -> Subject:
        return self.subjects[example.variant % len(self.subjects)]

    def _compare(self, subject: Subject, data: ExampleData) -> Comparison:
        """Check the law, and add what float32 says about rounding to the bound of a set whose gap is in doubt.

        In float32 rounding is 2^29 times as large, whereas an error in the algebra is what it was. On few elements it
        can happen that nothing is rounded, so further trials use other digits in input and parameters, until each set
        in doubt is decided: its gap is covered by rounding, or so much larger that only the algebra explains it.
        """
        comparison = self.law.check(subject, data)
        doubtful = (comparison.gap > COVERED * comparison.bound) & (comparison.gap < OBVIOUS_RATIO * comparison.bound)
        rounding = torch.zeros_like(comparison.bound)
        for trial in range(FLOAT32_TRIALS):
            covered = comparison.gap <= COVERED * (comparison.bound + rounding)
            algebra = (rounding > 0) & (comparison.gap > CLEAR_RATIO * rounding)
            if not bool((doubtful & ~covered & ~algebra).any()):
                break
            float32_gap = self._float32_gap(subject, data, trial)
            rounding = torch.maximum(rounding, SPREAD_FACTOR * EPS_RATIO * float32_gap)
        return comparison._replace(bound=comparison.bound + rounding)

    def _float32_gap(self, subject: Subject, data: ExampleData, trial: int) -> Tensor:
        """Return the gap of each set in float32 (`B`), zero for an encoder that does not support it."""
        float32_data = ExampleData(data.example, subject.dim_in, dtype=torch.float32)
        float32_data.x = rescale(float32_data.x, torch.Generator().manual_seed(trial))
        try:
            gap = self.law.check(subject.in_float32(trial), float32_data).gap.double()
        except Exception:  # the encoder's own
            return torch.zeros(len(data.x), dtype=torch.float64)
        return gap.nan_to_num(nan=0.0, posinf=0.0)


def _observe_worst_set(data: ExampleData, comparison: Comparison) -> Observation:
    worst = int(comparison.ratio.nan_to_num(nan=math.inf).argmax())
    return Observation(
        data.example,
        float(comparison.gap[worst]),
        float(comparison.bound[worst]),
        comparison.note,
        choices=data.choices,
    )
