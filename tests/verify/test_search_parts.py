"""The parts of the search: settings, strategies, what laws choose, and the store of counterexamples."""

from collections.abc import Iterator
from dataclasses import replace

import hypothesis
import pytest
import torch
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.execution.suite import Request
from mbcbench.records.record import Status
from mbcbench.verify import strategies
from mbcbench.verify.drawing import _settings, try_drawn
from mbcbench.verify.example import ARRANGEMENTS, Example, ExampleData, smallest_examples
from mbcbench.verify.law import Law, get_law
from mbcbench.verify.law_run import LawRun, Observation
from mbcbench.verify.search import ExampleStore, SearchResult, search
from mbcbench.verify.shrink import _without_elements, simplify
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Slots, Sums
from tests.verify.helpers import WIDTH, subject_of

# ---- settings and strategies


@pytest.fixture
def hostile_profile() -> Iterator[None]:
    active = hypothesis.settings.get_current_profile_name()
    hypothesis.settings.register_profile(
        "opposite",
        max_examples=1,
        derandomize=True,
        verbosity=Verbosity.debug,
        phases=(Phase.explicit,),
        stateful_step_count=7,
        report_multiple_bugs=True,
        suppress_health_check=[HealthCheck.too_slow],
        deadline=1,
        print_blob=True,
        backend="hypothesis-urandom",
    )
    hypothesis.settings.load_profile("opposite")
    yield
    hypothesis.settings.load_profile(active)


@pytest.mark.usefixtures("hostile_profile")
def test_settings_of_a_search_are_those_of_no_profile() -> None:
    settings = _settings(10, shrink=False)
    assert settings.max_examples == 10
    assert settings.phases == (Phase.generate,)
    assert _settings(9, shrink=True).phases == (Phase.generate, Phase.shrink)
    assert settings.verbosity is Verbosity.quiet
    assert set(settings.suppress_health_check) == set(HealthCheck)
    assert settings.stateful_step_count == 1
    assert [settings.derandomize, settings.report_multiple_bugs, settings.print_blob] == [False] * 3
    assert [settings.deadline, settings.database] == [None] * 2
    assert settings.backend == "hypothesis"


def draw(strategy: SearchStrategy[Example], number: int = 60) -> list[Example]:
    drawn: list[Example] = []

    def attempt(example: Example) -> Observation:
        drawn.append(example)
        return Observation(example)

    assert try_drawn(strategy, attempt, max_examples=number, seed=0, shrink=False) is None
    return drawn


def test_drawn_examples_are_of_all_sizes_variants_and_arrangements() -> None:
    examples = draw(strategies.examples(variants=3), 300)
    assert {example.variant for example in examples} == {0, 1, 2}
    assert {example.arrangement for example in examples} == set(ARRANGEMENTS)
    sizes = {example.n for example in examples}
    assert sizes >= {1, 2, 3, 4, 5, 6, 7, 8}
    assert {2**k + offset for k in (6, 7, 8) for offset in (-1, 0, 1)} <= set(strategies.BOUNDARIES)
    assert len(sizes & set(strategies.BOUNDARIES)) >= 5
    assert 255 <= max(sizes) <= 513
    assert 0 < sum(example.n == 1 for example in examples) < len(examples) / 4
    seeds = {example.seed for example in examples}
    assert len(seeds) > len(examples) / 2
    assert 0 <= min(seeds) < max(seeds) < strategies.BASE**3
    assert max(seeds) > strategies.BASE**2
    assert all(min(example.sizes) > 0 for example in examples)
    numbers_of_chunks = {len(example.sizes) for example in examples}
    assert numbers_of_chunks >= {1, 2, 3, 4, 8}
    assert all(set(e.sizes) == {1} for e in examples if len(e.sizes) > 8)


def test_drawn_sets_are_within_their_bounds_and_of_the_kinds_of_the_law() -> None:
    examples = draw(strategies.examples(kinds=(3, 5), all_kinds=False, min_size=5, max_size=9))
    assert {example.n for example in examples} == {5, 6, 7, 8, 9}
    assert {example.kinds for example in examples} == {(3,), (5,)}


def test_cuts_of_a_large_set_are_everywhere_in_it() -> None:
    partitions = [example.sizes for example in draw(strategies.examples(min_size=513, max_size=513), 80)]
    cuts = {sizes[0] for sizes in partitions if len(sizes) > 1}
    assert min(cuts) == 1
    assert max(cuts) == 512
    assert len(cuts) > 15


def test_the_smallest_examples_come_in_the_order_of_their_size() -> None:
    sizes = [example.n for example in smallest_examples(2)]
    assert sizes[:9] == [1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert {example.variant for example in smallest_examples(2)} == {0, 1}


# ---- what laws choose


def choices(law: str, name: str, encoder: type[nn.Module] = Mean, kinds: int = 2) -> list[object]:
    """Return what a law chooses for three chunks and many seeds."""
    chosen, subject = [], subject_of(encoder)
    for seed in range(24):
        data = ExampleData(Example(sizes=(2, 1, 2), kinds=(0,) * kinds, seed=seed), WIDTH)
        with torch.no_grad():
            get_law(law).check(subject, data)
        chosen.append(data.choices[name])
    return chosen


def test_a_stream_is_resumed_before_each_chunk_and_after_the_last() -> None:
    assert set(choices("mbc.resume", "saved before chunk")) == {0, 1, 2, 3}


def test_empty_chunks_come_before_each_chunk_and_after_the_last() -> None:
    assert set(choices("mbc.empty", "empty chunks before chunk")) == {0, 1, 2, 3}


def test_each_chunk_is_the_one_that_some_sets_lack() -> None:
    assert set(choices("mbc.mask", "chunk that some sets lack")) == {0, 1, 2}


@pytest.mark.parametrize("law", ["symmetry.padding", "mbc.mask"])
def test_one_to_three_elements_of_padding_are_added(law: str) -> None:
    padding = [p for p in choices(law, "positions of the padding") if isinstance(p, Tensor)]
    added = {int(row) for positions in padding for row in positions.sum(1)}
    assert added <= ({1, 2, 3} if law == "symmetry.padding" else set(range(3, 10)))
    assert len(added) >= 3


def test_the_other_batch_has_one_set_or_more_up_to_all() -> None:
    batches = [
        rows for rows in choices("symmetry.batch", "sets of the other batch", kinds=3) if isinstance(rows, Tensor)
    ]
    assert {len(rows) for rows in batches} == {1, 2, 3}
    assert {int(row) for rows in batches for row in rows} == {0, 1, 2}


def test_chunks_are_reordered_whenever_there_are_two() -> None:
    orders = choices("mbc.order", "order of the chunks")
    assert [0, 1, 2] not in orders
    assert len({str(order) for order in orders}) == 5


def test_merged_trees_have_every_chunk_once_and_a_fresh_state() -> None:
    for tree in choices("mbc.merge", "tree over the chunks"):
        assert sorted(str(tree).replace("(", "").replace(")", "").split()) == ["0", "1", "2", "fresh"]


def test_slots_are_permuted_in_all_ways() -> None:
    permutations = choices("symmetry.slots", "permutation of the slots", Slots)
    assert len({tuple(p.tolist()) for p in permutations if isinstance(p, Tensor)}) == 6


def test_some_sets_change_and_some_do_not_beside_others_in_training() -> None:
    changed = [c for c in choices("symmetry.train", "sets that change", kinds=4) if isinstance(c, Tensor)]
    assert all(bool(c[0]) and not bool(c[-1]) for c in changed)
    assert {tuple(c[1:-1].tolist()) for c in changed} == {(False, False), (False, True), (True, False), (True, True)}


# ---- search and store


class Halves(Mean):
    """Doubles what has more than two elements."""

    def readout(self, state: "object") -> Tensor:
        mean = super().readout(state)
        return torch.where(getattr(state, "number")[:, None] > 2, 2 * mean, mean)  # noqa: B009


def stored(database: InMemoryExampleDatabase) -> list[Example]:
    return list(ExampleStore(database, b"key").load().values())


def test_a_counterexample_is_stored_tried_first_and_deleted_once_it_holds() -> None:
    database, law = InMemoryExampleDatabase(), get_law("hygiene.finite")

    class NotFinite(Mean):
        def readout(self, state: object) -> Tensor:
            return super().readout(state) * torch.inf

    store = ExampleStore(database, b"key")
    first = search(law, [subject_of(NotFinite)], examples=16, store=store)
    assert first.counterexample is not None
    assert stored(database) == [first.counterexample.example]
    again = search(law, [subject_of(NotFinite)], examples=16, store=store)
    assert again.counterexample is not None
    assert again.counterexample.example == first.counterexample.example
    assert again.examples == 1
    assert search(law, [subject_of()], examples=16, store=store).holds
    assert stored(database) == []


def test_a_law_that_says_nothing_of_most_examples_was_not_tried() -> None:
    observation = Observation(Example(sizes=(1,)))
    result = SearchResult(3, observation, num_applicable=0, reason_not_applicable="too small")
    assert result.why_untried == "too small"
    assert replace(result, num_applicable=1).why_untried == "too small (it was tried on one example only)"
    assert replace(result, num_applicable=2).why_untried == ""
    assert replace(result, reason_not_applicable="").why_untried == ""
    assert replace(result, counterexample=observation).why_untried == ""


def test_sets_that_a_fault_of_the_batch_does_not_need_are_dropped() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        gap = torch.full((len(data.x),), float(len({1, 3} & set(data.example.kinds)) == 2))
        return Comparison(gap.double(), torch.zeros(len(gap)).double(), scale=torch.ones(len(gap)).double())

    law = Law(id="of.batch", check=check, batched=False)
    run = LawRun(law, [subject_of()])
    broken = run.try_example(Example(sizes=(2,), kinds=(0, 1, 2, 3, 4), seed=0))
    assert simplify(run, broken, drop_elements=True).example.kinds == (1, 3)


def test_of_clearly_broken_sets_and_examples_the_largest_gap_is_the_worst() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        size = len(data.chunks)
        gap, bound = torch.tensor([2.0, 3.0, 3e-9]) * size, torch.tensor([1e-14, 1e-12, 1e-12])
        return Comparison(gap.double(), bound.double() * size**4, scale=torch.ones(3).double())

    run = LawRun(Law(id="of.ratio", check=check), [subject_of()])
    for sizes in ((1,), (1, 1)):
        run.try_example(Example(sizes=sizes, kinds=(0, 1, 2), seed=0))
    assert run.worst.gap == 6.0
    assert run.worst.example.sizes == (1, 1)
    assert run.rank_sets(Example(sizes=(1,), kinds=(0, 1, 2), seed=0)) == [1, 0, 2]


@pytest.mark.parametrize(("drop_elements", "n"), [(True, 3), (False, 9)])
def test_elements_that_a_fault_does_not_need_are_dropped(drop_elements: bool, n: int) -> None:
    class MeanOfChunkMeans(Mean):
        def part(self, x: Tensor, mask: Tensor | None) -> Sums:
            return Sums(self.features(x).mean(1), torch.ones(len(x)))

    run = LawRun(get_law("mbc.partition"), [subject_of(MeanOfChunkMeans)])
    with torch.no_grad():
        broken = run.try_example(Example(sizes=(3, 6), kinds=(0, 0), seed=1))
        assert simplify(run, broken, drop_elements=drop_elements).example.n == n


def test_elements_are_removed_with_their_places_in_the_stream() -> None:
    values = ((0.0,), (1.0,), (2.0,), (3.0,))
    example = Example(sizes=(1, 2, 1), kinds=(0,), values=values, order=(3, 0, 2, 1), seed=1)
    shorter = _without_elements(example, 1, 3)
    assert (shorter.sizes, shorter.values, shorter.order) == ((1, 1), ((1.0,), (3.0,)), (1, 0))
    last = _without_elements(example, 0, 4)
    assert (last.sizes, last.values, last.order) == ((1,), ((3.0,),), (0,))


def test_a_run_counts_sets_up_to_the_first_counterexample() -> None:
    law = get_law("symmetry.replication")
    run = LawRun(law, [subject_of(Halves)])
    with torch.no_grad():
        run.try_example(Example(sizes=(3,), kinds=(0, 0), seed=0))
        assert (run.examples, run.num_applicable) == (2, 1)
        run.try_example(Example(sizes=(1,), kinds=(0,), seed=0))
        run.try_example(Example(sizes=(1,), kinds=(0,), seed=1))
    assert (run.examples, run.sets_tried, run.num_applicable) == (3, 4, 3)


# ---- the suite


def test_the_suite_has_a_cell_for_each_encoder_and_law_and_its_records_are_those_of_the_checker() -> None:
    suite = registry.plugin(registry.SUITES, "laws").load()
    request = Request(encoders=("deepsets-mean",), profile="smoke", seed=3)
    cells = {cell.case: cell for cell in suite.cells(request)}
    assert list(cells) == list(registry.plugins(registry.LAWS))
    cell = cells["hygiene.rng"]
    assert (cell.suite, cell.encoder, cell.seed, cell.dtype) == ("laws", "deepsets-mean", 3, "float64")
    assert cell.params == {"examples": 200}
    suite.warm_up(cell)
    (record,) = suite.run(cell)
    assert record.status is Status.PASS
    assert (record.case, record.encoder, record.seed) == ("hygiene.rng", "deepsets-mean", 3)
