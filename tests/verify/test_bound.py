"""The bound: no alarm on correct encoders, however ill-conditioned."""

import pytest

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from tests.controls.base import CORRECT
from tests.controls.cancelling import CANCELLING, PeakInGraph
from tests.controls.conditioned import CONDITIONED

BUDGET = Budget(examples=320)
EXPENSIVE = ("mbc.large", "mbc.program")
ALGEBRA = [
    law
    for law in registry.plugins(registry.LAWS)
    if law.startswith(("mbc.", "symmetry.", "numerics.scale")) and law not in EXPENSIVE
]


@pytest.mark.parametrize("encoder", [*CORRECT, *CONDITIONED], ids=lambda encoder: encoder.__name__)
def test_a_correct_encoder_raises_no_alarm(encoder: type) -> None:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    results = {law: checker.try_law(get_law(law), BUDGET) for law in ALGEBRA}
    alarms = {law: r.search for law, r in results.items() if r.status in (Status.FAIL, Status.ERROR)}
    assert not alarms


@pytest.mark.parametrize("encoder", CANCELLING, ids=lambda encoder: encoder.__name__)
def test_terms_that_cancel_raise_no_alarm(encoder: type) -> None:
    # Plain poolings do not claim to be consistent for any g, so only their symmetries are judged.
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    laws = ("symmetry.permutation", "symmetry.elements", "symmetry.batch")
    results = {law: checker.try_law(get_law(law), BUDGET) for law in laws}
    alarms = {law: r.search for law, r in results.items() if r.status in (Status.FAIL, Status.ERROR)}
    assert not alarms


@pytest.mark.parametrize("seed", range(3))
def test_a_running_maximum_in_the_graph_keeps_the_gradient_laws(seed: int) -> None:
    checker = Checker(EncoderSpec(name="peak-in-graph", factory=PeakInGraph), dim_in=3, seed=seed)
    results = [checker.try_law(get_law(law), BUDGET) for law in ("mbc.gradient", "mbc.partial_gradient")]
    assert [result.status for result in results] == [Status.PASS, Status.PASS]
