"""Try one law on examples, and count them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from mbcbench.errors import BrokenLawError, LawOutOfMemoryError, is_out_of_memory, one_line, user_frame, user_traceback
from mbcbench.types import JsonObject
from mbcbench.verify.cost import CostGrowth, measure_encoder, metered_size
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.isolation import restored_settings
from mbcbench.verify.law import Law, NotApplicable
from mbcbench.verify.noise import NoisyArithmetic
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import (
    COARSE_PERTURBATION,
    COVERED,
    EPS_RATIO,
    MAX_RELATIVE_BOUND,
    NEGLIGIBLE,
    SPREAD_FACTOR,
    Comparison,
    gaps,
    jitter,
    rescale,
)

NUM_TRIALS = 8
MAX_OPERATIONS = 2**21  # for one set, in one piece and streamed: many seconds
MAX_ENTRIES = 2**27  # of one tensor: 1 GiB in float64
CLEAR_RATIO = 1e3  # a gap this many times its bound is certainly not rounding
# Relative to the scale: the most that rounding in the encoder's own steps excuses in a law about the condition.
ROUNDING_OF_CONDITIONED = 1e-12
LOSES_DIGITS = "the loss is the encoder's own: the encoding is well-conditioned here, or it is random"


class LawTimeout(BaseException):  # like KeyboardInterrupt, it must pass through Hypothesis
    """Raised if a law takes longer than its time limit."""


@dataclass(frozen=True)
class Observation:
    """Result of a law on one example: gap and bound of the worst set, or the error that the encoder raised.

    Parameters
    ----------
    example
        The example.
    gap, bound
        Gap and bound of the set with the largest ratio of both.
    scale
        Magnitude of the encoding of that set.
    note
        Explanation by the law.
    error
        Type and message of the exception that the encoder raised, as one line.
    traceback
        Traceback of that exception.
    choices
        Random choices of the law, by name.
    is_applicable
        False if the law says nothing about the example; `note` is the reason.
    """

    example: Example
    gap: float = 0.0
    bound: float = 0.0
    scale: float = 0.0
    note: str = ""
    error: str = ""
    traceback: str = ""
    choices: JsonObject = field(default_factory=dict)
    is_applicable: bool = True

    @property
    def ratio(self) -> float:
        """Ratio of gap and bound, infinite for an error."""
        if self.error:
            return math.inf
        return self.gap / self.bound if self.bound > 0 else (math.inf if self.gap > 0 else 0.0)

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key, the worst last: the ratio, and where that is clear the gap (see `_worst_first`)."""
        return min(self.ratio, CLEAR_RATIO), self.gap

    @property
    def relative_bound(self) -> float:
        """Ratio of bound and scale: the relative error that a pass leaves open."""
        return self.bound / self.scale if self.scale > 0 else 0.0

    @property
    def is_counterexample(self) -> bool:
        """True if the example breaks the law."""
        return bool(self.error) or self.gap > self.bound

    @property
    def is_undecided(self) -> bool:
        """True if the example neither breaks nor supports the law: its bound is as large as an error."""
        return not self.is_counterexample and self.relative_bound > MAX_RELATIVE_BOUND * (1 + 1e-9)


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

    Attributes
    ----------
    first_counterexample
        The first counterexample, as it was found.
    """

    law: Law
    subjects: Sequence[Subject]
    seconds: float = math.inf
    began: float = field(default_factory=time.perf_counter)
    sets_tried: int = 0
    sets_until_broken: int = 0
    num_applicable: int = 0
    reason_not_applicable: str = ""
    worst: Observation = field(default_factory=lambda: Observation(Example(sizes=())))
    first_counterexample: Observation | None = None
    undecided: Observation | None = None
    relative_bound: float = 0.0

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
        subject, data = self._prepare(example)
        self.sets_tried += len(example.kinds) if self.law.batched else 1
        try:
            self._require_affordable(data.x)
            observation = self._observe(data, self._compare(subject, data))
        except NotApplicable as reason:
            self.reason_not_applicable = self.reason_not_applicable or str(reason)
            return Observation(example, note=str(reason), is_applicable=False)
        except BrokenLawError:
            raise
        except Exception as error:  # raised by the encoder
            if is_out_of_memory(error):
                raise LawOutOfMemoryError(str(error)) from error
            observation = Observation(
                example,
                error=f"{one_line(error)}{user_frame(error)}",
                traceback=user_traceback(error),
                choices=data.choices,
            )
        self.num_applicable += 1
        if observation.is_counterexample and self.first_counterexample is None:
            self.first_counterexample, self.sets_until_broken = observation, self.sets_tried
        if not observation.error and observation.rank >= self.worst.rank:
            self.worst = observation
        return observation

    def _require_affordable(self, x: Tensor) -> None:
        """Raise NotApplicable for sets that are too large for an encoder whose cost grows quickly with their size."""
        batch_size, n = x.shape[:2]
        if n <= 2 * metered_size(self.domain) or self._costs is None:
            return
        cost = self._costs.predict(n)
        if cost.operations > MAX_OPERATIONS or cost.entries * batch_size > MAX_ENTRIES:
            raise NotApplicable(f"sets of {n} elements would take too much memory or too many operations")

    @cached_property
    def _costs(self) -> CostGrowth | None:
        """Costs of encoding two small sets, or None if they are not known."""
        return measure_encoder(self.subjects[0])

    def rank_sets(self, example: Example) -> list[int]:
        """Return the positions of the sets of an example in the batch, the worst first."""
        try:
            return _worst_first(self._compare(*self._prepare(example)))
        except Exception:  # raised by the encoder: no set is worse than another
            return list(range(len(example.kinds)))

    def _prepare(self, example: Example) -> tuple[Subject, ExampleData]:
        """Return the encoder that an example is tried on, and the data.

        A law about the condition of the data is tried near ties: on a tie, no correct encoder has a condition.
        """
        subject = self.subjects[example.variant % len(self.subjects)]
        data = ExampleData(example, subject.dim_in)
        return self._beside_ties(subject, data) if self.law.conditioned else (subject, data)

    @staticmethod
    def _beside_ties(subject: Subject, data: ExampleData) -> tuple[Subject, ExampleData]:
        """Return slightly changed data, and the encoder with a condition that excludes its own rounding."""
        return subject.with_perturbation(COARSE_PERTURBATION), _moved_apart(ExampleData(data.example, subject.dim_in))

    def _fresh_data(self, subject: Subject, data: ExampleData, dtype: torch.dtype = torch.float64) -> ExampleData:
        """Return the data of an example again, without the choices of the law, to try it in other arithmetic."""
        fresh = ExampleData(data.example, subject.dim_in, dtype=dtype)
        return _moved_apart(fresh) if self.law.conditioned else fresh

    @restored_settings()
    def _compare(self, subject: Subject, data: ExampleData) -> Comparison:
        """Check the law. If a gap is in doubt, add the rounding error measured in other arithmetic to its bound.

        Rounding that changes an encoding by more than `MAX_RELATIVE_BOUND` of its scale excuses nothing. Only
        the condition of the encoding can explain such a gap, which `_expose_losses` examines.
        """
        comparison = self.law.check(subject, data)
        if not isinstance(comparison, Comparison):
            kind = type(comparison).__name__
            raise BrokenLawError(f"{self.law.id} returned {kind}, not a Comparison; use subject.compare")
        if self.law.measures:
            return comparison
        if bool((comparison.gap.isnan() | comparison.bound.isnan()).any()):
            raise BrokenLawError(f"{self.law.id} returned a gap or a bound that is NaN; use subject.compare")
        gap, scale = comparison.gap, self._scale(subject, comparison)
        comparison = _excuse_negligible(comparison, NEGLIGIBLE * scale)
        limit = MAX_RELATIVE_BOUND * scale
        excusable = ROUNDING_OF_CONDITIONED / MAX_RELATIVE_BOUND * limit if self.law.conditioned else limit
        comparison = _add_rounding(
            comparison, excusable, lambda trial: EPS_RATIO * self._float32_gap(subject, data, trial)
        )
        # An error in the algebra stays as it is. So may a rounding error by chance, as a whole number of epsilons.
        comparison = _add_rounding(
            comparison, excusable, lambda trial: (self._noisy_gap(subject, data, trial) - gap).abs(), clear=math.inf
        )
        return self._expose_losses(subject, data, comparison, limit)

    def _scale(self, subject: Subject, comparison: Comparison) -> Tensor:
        """Return the scale of the encodings (`B`): the magnitude of each, but at least that of ordinary data."""
        own = torch.zeros_like(comparison.gap) if comparison.scale is None else comparison.scale.double()
        return own.clamp(min=subject.scale)

    def _expose_losses(self, subject: Subject, data: ExampleData, comparison: Comparison, limit: Tensor) -> Comparison:
        """Return the comparison with the bound at most `limit` (`B`), unless a set stays undecided.

        A gap above the limit and below the bound is not a rounding error. It breaks the law if two calls of the encoder
        give two encodings, or if the law is also broken near this set, away from ties, by more than the condition
        allows. Otherwise the set is undecided: its bound stays.
        """
        doubtful = (comparison.gap > limit) & (comparison.gap <= comparison.bound)
        if not bool(doubtful.any()):
            return comparison._replace(bound=torch.minimum(comparison.bound, limit))
        exposed = self._is_random(subject, data, limit) | self._breaks_nearby(subject, data)
        note = comparison.note or (LOSES_DIGITS if bool((doubtful & exposed).any()) else "")
        bound = torch.where(doubtful & ~exposed, comparison.bound, torch.minimum(comparison.bound, limit))
        return comparison._replace(bound=bound, note=note)

    def _is_random(self, subject: Subject, data: ExampleData, limit: Tensor) -> Tensor:
        """Return for each set (`B`) whether two calls give it two encodings."""
        return gaps(subject.encode(data.x), subject.encode(data.x)) > limit

    def _breaks_nearby(self, subject: Subject, data: ExampleData) -> Tensor:
        """Return for each set (`B`) whether the law is broken near it by more than the condition explains."""
        try:
            comparison = self.law.check(*self._beside_ties(subject, data))
        except Exception:  # raised by the law, which does not apply there, or by the encoder: it shows nothing
            return torch.zeros(len(data.x), dtype=torch.bool)
        limit = MAX_RELATIVE_BOUND * self._scale(subject, comparison)
        return (comparison.gap > limit) & (comparison.gap > comparison.bound)

    def _float32_gap(self, subject: Subject, data: ExampleData, trial: int) -> Tensor:
        """Return the gap of each set in float32 (`B`)."""
        float32_data = self._fresh_data(subject, data, torch.float32)
        if not subject.domain.vocabulary:
            float32_data.x = rescale(float32_data.x, torch.Generator().manual_seed(trial))
        return self.law.check(subject.in_float32(trial), float32_data).gap.double()

    def _noisy_gap(self, subject: Subject, data: ExampleData, trial: int) -> Tensor:
        """Return the gap of each set in noisy arithmetic (`B`)."""
        fresh = self._fresh_data(subject, data)
        with NoisyArithmetic(trial):
            return self.law.check(subject.with_perturbation(None), fresh).gap.double()

    def _observe(self, data: ExampleData, comparison: Comparison) -> Observation:
        """Return the worst set as an observation; remember an undecided one, and the largest relative bound."""
        scale = self._scale(self.subjects[data.example.variant % len(self.subjects)], comparison)
        worst = _observe_set(data, comparison, scale, _worst_first(comparison)[0])
        if not self.law.measures:
            relative = torch.where(scale > 0, comparison.bound / scale, torch.zeros_like(scale))
            loosest = _observe_set(data, comparison, scale, int(relative.argmax()))
            self.relative_bound = max(self.relative_bound, loosest.relative_bound)
            if loosest.is_undecided and self.undecided is None:
                self.undecided = loosest
        return worst


def _worst_first(comparison: Comparison) -> list[int]:
    """Return the positions of the sets of a batch, by the ratio of gap and bound, and where that is clear by the gap.

    Clearly broken sets have gaps far above the bound, whose digits are noise: their ratios differ between processors.
    """
    ratio = comparison.ratio.nan_to_num(nan=math.inf).clamp(max=CLEAR_RATIO)
    by_gap = comparison.gap.argsort(descending=True, stable=True)
    order: list[int] = by_gap[ratio[by_gap].argsort(descending=True, stable=True)].tolist()
    return order


def _moved_apart(data: ExampleData) -> ExampleData:
    """Move the elements of each set apart, so that no two are equal. Tokens are left as they are."""
    if not data.example.vocabulary:
        data.x = jitter(data.x, torch.Generator().manual_seed(data.example.seed))
    return data


def _excuse_negligible(comparison: Comparison, negligible: Tensor) -> Comparison:
    """Return the comparison with a bound that covers gaps of at most `negligible` (`B`) between two encodings.

    Where terms cancel exactly, as for equal elements, the bound is zero, and the gap may be the square of a rounding
    error.
    """
    if comparison.scale is None:
        return comparison
    covering = torch.where(comparison.gap <= negligible, comparison.gap / COVERED, 0.0)
    return comparison._replace(bound=torch.maximum(comparison.bound, covering.to(comparison.bound.dtype)))


def _add_rounding(
    comparison: Comparison, excusable: Tensor, measure: Callable[[int], Tensor], *, clear: float = CLEAR_RATIO
) -> Comparison:
    """Add the rounding of trials in other arithmetic (`B`, by trial) to the bound of sets whose gap is in doubt.

    With few elements, a trial may round nothing, so further trials follow until each set in doubt is decided:
    its gap is covered by rounding, or more than `clear` times as large, so that only the algebra explains it. A trial
    that the encoder does not support shows nothing.
    """
    doubtful = comparison.gap <= excusable
    rounding = torch.zeros_like(comparison.bound)
    for trial in range(NUM_TRIALS):
        covered = comparison.gap <= COVERED * (comparison.bound + rounding)
        algebra = (rounding > 0) & (comparison.gap > clear * rounding)
        if not bool((doubtful & ~covered & ~algebra).any()):
            break
        try:
            gap = measure(trial).nan_to_num(nan=0.0, posinf=0.0)
        except Exception:  # raised by the encoder
            break
        rounding = torch.maximum(rounding, SPREAD_FACTOR * gap)
    return comparison._replace(bound=comparison.bound + rounding)


def _observe_set(data: ExampleData, comparison: Comparison, scale: Tensor, number: int) -> Observation:
    return Observation(
        data.example,
        float(comparison.gap[number]),
        float(comparison.bound[number]),
        float(scale[number]),
        comparison.note,
        choices=data.choices,
    )
