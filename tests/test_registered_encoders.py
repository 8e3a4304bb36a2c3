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
LAWS = registry.select(registry.LAWS, None)
LARGE = ("mbc.large", "symmetry.size")  # sets of 65,000 elements
AS_CLAIMED = {Status.PASS, Status.XFAIL, Status.SKIP, Status.OK}


@lru_cache(maxsize=2)
def checker(encoder: str) -> Checker:
    return Checker(encoder, dim_in=DEFAULT_DIM_IN, seed=0)


def cases() -> "list[pytest.ParameterSet]":
    """Return all encoders with all laws; those on large sets with the first encoder of each module.

    All are slow but the law about partitions, the first encoder of each module, and large sets with one encoder.
    """
    encoders = registry.plugins(registry.ENCODERS)
    firsts = {plugin.target.partition(":")[0]: name for name, plugin in reversed(encoders.items())}.values()
    quick = {(name, law) for name in firsts for law in LAWS if law not in LARGE}
    quick |= {(name, PARTITION) for name in encoders} | {("sse-deterministic", law) for law in LARGE}
    return [
        pytest.param(*pair, marks=[] if pair in quick else [pytest.mark.slow])
        for pair in product(encoders, LAWS)
        if pair[0] in firsts or pair[1] not in LARGE
    ]


@pytest.mark.parametrize(("encoder", "law"), cases())
def test_encoder_is_as_claimed(encoder: str, law: str) -> None:
    result = checker(encoder).try_law(get_law(law), BUDGET)
    assert result.status in AS_CLAIMED, f"{result.status}: {result.message} {result.search}"


def test_every_encoder_and_every_law_has_a_test_that_is_not_slow() -> None:
    encoders, laws = zip(*(case.values for case in cases() if not case.marks), strict=True)
    assert set(encoders) == registry.plugins(registry.ENCODERS).keys()
    assert set(laws) == set(LAWS)
