"""Programs over states: feed, merge, fork, save, load and read out, in any order (Hypothesis' stateful rules)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.verify.example import Case, Drawn
from mbcbench.verify.law import Law, streams
from mbcbench.verify.search import Finding, Trial
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Evidence

from .evidence import nothing, worse

Step = tuple[str | int, ...]
_POOL = 64  # elements that feeds draw from, in turn
_STEPS = 12
# Tried before any is drawn: two uneven chunks, with a reload between, merged, and a state merged with itself.
_FIRST: tuple[tuple[Step, ...], ...] = (
    (("feed", 0, 1), ("feed", 0, 2)),
    (("feed", 0, 2), ("reload", 0), ("feed", 0, 1)),
    (("feed", 0, 1), ("feed", 1, 2), ("merge", 1, 0)),
    (("feed", 0, 2), ("merge", 0, 0)),
)


@dataclass
class Machine:
    """Runs programs. Every state is kept, so that using an old one again is a fork."""

    subject: Subject
    pool: Tensor
    states: list[tuple[Any, list[int]]] = field(default_factory=list)
    fed: int = 0
    evidence: Evidence = field(default_factory=lambda: Evidence(torch.zeros(1), torch.zeros(1)))

    def __post_init__(self) -> None:
        self.start = self.subject.start(1)
        self.states.append((self.start, []))

    def do(self, step: Step) -> None:
        """Carry out one step; states are counted back from the latest (0), modulo how many there are."""
        verb, *at = step
        state, elements = self._back(int(at[0]))
        if verb == "feed":
            new = [i % _POOL for i in range(self.fed, self.fed + int(at[1]))]
            self.fed += int(at[1])
            self.states.append((self.subject.feed(state, self.pool[:, new]), elements + new))
        elif verb == "merge":
            other, others = self._back(int(at[1]))
            self.states.append((self.subject.module.merge(state, other), elements + others))
        elif verb == "reload":
            self.states.append((pytree.from_bytes(pytree.to_bytes(state), like=self.start), elements))
        elif elements:
            self._compare(self.subject.readout(state), self.pool[:, elements])

    def _back(self, number: int) -> tuple[Any, list[int]]:
        return self.states[-1 - number % len(self.states)]

    def _compare(self, got: Tensor, x: Tensor) -> None:
        self.evidence = worse(self.evidence, self.subject.compare(got, self.subject.encode(x, self.start), x))


def check_program(subject: Subject, drawn: Drawn) -> Evidence:
    """Any program of start, feed, merge, fork, save, load and read-out computes what the full set does.

    Source: the laws of a commutative monoid acting on values, taken together.

    Why it matters: each operation may be right on its own and wrong after another: a merge after a load, a read-out
    after a fork. A random program meets the combinations that no single law spells out.

    How to fix a failure: read the program, the shortest that was found; at its end, every state it made is read out.
    """
    machine = Machine(subject, _pool(subject).to(drawn.x.dtype))
    for step in drawn.case.program:
        machine.do(step)
    for number in range(len(machine.states)):
        machine.do(("read", number))
    drawn.told["program"] = [" ".join(map(str, step)) for step in drawn.case.program]
    return worse(nothing(drawn), machine.evidence)


def _pool(subject: Subject) -> Tensor:
    return torch.randn(1, _POOL, subject.dim_in, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def explore(trial: Trial, subjects: Sequence[Subject], examples: int, seed: int, shrink: bool) -> Finding | None:
    """Try a few plain programs, then draw others with Hypothesis' rules; the shortest that fails, if any."""
    merges, variant = subjects[0].merges, min(1, len(subjects) - 1)
    plain = [program_case(steps, variant) for steps in _FIRST if merges or steps[-1][0] != "merge"]
    found = next((finding for finding in map(trial, plain) if finding.breaks), None)
    if found is None:
        found = _drawn(trial, merges, variant, max(1, examples - len(plain)), seed)
    return _shortest(trial, found) if found is not None and shrink else found


def _drawn(trial: Trial, merges: bool, variant: int, examples: int, seed: int) -> Finding | None:
    found: list[Finding] = []
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=_STEPS,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    machine = hypothesis.seed(seed)(_rules(trial, merges, variant, found))
    try:
        run_state_machine_as_test(machine, settings=settings)
    except (_Wrong, hypothesis.errors.Flaky):
        return found[-1]
    return None


def _shortest(trial: Trial, found: Finding) -> Finding:
    """The program without every step, and with every number made smaller, that the fault does not need.

    Steps mean something on their own, so leaving them out one by one beats shrinking the choices they came from.
    """
    shorter = True
    while shorter:
        shorter = False
        for steps in _shorter(found.case.program):
            if (simpler := trial(program_case(steps, found.case.variant))).breaks:
                found, shorter = simpler, True
                break
    return found


def _shorter(program: Sequence[Step]) -> Iterator[list[Step]]:
    for at, step in reversed(list(enumerate(program))):
        yield [*program[:at], *program[at + 1 :]]
        for place, number in enumerate(step[1:], 1):
            if isinstance(number, int) and number > 0:
                yield [*program[:at], (*step[:place], number - 1, *step[place + 1 :]), *program[at + 1 :]]


class _Wrong(Exception):  # noqa: N818 # what Hypothesis shrinks towards
    pass


def _rules(trial: Trial, merges: bool, variant: int, found: list[Finding]) -> type[RuleBasedStateMachine]:
    any_state = st.integers(0, _STEPS)

    class Rules(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[Step] = []

        def step(self, *step: str | int) -> None:
            self.steps.append(step)

        @rule(state=any_state, number=st.integers(0, 3))
        def feed(self, state: int, number: int) -> None:
            self.step("feed", state, number)

        @rule(a=any_state, b=any_state)
        def merge(self, a: int, b: int) -> None:
            if merges:
                self.step("merge", a, b)

        @rule(state=any_state)
        def reload(self, state: int) -> None:
            self.step("reload", state)

        @rule(state=any_state)
        def read(self, state: int) -> None:
            self.step("read", state)

        def teardown(self) -> None:
            finding = trial(program_case(self.steps, variant))
            if finding.breaks:
                found.append(finding)
                raise _Wrong

    return Rules


def program_case(steps: Sequence[Step], variant: int = 0) -> Case:
    """A program as a case: its chunks are what it feeds."""
    fed = tuple(int(step[2]) for step in steps if step[0] == "feed" and int(step[2]))
    return Case(sizes=fed or (1,), lanes=(0,), variant=variant, program=tuple(steps))


PROGRAM = Law(
    id="mbc.program", check=check_program, requires=(streams,), explore=explore, side_by_side=False, share=0.06
)
