"""What the tests of suites share."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench import registry
from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record


def suite(name: str) -> Suite:
    loaded: Suite = registry.plugin(registry.SUITES, name).load()
    return loaded


def sample(name: str) -> str:
    """The target of an encoder in samples.py."""
    return f"{Path(__file__).with_name('samples.py')}:{name}"


def cells(suite_name: str, encoder: str, *, profile: Profile = "smoke", seed: int = 0, **params: Any) -> list[Cell]:
    """The cells of a sample encoder, some of their parameters replaced."""
    found = suite(suite_name).cells(Request(encoders=[sample(encoder)], profile=profile, seed=seed))
    return [replace(cell, params={**cell.params, **params}) for cell in found]


def run(found: Sequence[Cell]) -> list[Record]:
    return [record for cell in found for record in suite(cell.suite).run(cell)]
