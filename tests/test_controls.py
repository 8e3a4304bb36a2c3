"""Every law catches its controls, with a small counterexample, and no control is caught by a law that it keeps."""

from functools import cache

import pytest

from mbcbench import registry
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import Law
from mbcbench.verify.law_result import LawResult
from mbcbench.verify.search import SearchResult
from tests.controls import Control, control, controls

QUICK = Budget(examples=2000)
GLANCE = Budget(examples=64, min_examples=1)
REPORTED = "numerics.precision"  # measures, and never fails
EXPENSIVE = ("mbc.large", "symmetry.size")  # sets of 65,000 elements: tried on their own controls only

SLOW = ("MergeDetaches", "MergeSpoilsGraph", "RandomSampleOfLargeSets", "SlotsOfProcess")  # to be caught by their laws

every_control = pytest.mark.parametrize(
    "wrong",
    [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.name in SLOW else []) for c in controls()],
)


@cache
def laws() -> dict[str, Law]:
    return {name: plugin.load() for name, plugin in registry.plugins(registry.LAWS).items()}


@cache
def checker(wrong: Control) -> Checker:
    return Checker(wrong.spec, dim_in=3, seed=0)


@cache
def result(wrong: Control, law: str, budget: Budget) -> LawResult:
    return checker(wrong).try_law(laws()[law], budget)


def search_result(wrong: Control) -> SearchResult:
    search = result(wrong, wrong.breaks, QUICK).search
    assert search is not None
    return search


@every_control
def test_a_control_is_caught_by_its_law(wrong: Control) -> None:
    broken = result(wrong, wrong.breaks, QUICK)
    assert broken.status in (Status.FAIL, Status.ERROR), broken.message


def slow_unless_first() -> "list[pytest.ParameterSet]":
    """Return every control; those are slow that are not the first one of their law."""
    firsts = {wrong.breaks: wrong for wrong in reversed(controls())}.values()
    return [
        pytest.param(wrong, id=wrong.name, marks=[] if wrong in firsts else [pytest.mark.slow]) for wrong in controls()
    ]


@pytest.mark.parametrize("wrong", slow_unless_first())
def test_a_control_keeps_all_other_laws(wrong: Control) -> None:
    other_laws = [
        law for law in registry.select(registry.LAWS, None) if law not in (wrong.breaks, *EXPENSIVE, *wrong.also)
    ]
    results = {law: result(wrong, law, GLANCE) for law in other_laws}
    broken = {law: r for law, r in results.items() if r.status in (Status.FAIL, Status.ERROR)}
    assert not broken


def test_every_law_has_a_control() -> None:
    assert {wrong.breaks for wrong in controls()} == laws().keys() - {REPORTED}


def test_controls_speak_of_known_laws_and_say_what_they_get_wrong() -> None:
    for wrong in controls():
        assert {wrong.breaks, *wrong.also} <= laws().keys()
        assert wrong.breaks not in wrong.also
        assert wrong.summary.endswith(".")
        assert control(wrong.name) == wrong  # names are unique


@pytest.mark.parametrize(
    ("name", "n", "chunks"),
    [
        ("MeanOfChunkMeans", 3, [(1, 2), (2, 1)]),
        ("ChunkSoftmax", 2, [(1, 1)]),
        ("FirstElementBias", 2, [(2,), (1, 1)]),
        ("ChunkCap100", 101, [(1, 100), (100, 1)]),
        ("UInt8Count", 256, None),
    ],
)
def test_counterexamples_are_as_small_as_can_be(name: str, n: int, chunks: list[tuple[int, ...]] | None) -> None:
    counterexample = search_result(control(name)).counterexample
    assert counterexample is not None
    assert counterexample.example.n == n
    assert chunks is None or counterexample.example.sizes in chunks


@pytest.mark.parametrize("name", ["EpsilonPerChunk", "SinglePrecisionSum", "PositionLeak", "MergePrefersLeft"])
def test_subtle_faults_are_plain_to_see(name: str) -> None:
    counterexample = search_result(control(name)).counterexample
    assert counterexample is not None
    assert counterexample.gap < 1e-3
    assert counterexample.gap > 100 * counterexample.bound
