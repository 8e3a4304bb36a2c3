"""Programs over states: feed, merge, fork, save, load and read out, in any order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.types import State
from mbcbench.verify.drawing import try_drawn
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, streams
from mbcbench.verify.law_run import LawRun, Observation
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, worse

Step = tuple[str | int, ...]
_POOL_SIZE = 64  # elements that are fed in turn
_MAX_STEPS = 12
_ANY_STATE = st.integers(0, _MAX_STEPS)
_STEPS: dict[str, st.SearchStrategy[Step]] = {
    "feed": st.tuples(st.just("feed"), _ANY_STATE, st.integers(0, 3)),
    "merge": st.tuples(st.just("merge"), _ANY_STATE, _ANY_STATE),
    "reload": st.tuples(st.just("reload"), _ANY_STATE),
    "read": st.tuples(st.just("read"), _ANY_STATE),
}
# Tried before any program is drawn: two uneven chunks, with a reload between them, merged, a state merged with itself.
_FIRST_PROGRAMS: tuple[tuple[Step, ...], ...] = (
    (("feed", 0, 1), ("feed", 0, 2)),
    (("feed", 0, 2), ("reload", 0), ("feed", 0, 1)),
    (("feed", 0, 1), ("feed", 1, 2), ("merge", 1, 0)),
    (("feed", 0, 2), ("merge", 0, 0)),
)


@dataclass
class ProgramRunner:
    """Runs the steps of a program. Every state is kept, so that using an old one again is a fork."""

    subject: Subject
    pool: Tensor
    states: list[tuple[Any, list[int]]] = field(default_factory=list)
    num_fed: int = 0
    comparison: Comparison = field(default_factory=lambda: Comparison(torch.zeros(1), torch.zeros(1)))

    def __post_init__(self) -> None:
        self.start = self.subject.init_state(1)
        self.states.append((self.start, []))

    def run(self, step: Step) -> None:
        """Run one step; states are counted back from the latest (0), modulo their number."""
        verb, *arguments = step
        state, elements = self._state(int(arguments[0]))
        if verb == "feed":
            size = int(arguments[1])
            if size and self.subject.domain.every_chunk:
                size += self.subject.domain.num_added
            fed = [i % _POOL_SIZE for i in range(self.num_fed, self.num_fed + size)]
            self.num_fed += size
            self.states.append((self.subject.update(state, self.pool[:, fed]), elements + fed))
        elif verb == "merge":
            other, other_elements = self._state(int(arguments[1]))
            self.states.append((self.subject.module.merge(state, other), elements + other_elements))
        elif verb == "reload":
            self._reload(state, elements)
        elif (
            len(elements) >= self.subject.domain.min_size
        ):  # read; the encoding of an empty set is for mbc.empty to judge
            self._compare(self.subject.readout(state), self.pool[:, elements])

    def _reload(self, state: State, elements: list[int]) -> None:
        try:
            saved = pytree.to_bytes(state)
        except TypeError as error:
            self.comparison = Comparison(torch.full((1,), torch.inf), torch.zeros(1), str(error))
            return
        self.states.append((pytree.from_bytes(saved, like=self.start), elements))

    def _state(self, number: int) -> tuple[Any, list[int]]:
        return self.states[-1 - number % len(self.states)]

    def _compare(self, actual: Tensor, x: Tensor) -> None:
        expected = self.subject.encode(x, self.start)
        self.comparison = worse(self.comparison, self.subject.compare(actual, expected, x))


def check_program(subject: Subject, data: ExampleData) -> Comparison:
    """Any program of start, feed, merge, fork, save, load and read-out computes what the full set does.

    Source: the laws of a commutative monoid acting on values, taken together.

    Why it matters: each operation may be right on its own and wrong after another: a merge after a load, a read-out
    after a fork. A random program finds the combinations that no single law lists.

    How to fix a failure: read the program, the shortest one found. At its end, every state that it made is read out.
    """
    runner = ProgramRunner(subject, _pool(subject).to(data.x.dtype))
    for step in data.example.program:
        runner.run(step)
    for number in range(len(runner.states)):
        runner.run(("read", number))
    data.choices["program"] = [" ".join(map(str, step)) for step in data.example.program]
    return worse(no_gap(data), runner.comparison)


def _pool(subject: Subject) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return subject.domain.admit(torch.randn(1, _POOL_SIZE, subject.dim_in, generator=generator, dtype=torch.float64))


def explore(run: LawRun, *, examples: int, seed: int, shrink: bool) -> Observation | None:
    """Try a few plain programs, then draw others; return the shortest that fails."""
    mergeable, variant = run.subjects[0].mergeable, min(1, len(run.subjects) - 1)
    programs = [steps for steps in _FIRST_PROGRAMS if mergeable or steps[-1][0] != "merge"]
    observations = (run.try_example(program_example(steps, variant)) for steps in programs)
    counterexample = next((observation for observation in observations if observation.is_counterexample), None)
    if counterexample is None:
        counterexample = _try_random(run, mergeable, variant, max(1, examples - len(programs)), seed)
    return _shorten(run, counterexample) if counterexample is not None and shrink else counterexample


def _try_random(run: LawRun, mergeable: bool, variant: int, examples: int, seed: int) -> Observation | None:
    def attempt(steps: Sequence[Step]) -> Observation:
        return run.try_example(program_example(steps, variant))

    # Not shrunk by Hypothesis: see _shorten.
    return try_drawn(_programs(mergeable=mergeable), attempt, max_examples=examples, seed=seed, shrink=False)


@st.composite
def _programs(draw: st.DrawFn, *, mergeable: bool) -> list[Step]:
    """Draw programs of some of the verbs: one without merges has longer streams, one without reads more states."""
    verbs = ["feed", "reload", "read", *(["merge"] if mergeable else [])]
    used = ["feed", *sorted(draw(st.sets(st.sampled_from(verbs[1:]))))]
    return draw(st.lists(st.one_of([_STEPS[verb] for verb in used]), min_size=_MAX_STEPS, max_size=_MAX_STEPS))


def _shorten(run: LawRun, counterexample: Observation) -> Observation:
    """Remove every step, and decrease every number, that the fault does not need.

    Each step has a meaning of its own, so leaving out steps works better than shrinking the choices behind them.
    """
    progress = True
    while progress:
        progress = False
        for steps in _shorter_programs(counterexample.example.program):
            simpler = run.try_example(program_example(steps, counterexample.example.variant))
            if simpler.is_counterexample:
                counterexample, progress = simpler, True
                break
    return counterexample


def _shorter_programs(program: Sequence[Step]) -> Iterator[list[Step]]:
    for position, step in reversed(list(enumerate(program))):
        before, after = program[:position], program[position + 1 :]
        yield [*before, *after]
        for place, number in enumerate(step[1:], 1):
            if isinstance(number, int) and number > 0:
                yield [*before, (*step[:place], number - 1, *step[place + 1 :]), *after]


def program_example(steps: Sequence[Step], variant: int = 0) -> Example:
    """Return a program as an example, whose chunks are what the program feeds."""
    sizes = tuple(int(step[2]) for step in steps if step[0] == "feed" and int(step[2]))
    return Example(sizes=sizes or (1,), kinds=(0,), variant=variant, program=tuple(steps))


PROGRAM = Law(
    id="mbc.program",
    check=check_program,
    requires=(streams,),
    explore=explore,
    batched=False,
    budget_fraction=0.06,
    locate=locate_state(check_program),
)
