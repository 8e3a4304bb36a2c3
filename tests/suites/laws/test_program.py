"""Programs: what a step does, which programs are tried, and how the program of a counterexample is shortened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import program
from mbcbench.suites.laws.comparison import no_gap, violation
from mbcbench.suites.laws.program import PROGRAM, ProgramRunner, Step, explore, program_example
from mbcbench.verify.checker import Budget
from mbcbench.verify.culprit import find_culprit
from mbcbench.verify.domain import Domain
from mbcbench.verify.drawing import try_drawn
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law
from mbcbench.verify.law_run import LawRun, Observation
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import WIDTH, Mean, Sum, count
from tests.controls.merge import MergeForgetsCount
from tests.verify.helpers import WIDTH as DIM_IN
from tests.verify.helpers import holds, subject_of

Program = Sequence[Step]


class OnlyStreams(nn.Module):
    """Streams and cannot merge."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.mean = Mean(dim_in)

    def init_state(self, batch_size: int) -> Any:
        return self.mean.init_state(batch_size)

    def update(self, state: Any, x: Tensor) -> Any:
        return self.mean.update(state, x)

    def readout(self, state: Any) -> Tensor:
        return self.mean.readout(state)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean.forward(x)


class StreamIsDoubled(Mean):
    """Doubles what it reads out of the state of a stream."""

    def readout(self, state: Any) -> Tensor:
        return 2 * super().readout(state)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) / 2


class LargeStreamIsDoubled(StreamIsDoubled):
    """Doubles what it reads out of the state of a stream of more than five elements."""

    def readout(self, state: Any) -> Tensor:
        mean = Mean.readout(self, state)
        return torch.where(state.number.unsqueeze(1) > 5, 2 * mean, mean)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return Mean.readout(self, self.part(x, mask))


def run_steps(*steps: Step, encoder: Callable[[int], nn.Module] = Mean, **domain: Any) -> ProgramRunner:
    """Return the runner after these steps."""
    subject = subject_of(encoder, domain=Domain(**domain))
    runner = ProgramRunner(subject, program._pool(subject))
    with torch.no_grad():
        for step in steps:
            runner.run(step)
    return runner


def elements(runner: ProgramRunner) -> list[list[int]]:
    """Return the positions of the elements of each state."""
    return [fed for _, fed in runner.states]


# ---- steps


def test_each_step_makes_a_state_of_an_earlier_one_counted_back_from_the_latest() -> None:
    steps: Program = (("feed", 0, 2), ("feed", 0, 1), ("feed", 2, 1), ("merge", 2, 0), ("reload", 3), ("feed", 12, 1))
    runner = run_steps(*steps)
    assert elements(runner) == [[], [0, 1], [0, 1, 2], [3], [0, 1, 3], [0, 1], [0, 1, 4]]
    features = runner.subject.module.features(runner.pool[0]).detach()
    for state, fed in runner.states:
        assert state.total.shape == (1, WIDTH)
        assert state.number.tolist() == [len(fed)]
        torch.testing.assert_close(state.total[0], features[fed].sum(0))
    assert runner.comparison.gap.tolist() == runner.comparison.bound.tolist() == [0.0]


def test_elements_are_fed_in_turn_until_the_first_one_follows_the_last() -> None:
    size = run_steps().pool.shape[1]
    runner = run_steps(*[("feed", 0, 3)] * 30)
    assert elements(runner)[-1] == [number % size for number in range(90)]


def test_the_pool_does_not_depend_on_the_random_state_and_holds_what_the_encoder_admits() -> None:
    subject = subject_of()
    with torch.random.fork_rng(devices=[]):
        pool, _, again = program._pool(subject), torch.manual_seed(7), program._pool(subject)
    assert torch.equal(pool, again)
    assert pool.dtype == torch.float64
    assert pool.shape[::2] == (1, DIM_IN)
    assert pool.unique().numel() == pool.numel()
    assert set(run_steps(vocabulary=3).pool.unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize(("every_chunk", "sizes"), [(False, [1, 3]), (True, [3, 5])])
def test_only_chunks_that_are_sets_of_their_own_have_the_elements_that_a_set_needs(
    every_chunk: bool, sizes: list[int]
) -> None:
    steps: Program = (("feed", 0, 1), ("feed", 1, 0), ("feed", 2, 3))
    runner = run_steps(*steps, min_size=3, every_chunk=every_chunk)
    assert [len(fed) for fed in elements(runner)] == [0, sizes[0], 0, sizes[1]]


@pytest.mark.parametrize(("size", "is_read"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_state_is_read_if_its_elements_are_a_set(size: int, is_read: bool) -> None:
    runner = run_steps(("feed", 0, size), ("read", 0), encoder=StreamIsDoubled, min_size=2)
    assert holds(runner.comparison) != is_read
    assert len(runner.states) == 2


def test_a_state_that_cannot_be_saved_breaks_the_law_and_makes_no_state() -> None:
    class HasUnit(Sum):
        def init_state(self, batch_size: int) -> Any:
            return [super().init_state(batch_size), torch.float64]

    runner = run_steps(("reload", 0), encoder=HasUnit)
    comparison = runner.comparison
    assert (comparison.gap.tolist(), comparison.bound.tolist()) == ([torch.inf], [0.0])
    assert comparison.note == "a state may hold tensors and plain values, not dtype"
    assert len(runner.states) == 1


def test_every_state_of_a_program_is_read_out_at_its_end() -> None:
    read: list[int] = []

    class RecordsReads(Mean):
        def readout(self, state: Any) -> Tensor:
            read.append(int(state.number))
            return super().readout(state)

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return x.mean(1)

    data = ExampleData(program_example([("feed", 0, 2), ("feed", 0, 1), ("merge", 1, 0)]), DIM_IN, dtype=torch.float32)
    with torch.no_grad():
        comparison = PROGRAM.check(Subject(RecordsReads(DIM_IN).eval(), DIM_IN), data)
    assert sorted(read) == [2, 3, 5]
    assert data.choices == {"program": ["feed 0 2", "feed 0 1", "merge 1 0"]}
    assert comparison.gap.shape == (1,)
    assert not holds(comparison)


# ---- which programs are tried


@dataclass
class NotAllSaved:
    """A state with an attribute that is not saved with it."""

    total: Tensor
    number: ClassVar[Tensor]


class LosesCountInFile(Mean):
    def init_state(self, batch_size: int) -> Any:
        return self.with_number(super().init_state(batch_size).total, torch.zeros(batch_size, dtype=torch.int64))

    def with_number(self, total: Tensor, number: Tensor) -> NotAllSaved:
        state = NotAllSaved(total)
        vars(state)["number"] = number
        return state

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return self.with_number(self.features(x).sum(1), count(x, mask))

    def add(self, a: Any, b: Any) -> Any:
        return self.with_number(a.total + b.total, a.number + b.number)


class CountsChunks(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, mask)._replace(number=torch.ones(len(x)))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.features(x).sum(1) if x.shape[1] <= 2 else super().forward(x, mask)


class IgnoresMergeWithItself(Sum):
    def merge(self, a: Any, b: Any) -> Any:
        return a if a is b else super().merge(a, b)


class MergeLosesLeft(Sum):
    def merge(self, a: Any, b: Any) -> Any:
        return b


@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        (CountsChunks, ["feed 0 1", "feed 0 2"]),
        (LosesCountInFile, ["feed 0 2", "reload 0", "feed 0 1"]),
        (MergeLosesLeft, ["feed 0 1", "feed 1 2", "merge 1 0"]),
        (IgnoresMergeWithItself, ["feed 0 2", "merge 0 0"]),
    ],
)
def test_the_first_programs_show_common_faults(encoder: type[nn.Module], text: list[str]) -> None:
    run = LawRun(PROGRAM, [subject_of(encoder)])
    with torch.no_grad():
        counterexample = explore(run, examples=1, seed=0, shrink=False)
    assert counterexample is not None
    assert counterexample.choices["program"] == text


def run_of(
    is_broken: Callable[[Program], bool], encoder: Callable[[int], nn.Module] = Mean, variants: int = 1
) -> tuple[LawRun, list[Example]]:
    """Return a run of a law that some programs break, and a list of the examples that it has tried."""
    tried: list[Example] = []

    def check(subject: Subject, data: ExampleData) -> Comparison:
        tried.append(data.example)
        comparison: Comparison = violation(data, "") if is_broken(data.example.program) else no_gap(data)
        return comparison

    return LawRun(Law(id="of.program", check=check), [subject_of(encoder) for _ in range(variants)]), tried


def feeds_old_state(steps: Program) -> bool:
    return any(step[0] == "feed" and int(step[1]) >= 3 and int(step[2]) >= 2 for step in steps)


@pytest.mark.parametrize(("encoder", "num_first", "merges"), [(Mean, 4, True), (OnlyStreams, 2, False)])
def test_programs_are_drawn_after_the_first_ones_without_merges_if_an_encoder_has_none(
    encoder: type[nn.Module], num_first: int, merges: bool
) -> None:
    run, tried = run_of(lambda steps: False, encoder)
    assert explore(run, examples=30, seed=0, shrink=True) is None
    assert len(tried) == 30
    lengths = [len(example.program) for example in tried]
    assert max(lengths[:num_first]) <= 3 < min(lengths[num_first:])
    verbs = {step[0] for example in tried for step in example.program}
    assert verbs == {"feed", "reload", "read"} | ({"merge"} if merges else set())


@pytest.mark.parametrize("examples", [1, 4, 5])
def test_at_least_one_program_is_drawn(examples: int) -> None:
    run, tried = run_of(lambda steps: False)
    explore(run, examples=examples, seed=0, shrink=True)
    assert len(tried) == 5


@pytest.mark.parametrize(("variants", "variant"), [(1, 0), (2, 1), (3, 1), (4, 1)])
def test_programs_are_tried_with_the_first_changed_parameters_if_there_are_any(variants: int, variant: int) -> None:
    run, tried = run_of(feeds_old_state, variants=variants)
    counterexample = explore(run, examples=30, seed=0, shrink=True)
    assert counterexample is not None
    assert {example.variant for example in tried} == {variant}


def test_a_counterexample_ends_the_search_and_is_shortened_if_asked() -> None:
    run, tried = run_of(feeds_old_state)
    counterexample = explore(run, examples=60, seed=0, shrink=False)
    assert counterexample is not None
    assert counterexample.example == tried[-1]
    assert {example.program for example in tried if feeds_old_state(example.program)} == {
        counterexample.example.program
    }
    shorter = explore(run, examples=60, seed=0, shrink=True)
    assert shorter is not None
    assert shorter.example.program == (("feed", 3, 2),)
    run, tried = run_of(lambda steps: True)
    assert explore(run, examples=60, seed=0, shrink=False) is not None
    assert len(tried) == 1


def draw_programs(*, mergeable: bool) -> list[Program]:
    drawn: list[Program] = []

    def attempt(steps: Program) -> Observation:
        drawn.append(steps)
        return Observation(program_example(steps))

    assert try_drawn(program._programs(mergeable=mergeable), attempt, max_examples=60, seed=0, shrink=False) is None
    return drawn


@pytest.mark.parametrize(("mergeable", "optional"), [(True, {"merge", "read", "reload"}), (False, {"read", "reload"})])
def test_drawn_programs_are_equally_long_and_lack_any_of_the_verbs_but_feed(
    mergeable: bool, optional: set[str]
) -> None:
    programs = draw_programs(mergeable=mergeable)
    (length,) = {len(steps) for steps in programs}
    steps = [step for steps in programs for step in steps]
    assert {step[0] for step in steps} == {"feed", *optional}
    for verb in optional:
        assert 6 < sum(any(step[0] == verb for step in steps) for steps in programs) < 54
    assert {step[1] for step in steps} == set(range(length + 1))  # a state for each step, and the empty one
    assert {step[2] for step in steps if step[0] == "feed"} == {0, 1, 2, 3}
    assert not mergeable or {step[2] for step in steps if step[0] == "merge"} >= {0, length}


# ---- shorter programs


def test_a_program_is_shortened_until_no_step_and_no_number_can_be_less() -> None:
    steps: Program = (("feed", 0, 3), ("read", 3), ("feed", 1, 2), ("merge", 1, 0), ("reload", 2), ("feed", 1, 3))
    with torch.no_grad():
        run = LawRun(PROGRAM, [subject_of(LargeStreamIsDoubled)])
        shortest = program._shorten(run, run.try_example(program_example(steps)))
        assert shortest.is_counterexample
        programs = program._shorter_programs(shortest.example.program)
        shorter = [run.try_example(program_example(steps)) for steps in programs]
    assert 2 <= len(shortest.example.program) < len(steps)
    assert not any(observation.is_counterexample for observation in shorter)


def test_each_shorter_program_that_fails_is_shortened_next_with_the_same_parameters() -> None:
    def is_broken(steps: Program) -> bool:
        return ("reload", 0) in steps and any(step[0] == "feed" and step[2] == 2 for step in steps)

    run, tried = run_of(is_broken, variants=3)
    start = run.try_example(program_example([("feed", 0, 2), ("reload", 0), ("feed", 0, 0)], variant=2))
    shortest = program._shorten(run, start)
    assert shortest.example.program == (("feed", 0, 2), ("reload", 0))
    assert [example.program for example in tried[1:]] == [
        (("feed", 0, 2), ("reload", 0)),  # fails
        (("feed", 0, 2),),
        (("reload", 0),),
        (("feed", 0, 1), ("reload", 0)),
    ]
    assert {example.variant for example in tried} == {2}


def test_a_program_is_shortened_again_and_again() -> None:
    run, _ = run_of(lambda steps: len(steps) >= 2 or steps == (("feed", 0, 3),))
    start = run.try_example(program_example([("merge", 2, 1), ("feed", 2, 1), ("read", 0)]))
    assert program._shorten(run, start).example.program == (("merge", 0, 0), ("feed", 0, 0))


def test_the_chunks_of_a_program_are_what_it_feeds() -> None:
    steps: Program = [("feed", 1, 2), ("merge", 4, 3), ("feed", 0, 0), ("reload", 5), ("feed", 2, 1)]
    assert program_example(steps) == Example(sizes=(2, 1), kinds=(0,), variant=0, program=tuple(steps))
    assert program_example([("read", 2)], variant=2) == Example(
        sizes=(1,), kinds=(0,), variant=2, program=(("read", 2),)
    )


# ---- what the law declares


def test_the_law_of_programs_is_tried_on_few_of_them_one_by_one() -> None:
    budget = Budget(examples=1000, min_examples=50)
    assert budget.sets_for(PROGRAM) < budget.sets_for(Law(id="of.batch", check=PROGRAM.check, batched=False)) / 10
    assert Budget(examples=1, min_examples=50).sets_for(PROGRAM) < 50
    assert PROGRAM.id == "mbc.program"
    assert PROGRAM.explore is explore
    assert PROGRAM.unmet_requirement(subject_of(lambda dim_in: nn.Linear(dim_in, 4))) is not None
    assert PROGRAM.unmet_requirement(subject_of(OnlyStreams)) is None


def test_the_law_of_programs_names_the_leaf_that_is_wrong() -> None:
    steps: Program = (("feed", 0, 1), ("feed", 1, 2), ("merge", 1, 0))
    assert find_culprit(PROGRAM, [subject_of(MergeForgetsCount)], program_example(steps)).startswith("state.number")
