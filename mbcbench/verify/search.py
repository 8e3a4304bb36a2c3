"""The search for a counterexample: the smallest cases one by one, then Hypothesis, then simpler data that fails too."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
import numpy as np
import torch
from hypothesis import HealthCheck, Phase
from hypothesis.database import ExampleDatabase
from torch import Tensor

from mbcbench.errors import one_line
from mbcbench.verify import strategies
from mbcbench.verify.example import Array, Case, Drawn, small_scope
from mbcbench.verify.law import Law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import COVERED, PRECISION, SPREAD, Evidence, nearby

FEW_EXAMPLES = 320  # as many belong to the smallest cases alone; of more, half are drawn
TRIES = 4
FEW_NUMBERS = 64
WRITTEN = 1024  # elements; the data of a larger set is not written out
PLAIN = 1e3  # gap / bound from which on a fault needs no second look
OBVIOUS = 1e6  # ... and no second opinion in float32
DRAWS = 8


@dataclass(frozen=True)
class Finding:
    """One set that was looked at: the case, the lane, its gap and bound; `error` where the encoder raised."""

    case: Case
    gap: float = 0.0
    bound: float = 0.0
    note: str = ""
    error: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        if self.error:
            return math.inf
        return self.gap / self.bound if self.bound > 0 else (math.inf if self.gap > 0 else 0.0)

    @property
    def breaks(self) -> bool:
        """Whether it is a counterexample."""
        return bool(self.error) or self.gap > self.bound


@dataclass(frozen=True)
class Outcome:
    """What a search found: the counterexample, if any, and the worst that was seen on the way.

    examples: the sets that were looked at, up to the first counterexample; making that one small is not counted.
    """

    examples: int
    worst: Finding
    counterexample: Finding | None = None

    @property
    def holds(self) -> bool:
        return self.counterexample is None


class _Falsified(Exception):  # noqa: N818 # not an error: what Hypothesis shrinks towards
    pass


@dataclass(frozen=True)
class Memory:
    """Where counterexamples are kept: a Hypothesis example database, and the key of one search in it."""

    database: ExampleDatabase
    key: bytes

    def cases(self) -> Iterator[Case]:
        """The cases kept; the caller forgets those that no longer fail."""
        for value in list(self.database.fetch(self.key)):
            yield Case.from_json(json.loads(value))

    def keep(self, case: Case) -> None:
        self.database.save(self.key, self._bytes(case))

    def forget(self, case: Case) -> None:
        self.database.delete(self.key, self._bytes(case))

    @staticmethod
    def _bytes(case: Case) -> bytes:
        return json.dumps(case.to_json()).encode()


@dataclass
class Trial:
    """Tries a law on cases and remembers how many sets were looked at and which was worst."""

    law: Law
    subjects: Sequence[Subject]
    examples: int = 0
    caught_at: int = 0
    worst: Finding = field(default_factory=lambda: Finding(Case(sizes=())))

    @property
    def looked_at(self) -> int:
        """The sets looked at up to the first counterexample, or all of them."""
        return self.caught_at or self.examples

    def __call__(self, case: Case) -> Finding:
        """The worst set of a case."""
        subject = self.subjects[case.variant % len(self.subjects)]
        drawn = Drawn(case, subject.dim_in)
        self.examples += len(case.lanes) if self.law.side_by_side else 1
        try:
            finding = _worst(drawn, self.evidence(subject, drawn))
        except Exception as error:  # the encoder's own
            finding = Finding(case, error=one_line(error), told=drawn.told)
        if finding.breaks:
            self.caught_at = self.caught_at or self.examples
        if not finding.error and (finding.ratio, finding.gap) >= (self.worst.ratio, self.worst.gap):
            self.worst = finding
        return finding

    def evidence(self, subject: Subject, drawn: Drawn) -> Evidence:
        """What the law says of a case, with a second opinion where the gap is not well within the bound.

        In float32 rounding is 2^29 times as large, and an error in the algebra is what it was. Draws differ in
        the digits of input and parameters, since on few elements nothing may happen to be rounded; they end when it is
        plain which of the two it is.
        """
        evidence = self.law.check(subject, drawn)
        doubtful = (evidence.gap > COVERED * evidence.bound) & (evidence.gap < OBVIOUS * evidence.bound)
        rounding = torch.zeros_like(evidence.bound)
        for draw in range(DRAWS):
            covered = evidence.gap <= COVERED * (evidence.bound + rounding)
            algebra = (rounding > 0) & (evidence.gap > PLAIN * rounding)
            if not bool((doubtful & ~covered & ~algebra).any()):
                break
            rounding = torch.maximum(rounding, SPREAD * PRECISION * self._in_single_precision(subject, drawn, draw))
        return evidence._replace(bound=evidence.bound + rounding)

    def _in_single_precision(self, subject: Subject, drawn: Drawn, draw: int) -> Tensor:
        """The gap of each set in float32."""
        single = Drawn(drawn.case, subject.dim_in, dtype=torch.float32)
        single.x = nearby(single.x, torch.Generator().manual_seed(draw))
        try:
            gap = self.law.check(subject.in_single_precision(draw), single).gap.double()
        except Exception:  # not an encoder of float32
            return torch.zeros(len(drawn.x), dtype=torch.float64)
        return gap.nan_to_num(nan=0.0, posinf=0.0)

    def lanes(self, case: Case) -> list[int]:
        """The positions of the sets of a case, the worst first."""
        subject = self.subjects[case.variant % len(self.subjects)]
        try:
            ratio = self.evidence(subject, Drawn(case, subject.dim_in)).ratio
        except Exception:
            return list(range(len(case.lanes)))
        return [int(i) for i in ratio.nan_to_num(nan=math.inf).argsort(descending=True)]


def _worst(drawn: Drawn, evidence: Evidence) -> Finding:
    ratio = evidence.ratio.nan_to_num(nan=math.inf)
    at = int(ratio.argmax())
    return Finding(drawn.case, float(evidence.gap[at]), float(evidence.bound[at]), evidence.note, told=drawn.told)


def search(
    law: Law,
    subjects: Sequence[Subject],
    *,
    examples: int,
    seed: int = 0,
    side_by_side: bool = True,
    shrink: bool = True,
    seconds: float = math.inf,
    memory: Memory | None = None,
) -> Outcome:
    """Try to falsify `law` on about `examples` sets, for at most `seconds`.

    subjects: the encoder with several parameters, as built first. side_by_side: whether the encoder's sets do not see
    each other, so that one call may carry many. shrink: whether Hypothesis spends time on making a failure small; the
    data of the one found is written out and rounded in any case, which costs a few calls. memory: where the
    counterexample is kept; one kept there is tried first.
    """
    trial = Trial(law, subjects)
    if law.explore is not None:
        with torch.no_grad():
            found = law.explore(trial, subjects, examples, seed, shrink)
        return Outcome(trial.looked_at, trial.worst, found)
    many = side_by_side or not law.side_by_side
    with torch.no_grad():
        kept = _kept(trial, memory) if memory is not None else None
        if kept is not None:
            return Outcome(trial.looked_at, trial.worst, kept)
        until = time.perf_counter() + seconds
        first = map(trial, law.fixed) if law.fixed else _small(trial, many, examples, until)
        found = next((f for f in first if f.breaks), None)
        if found is None and trial.examples < examples and not law.fixed:
            found = _random(trial, many, examples - trial.examples, seed, shrink=shrink, until=until)
        if found is not None:
            found = _simplify(trial, found, shrink=shrink)
    if found is not None and memory is not None:
        memory.keep(found.case)
    return Outcome(trial.looked_at, trial.worst, found)


def _kept(trial: Trial, memory: Memory) -> Finding | None:
    """A counterexample of an earlier search, if it still is one."""
    for case in memory.cases():
        finding = trial(case)
        if finding.breaks:
            return finding
        memory.forget(case)
    return None


def _small(trial: Trial, many: bool, examples: int, until: float) -> Iterator[Finding]:
    for case in small_scope(len(trial.subjects), trial.law.lanes, side_by_side=many):
        if trial.examples >= max(examples / 2, min(examples, FEW_EXAMPLES)) or time.perf_counter() > until:
            return
        if trial.law.min_size <= case.n <= trial.law.max_size:
            yield trial(case)


def _random(trial: Trial, many: bool, examples: int, seed: int, *, shrink: bool, until: float) -> Finding | None:
    found: list[Finding] = []
    law = trial.law
    width = len(law.lanes) if many and law.side_by_side else 1
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    def look(case: Case) -> None:
        if not found and time.perf_counter() > until:
            return
        finding = trial(case)
        if finding.breaks:
            found.append(finding)
            raise _Falsified

    drawn = strategies.cases(
        lanes=law.lanes, variants=len(trial.subjects), side_by_side=many, min_size=law.min_size, max_size=law.max_size
    )
    test = hypothesis.settings(
        max_examples=max(1, math.ceil(examples / width)),
        phases=phases,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )(hypothesis.seed(seed)(hypothesis.given(drawn)(look)))
    try:
        test()
    except (_Falsified, hypothesis.errors.Flaky):
        return found[-1]  # Hypothesis runs the smallest failing case last
    return None


def _simplify(trial: Trial, found: Finding, *, shrink: bool) -> Finding:
    """The same fault with one set instead of many, fewer elements and rounder numbers, as far as it still shows."""
    if not trial.law.side_by_side:
        return _fewer_lanes(trial, found)
    if found.case.n > WRITTEN:
        return found
    alone = next((f for case in _alone(trial, found.case) if (f := trial(case)).breaks), None)
    if alone is None:
        return _fewer_lanes(trial, found)
    alone = _taken(trial, alone, replace(alone.case, variant=0), min(alone.ratio, PLAIN))
    if shrink:
        alone = _fewer_elements(trial, alone)
    return _rounder(trial, alone)


def _fewer_elements(trial: Trial, found: Finding) -> Finding:
    """The same fault with elements left out: half of the stream, a quarter, ... down to single ones."""
    enough = min(found.ratio, PLAIN)
    step = found.case.n // 2
    while step >= 1:
        at = 0
        while at < found.case.n and found.case.n > trial.law.min_size:
            fewer = _taken(trial, found, _without(found.case, at, at + step), enough)
            at, found = (at, fewer) if fewer is not found else (at + step, found)
        step //= 2
    return found


def _without(case: Case, first: int, last: int) -> Case:
    """The case without the elements that arrive at positions first to last."""
    assert case.values is not None
    assert case.index is not None
    chunk_of = [number for number, size in enumerate(case.sizes) for _ in range(size)]
    kept = [at for at in range(case.n) if not first <= at < last] or [0]
    sizes = [sum(1 for at in kept if chunk_of[at] == number) for number in range(len(case.sizes))]
    elements = sorted(case.index[at] for at in kept)
    index = tuple(elements.index(case.index[at]) for at in kept)
    values = tuple(case.values[element] for element in elements)
    return replace(case, sizes=tuple(size for size in sizes if size), values=values, index=index)


def _taken(trial: Trial, found: Finding, case: Case, enough: float) -> Finding:
    """What `case` shows if it shows the same fault plainly enough, else what was found before."""
    simpler = trial(case)
    same = simpler.breaks and simpler.ratio >= enough and bool(simpler.error) == bool(found.error)
    return simpler if same else found


def _alone(trial: Trial, case: Case) -> Iterator[Case]:
    """Each set of a case on its own, with its data written out, the worst first."""
    drawn = Drawn(case, trial.subjects[0].dim_in)
    for at in trial.lanes(case)[:TRIES]:
        values = tuple(tuple(float(v) for v in element) for element in drawn.x[at])
        index = tuple(int(i) for i in drawn.index[at])
        for seed in range(case.seed, case.seed + TRIES):  # another seed lets the law decide otherwise
            yield replace(case, lanes=(case.lanes[at],), values=values, index=index, seed=seed)


def _fewer_lanes(trial: Trial, found: Finding) -> Finding:
    for at in range(len(found.case.lanes) - 1, -1, -1):
        lanes = found.case.lanes[:at] + found.case.lanes[at + 1 :]
        if lanes and (fewer := trial(replace(found.case, lanes=lanes))).breaks:
            found = fewer
    return found


def _rounder(trial: Trial, found: Finding) -> Finding:
    """The same fault with values that are zero or whole where they can be, as long as it stays plain to see."""
    enough = min(found.ratio, PLAIN)
    for values in _simpler_values(np.array(found.case.values)):
        simpler = _taken(trial, found, _with_values(found.case, values), enough)
        if simpler is not found:
            found = simpler
            break
    if found.case.n * trial.subjects[0].dim_in > FEW_NUMBERS:
        return found
    for row, column in np.argwhere(np.array(found.case.values)):
        values = np.array(found.case.values)
        values[row, column] = 0
        found = _taken(trial, found, _with_values(found.case, values), enough)
    return found


def _with_values(case: Case, values: Array) -> Case:
    return replace(case, values=tuple(map(tuple, values.tolist())))


def _simpler_values(x: Array) -> Iterator[Array]:
    first = np.zeros_like(x)
    first[:, 0] = 1
    yield first
    ramp = np.zeros_like(x)
    ramp[:, 0] = np.arange(len(x))
    yield ramp
    for digits in (0, 1, 2):
        yield np.round(x, digits)
