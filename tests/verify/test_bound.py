"""The bound: no alarm on correct encoders, however ill-conditioned."""

import math

import pytest

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.examine import Effort, Examination
from mbcbench.verify.law import Law
from tests.controls.base import CORRECT
from tests.controls.conditioned import CONDITIONED

EFFORT = Effort(examples=320, seconds=math.inf)
DEAR = ("mbc.large", "mbc.program")
ALGEBRA = [
    law
    for law in registry.plugins(registry.LAWS)
    if law.startswith(("mbc.", "symmetry.", "numerics.scale")) and law not in DEAR
]


@pytest.mark.parametrize("encoder", [*CORRECT, *CONDITIONED], ids=lambda encoder: encoder.__name__)
def test_a_correct_encoder_raises_no_alarm(encoder: type) -> None:
    examination = Examination(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    laws: list[Law] = [registry.plugin(registry.LAWS, law).load() for law in ALGEBRA]
    verdicts = {law.id: examination.verdict(law, EFFORT) for law in laws}
    alarms = {law: v.outcome for law, v in verdicts.items() if v.status in (Status.FAIL, Status.ERROR)}
    assert not alarms
