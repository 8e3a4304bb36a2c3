"""Helpers of the tests of suites."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench import registry
from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record


def load_suite(name: str) -> Suite:
    suite: Suite = registry.plugin(registry.SUITES, name).load()
    return suite


def sample_target(name: str) -> str:
    """Return the target of an encoder in samples.py."""
    return f"{Path(__file__).with_name('samples.py')}:{name}"


def sample_cells(
    suite_name: str, encoder: str, *, profile: Profile = "smoke", seed: int = 0, **params: Any
) -> list[Cell]:
    """Return the cells of a suite for a sample encoder, with some parameters replaced."""
    request = Request(encoders=[sample_target(encoder)], profile=profile, seed=seed)
    return [replace(cell, params={**cell.params, **params}) for cell in load_suite(suite_name).cells(request)]


def run_cells(cells: Sequence[Cell]) -> list[Record]:
    return [record for cell in cells for record in load_suite(cell.suite).run(cell)]
