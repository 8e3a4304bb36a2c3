"""Every registered encoder keeps the laws it claims, breaks those it says it breaks, and no other."""

from functools import lru_cache
from itertools import product

import pytest

from mbcbench import registry
from mbcbench.records.record import Status
from mbcbench.verify.checker import PARTITION, Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.validate import DEFAULT_DIM_IN

BUDGET = Budget(examples=64)
LARGE = ("mbc.large", "symmetry.size")  # sets of 65,000 elements
AS_CLAIMED = {Status.PASS, Status.XFAIL, Status.SKIP, Status.OK}


@lru_cache(maxsize=2)
def checker(encoder: str) -> Checker:
    return Checker(encoder, dim_in=DEFAULT_DIM_IN, seed=0)


def cases() -> list[pytest.ParameterSet]:
    """Return all encoders with all laws; those on large sets with the first encoder of each module.

    Only the law about partitions and the first encoder of each module are not marked as slow.
    """
    encoders = registry.plugins(registry.ENCODERS)
    firsts = {plugin.target.partition(":")[0]: name for name, plugin in reversed(encoders.items())}.values()
    pairs = product(encoders, registry.select(registry.LAWS, None))
    return [
        pytest.param(name, law, marks=[] if name in firsts or law == PARTITION else [pytest.mark.slow])
        for name, law in pairs
        if name in firsts or law not in LARGE
    ]


@pytest.mark.parametrize(("encoder", "law"), cases())
def test_encoder_is_as_claimed(encoder: str, law: str) -> None:
    result = checker(encoder).try_law(get_law(law), BUDGET)
    assert result.status in AS_CLAIMED, f"{result.status}: {result.message} {result.search}"


def test_every_encoder_and_every_law_has_a_test_that_is_not_slow() -> None:
    encoders, laws = zip(*(case.values for case in cases() if not case.marks), strict=True)
    assert set(encoders) == registry.plugins(registry.ENCODERS).keys()
    assert set(laws) == set(registry.select(registry.LAWS, None))
