"""Every law catches its controls, with a small counterexample, and no control is caught by a law that it keeps."""

import math
from functools import cache

import pytest

from mbcbench import registry
from mbcbench.records.record import Status
from mbcbench.verify.examine import Effort, Examination, Verdict
from mbcbench.verify.law import Law
from mbcbench.verify.search import Outcome
from tests.controls import Control, control, controls

QUICK = Effort(examples=2000, seconds=math.inf)
GLANCE = Effort(examples=64, seconds=math.inf, fewest=1)
REPORTED = "numerics.precision"  # measures, and never fails
DEAR = "mbc.large"  # sets of 66,000 elements: tried on its own controls only

every_control = pytest.mark.parametrize("wrong", controls(), ids=lambda wrong: wrong.name)


@cache
def laws() -> dict[str, Law]:
    return {name: plugin.load() for name, plugin in registry.plugins(registry.LAWS).items()}


@cache
def examination(wrong: Control) -> Examination:
    return Examination(wrong.spec, dim_in=3, seed=0)


@cache
def verdict(wrong: Control, law: str, effort: Effort) -> Verdict:
    return examination(wrong).verdict(laws()[law], effort)


def caught(wrong: Control) -> Outcome:
    outcome = verdict(wrong, wrong.breaks, QUICK).outcome
    assert outcome is not None
    return outcome


@every_control
def test_a_control_is_caught_by_its_law(wrong: Control) -> None:
    found = verdict(wrong, wrong.breaks, QUICK)
    assert found.status in (Status.FAIL, Status.ERROR), found.message


@every_control
def test_a_control_keeps_all_other_laws(wrong: Control) -> None:
    kept = [law for law in laws() if law not in (wrong.breaks, DEAR, *wrong.also)]
    found = {law: verdict(wrong, law, GLANCE) for law in kept}
    broken = [law for law, verdict in found.items() if verdict.status in (Status.FAIL, Status.ERROR)]
    assert not broken, [(law, found[law].message, found[law].outcome) for law in broken]


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
    found = caught(control(name)).counterexample
    assert found is not None
    assert found.case.n == n
    assert chunks is None or found.case.sizes in chunks


@pytest.mark.parametrize("name", ["EpsilonPerChunk", "SinglePrecisionSum", "PositionLeak", "MergePrefersLeft"])
def test_subtle_faults_are_plain_to_see(name: str) -> None:
    found = caught(control(name)).counterexample
    assert found is not None
    assert found.gap < 1e-3
    assert found.gap > 100 * found.bound
