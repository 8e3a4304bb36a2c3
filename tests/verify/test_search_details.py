"""Which examples a search tries, in which order, and what it reports."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis.database import InMemoryExampleDatabase

from mbcbench.errors import LawOutOfMemoryError
from mbcbench.verify import search as search_module
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData, smallest_examples
from mbcbench.verify.law import Law, NotApplicable
from mbcbench.verify.law_run import LawRun, LawTimeout, Observation
from mbcbench.verify.search import ExampleStore, SearchResult, search
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import COARSE_PERTURBATION, Comparison
from tests.verify.helpers import subject_of
from tests.verify.law_helpers import Level, law_of

HOLDS = Observation(Example(sizes=(1,)))
A, B, C = Example(sizes=(11,)), Example(sizes=(12,)), Example(sizes=(13,))


class Recorded:
    """A law that remembers the examples on which it is tried, and is broken by some of them."""

    def __init__(self, is_broken: Callable[[Example], bool] = lambda _: False, **more: Any) -> None:
        self.examples: list[Example] = []
        self.is_broken = is_broken
        self.law = law_of(self.check, **more)

    def check(self, subject: Subject, data: ExampleData) -> Comparison:
        assert not torch.is_grad_enabled()
        self.examples.append(data.example)
        one = torch.ones(len(data.x), dtype=torch.float64)
        return Comparison(float(self.is_broken(data.example)) * one, 0 * one, scale=one)

    @property
    def sizes(self) -> list[int]:
        return [example.n for example in self.examples]


class Drawn:
    """Takes the place of the drawing of examples, and remembers how it is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        monkeypatch.setattr(search_module, "try_drawn", self)

    def __call__(self, strategy: object, attempt: object, **more: Any) -> None:
        self.calls.append(more)

    @property
    def numbers(self) -> list[int]:
        """How many examples were to be drawn, of each call."""
        return [call["max_examples"] for call in self.calls]


def run_search(
    law: Law, examples: int = 64, *, subjects: int = 1, domain: Domain | None = None, **more: Any
) -> SearchResult:
    return search(law, [subject_of(Level, domain=domain) for _ in range(subjects)], examples=examples, **more)


# ---- which examples


@pytest.mark.parametrize(
    ("examples", "num_smallest", "num_drawn"),
    [(15, 1, []), (100, 7, []), (320, 20, []), (321, 20, [1]), (400, 20, [5]), (640, 20, [20]), (1000, 32, [31])],
)
def test_the_smallest_examples_get_320_sets_or_half_of_the_budget(
    examples: int, num_smallest: int, num_drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, recorded = Drawn(monkeypatch), Recorded()
    result = run_search(recorded.law, examples)
    assert result.examples == 16 * num_smallest
    assert recorded.examples == list(smallest_examples(1))[:num_smallest]
    assert drawn.numbers == num_drawn


def test_a_budget_that_the_smallest_examples_leave_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, recorded = Drawn(monkeypatch), Recorded(kinds=(3, 5))
    run_search(recorded.law, 1001, seed=7, shrink=False)
    smallest = list(smallest_examples(1, (3, 5)))
    assert recorded.examples == smallest
    assert drawn.calls == [{"max_examples": (1002 - 2 * len(smallest)) // 2, "seed": 7, "shrink": False}]
    run_search(recorded.law, 1001)
    assert (drawn.calls[1]["seed"], drawn.calls[1]["shrink"]) == (0, True)


@pytest.mark.parametrize(
    ("batched", "independent_sets", "kinds", "number"),
    [
        (True, True, {(3, 5)}, 1000 - 90),
        (True, False, {(3,), (5,)}, 2 * (1000 - 45)),
        (False, False, {(3, 5)}, 2 * (1000 - 45)),
        (False, True, {(3, 5)}, 2 * (1000 - 45)),
    ],
)
def test_sets_come_alone_if_an_encoder_mixes_those_of_a_batch_about_which_the_law_does_not_speak(
    batched: bool, independent_sets: bool, kinds: set[tuple[int, ...]], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, recorded = Drawn(monkeypatch), Recorded(kinds=(3, 5), batched=batched)
    run_search(recorded.law, 1000, independent_sets=independent_sets)
    assert {example.kinds for example in recorded.examples} == kinds
    assert drawn.numbers == [number // 2]


def test_sets_come_in_batches_unless_an_encoder_mixes_them() -> None:
    recorded = Recorded(kinds=(3, 5))
    run_search(recorded.law, 8)
    assert recorded.examples[0].kinds == (3, 5)


def test_examples_are_of_the_sizes_of_the_law() -> None:
    recorded = Recorded(kinds=(0,), min_size=2, max_size=3)
    run_search(recorded.law, 70, subjects=2)
    assert set(recorded.sizes) == {2, 3}
    number = sum(2 <= example.n <= 3 for example in smallest_examples(1))
    smallest, drawn = recorded.examples[:number], recorded.examples[number:]
    assert smallest == [example for example in smallest_examples(2, (0,)) if 2 <= example.n <= 3]
    assert {example.variant for example in drawn} == {0, 1}
    assert {example.kinds for example in drawn} == {(0,)}
    large = Recorded(kinds=(0, 1), min_size=8, max_size=10)
    run_search(large.law, 60, independent_sets=False)
    assert set(large.sizes) == {8, 9, 10}
    assert {example.kinds for example in large.examples} == {(0,), (1,)}


def test_the_first_examples_of_a_law_come_before_the_smallest_and_others_after(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, recorded = Drawn(monkeypatch), Recorded(first=(A,), then=(B, C))
    run_search(recorded.law, 40)
    assert recorded.sizes == [11, 1, 1, 1, 12, 13]
    assert drawn.numbers == []  # 52 sets were tried


def test_fixed_examples_are_tried_in_place_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, recorded = Drawn(monkeypatch), Recorded(first=(A,), fixed=(B,), then=(C,))
    assert run_search(recorded.law, 1000).examples == 3
    assert recorded.sizes == [11, 12, 13]
    assert drawn.numbers == []


def test_examples_are_such_that_the_encoder_admits_them() -> None:
    recorded = Recorded(first=(A,), kinds=(0,))
    run_search(recorded.law, 80, domain=Domain(min_size=4, vocabulary=5, order_sensitive=True))
    assert recorded.sizes[:2] == [14, 4]
    assert min(recorded.sizes) == 4
    assert max(recorded.sizes) > 14  # which are drawn
    assert {(example.vocabulary, example.arrangement) for example in recorded.examples} == {(5, "contiguous")}


def test_the_search_ends_at_a_counterexample(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, recorded = Drawn(monkeypatch), Recorded(lambda example: example.n == 2, batched=False, kinds=(0, 1))
    result = run_search(recorded.law, 1000)
    assert result.examples == 4
    assert result.counterexample_size == 2
    assert not result.holds
    assert recorded.sizes == [1, 1, 1, 2, 2]  # the last of fewer sets
    assert drawn.numbers == []


# ---- another search


def test_a_law_may_search_for_itself() -> None:
    calls: list[tuple[Any, ...]] = []

    def explore(run: LawRun, *, examples: int, seed: int, shrink: bool) -> Observation | None:
        calls.append((examples, seed, shrink, torch.is_grad_enabled()))
        run.try_example(A)
        return run.try_example(B) if seed else None

    recorded = Recorded(lambda example: example == B, explore=explore)
    store = ExampleStore(InMemoryExampleDatabase(), b"key")
    assert run_search(recorded.law, 77, store=store).holds
    result = run_search(recorded.law, 78, seed=3, shrink=False, store=store)
    assert calls == [(77, 0, True, False), (78, 3, False, False)]
    assert result.counterexample is not None
    assert (result.counterexample.example, result.examples, result.num_applicable) == (B, 2, 2)


# ---- stored counterexamples


def test_stored_examples_are_tried_until_one_breaks_the_law() -> None:
    store = ExampleStore(InMemoryExampleDatabase(), b"key")
    for example in (A, B, C):
        store.save(example)
    first, second, third = store.load().values()
    recorded = Recorded(lambda example: example == second)
    result = run_search(recorded.law, store=store)
    assert recorded.examples == [first, second]
    assert result.counterexample is not None
    assert result.counterexample.example == second
    assert set(store.load().values()) == {second, third}


def test_nothing_is_stored_of_a_law_that_holds_and_without_a_store() -> None:
    store = ExampleStore(InMemoryExampleDatabase(), b"key")
    assert run_search(Recorded().law, 16, store=store).holds
    assert store.load() == {}
    broken = Recorded(lambda _: True)
    assert not run_search(broken.law, 16).holds
    assert not run_search(broken.law, 16, store=store).holds
    assert len(store.load()) == 1


# ---- results


def test_a_result_says_what_was_observed() -> None:
    def check(subject: Subject, data: ExampleData) -> Comparison:
        one = torch.ones(len(data.x), dtype=torch.float64)
        if data.example.n == 11:
            raise NotApplicable("too large")
        is_nearby = subject.perturbation == COARSE_PERTURBATION
        return Comparison(1e-3 * one * (not is_nearby), 5e-3 * one, scale=one)

    result = run_search(law_of(check, fixed=(A, B, C)))
    assert result.holds
    assert (result.examples, result.num_applicable, result.reason_not_applicable) == (3, 2, "too large")
    assert (result.worst.gap, result.worst.bound, result.worst.example) == (1e-3, 5e-3, C)
    assert result.relative_bound == 5e-3
    assert result.undecided is not None
    assert result.undecided.example == B
    assert result.culprit == ""


def test_a_result_is_that_of_a_law_which_was_tried_unless_it_says_otherwise() -> None:
    result = SearchResult(3, HOLDS, reason_not_applicable="too small")
    assert result.why_untried == ""
    assert (result.undecided, result.relative_bound, result.culprit) == (None, 0, "")
    assert SearchResult(3, HOLDS, num_applicable=0).why_untried == ""


@pytest.mark.parametrize("error", [LawTimeout(), LawOutOfMemoryError("no more")])
def test_a_counterexample_is_kept_if_time_or_memory_runs_out_while_it_is_simplified(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simplify(run: LawRun, observation: Observation, *, drop_elements: bool) -> Observation:
        raise error

    monkeypatch.setattr(search_module, "simplify", simplify)
    recorded, store = Recorded(lambda example: example.n > 1), ExampleStore(InMemoryExampleDatabase(), b"key")
    counterexample = run_search(recorded.law, store=store).counterexample
    assert counterexample is not None
    assert counterexample.example == recorded.examples[-1]
    assert list(store.load().values()) == [counterexample.example]
    with pytest.raises(LawTimeout):
        run_search(Recorded().law, seconds=0.0)
