"""A law says the same about an example in each version.

After intended changes, `python -m tests.verify.observations` writes what the laws say now; look at the difference.
"""

import json
import math
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from mbcbench import registry
from tests.verify.observations import OBSERVATIONS, SEARCHES, observe, search

LAWS = list(registry.plugins(registry.LAWS))
SLOW = (
    "hygiene.rng", "mbc.distributed", "mbc.mask", "mbc.memory", "mbc.partition", "mbc.train", "symmetry.padding",
)  # fmt: skip


@cache
def stored(path: Path) -> dict[str, list[dict[str, Any]]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {law: list(group) for law, group in groupby(rows, key=lambda row: str(row["law"]))}


def is_same(value: Any, other: Any) -> bool:
    """Return True if two JSON values are equal, but for the rounding of numbers."""
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(is_same(each, other[key]) for key, each in value.items())
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(is_same, value, other))
    if isinstance(value, float) and isinstance(other, float):
        return value == other or math.isclose(value, other, rel_tol=1e-4) or (math.isnan(value) and math.isnan(other))
    return type(value) is type(other) and bool(value == other)


def assert_same(rows: Iterable[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for row, stored_row in zip(rows, expected, strict=True):
        different = {
            key: (value, row.get(key)) for key, value in stored_row.items() if not is_same(value, row.get(key))
        }
        assert not different, (row["encoder"], row["sizes"])


def test_every_law_is_observed_where_it_is_broken_or_kept() -> None:
    assert list(stored(OBSERVATIONS)) == LAWS
    outcomes = [row["outcome"] for rows in stored(OBSERVATIONS).values() for row in rows]
    assert outcomes.count("broken") > 400
    assert outcomes.count("kept") > 300


@pytest.mark.parametrize("law", [pytest.param(law, marks=[pytest.mark.slow] if law in SLOW else []) for law in LAWS])
def test_a_law_says_the_same_about_an_example(law: str) -> None:
    assert_same(observe(law), stored(OBSERVATIONS)[law])


@pytest.mark.slow
@pytest.mark.parametrize("law", stored(SEARCHES))
def test_a_law_finds_the_same_counterexample(law: str) -> None:
    assert_same(search(law), stored(SEARCHES)[law])
