"""Every registered encoder keeps the laws it claims, breaks those it says it breaks, and no other."""

from functools import lru_cache

import pytest

from mbcbench import registry
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.validate import DEFAULT_DIM_IN

BUDGET = Budget(examples=64)
AS_CLAIMED = {Status.PASS, Status.XFAIL, Status.SKIP, Status.OK}


@lru_cache(maxsize=2)
def checker(encoder: str) -> Checker:
    return Checker(encoder, dim_in=DEFAULT_DIM_IN, seed=0)


@pytest.mark.parametrize("law", registry.select(registry.LAWS, None))
@pytest.mark.parametrize("encoder", registry.plugins(registry.ENCODERS))
def test_encoder_is_as_claimed(encoder: str, law: str) -> None:
    result = checker(encoder).try_law(get_law(law), BUDGET)
    assert result.status in AS_CLAIMED, f"{result.status}: {result.message} {result.search}"
