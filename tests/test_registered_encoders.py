"""Every registered encoder keeps the laws it claims, breaks those it says it breaks, and no other."""

import math
from functools import lru_cache

import pytest

from mbcbench import registry
from mbcbench.protocol.target import DEFAULT_DIM_IN, get_spec
from mbcbench.records.record import Status
from mbcbench.verify.examine import Effort, Examination
from mbcbench.verify.law import Law

EFFORT = Effort(examples=64, seconds=math.inf)
AS_CLAIMED = {Status.PASS, Status.XFAIL, Status.SKIP, Status.OK}


@lru_cache(maxsize=2)
def examination(encoder: str) -> Examination:
    return Examination(get_spec(encoder), dim_in=DEFAULT_DIM_IN, seed=0)


@pytest.mark.parametrize("law", registry.plugins(registry.LAWS))
@pytest.mark.parametrize("encoder", registry.plugins(registry.ENCODERS))
def test_encoder_is_as_claimed(encoder: str, law: str) -> None:
    subject: Law = registry.plugin(registry.LAWS, law).load()
    verdict = examination(encoder).verdict(subject, EFFORT)
    assert verdict.status in AS_CLAIMED, f"{verdict.status}: {verdict.message} {verdict.outcome}"
