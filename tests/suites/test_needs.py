"""The data that cells need: all that they load is made ready before they start."""

from collections.abc import Callable

import pytest

from mbcbench import registry
from mbcbench.datasets import cache, data_set
from mbcbench.execution.suite import PROFILES, Profile, Request, Suite
from mbcbench.records.cell import Cell


class LoadedError(Exception):
    """Arrays with this key were about to be loaded."""


@pytest.fixture(autouse=True)
def no_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(key: str, make: Callable[[], cache.Arrays]) -> cache.Arrays:
        raise LoadedError(key)

    monkeypatch.setattr(cache, "cached_arrays", load)


def key_of(action: Callable[[], object]) -> str:
    """Return the key of the arrays that some code loads first."""
    with pytest.raises(LoadedError) as loaded:
        action()
    return str(loaded.value)


def different_cells(suite: Suite, profile: Profile) -> list[Cell]:
    """Return a cell of each suite, case and choice of data."""
    request = Request(encoders=["deepsets-max"], profile=profile)
    cells: dict[tuple[object, ...], Cell] = {}
    for cell in suite.cells(request):
        choice = (cell.params.get(name) for name in ("data", "size", "points"))
        cells.setdefault((cell.suite, cell.case, *choice), cell)
    return list(cells.values())


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["point-clouds", "cad-points", "image-completion", "centroids", "gradients", "paper"])
def test_a_cell_loads_the_data_that_its_suite_names(name: str, profile: Profile) -> None:
    planned_by: Suite = registry.plugin(registry.SUITES, name).load()
    if profile not in planned_by.seconds:
        profile = "quick"  # as the planner does
    for cell in different_cells(planned_by, profile):
        if cell.suite == "laws":  # which need no data
            continue
        assert_loads_what_it_needs(registry.plugin(registry.SUITES, cell.suite).load(), cell)


def assert_loads_what_it_needs(suite: Suite, cell: Cell) -> None:
    (need,) = suite.needs(cell)
    prepared = key_of(lambda: data_set(need.name).prepare(need.loader, need.arguments))
    assert key_of(lambda: list(suite.run(cell))) == prepared
