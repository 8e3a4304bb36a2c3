"""Plans: follow-up cells, and what is in the identity of a cell."""

from pathlib import Path

from mbcbench.execution import planner
from mbcbench.execution.planner import Planned, RunOptions, Step
from mbcbench.execution.progress import Progress
from mbcbench.execution.runner import Finished
from mbcbench.records.cache import RunCache, reasons
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from tests.cli.helpers import HONEST
from tests.conftest import Plugins

SUITE = """
from dataclasses import replace

from mbcbench.execution.suite import Suite
from mbcbench.records.cell import Cell


def cells(request):
    return [Cell(suite="two", case="first", encoder=e, params={"n": n}) for e in request.encoders for n in (1, 3, 2)]


def follow_up(request, records):
    best = max(records, key=lambda record: record.value)
    return [Cell(suite="two", case="second", encoder=best.encoder, params={"n": best.params["n"]})]


def run(cell):
    if cell.case == "first" and cell.params["n"] == 0:
        raise ValueError("no")
    return [cell.record("ok", value=float(cell.params["n"]))]


TWO = Suite(name="two", summary="two stages", cells=cells, run=run, seconds={"quick": 30}, follow_up=follow_up)
BAD = replace(TWO, name="bad", follow_up=lambda request, records: 1 / 0)
TIMED = replace(TWO, name="timed", exclusive=True, cells=lambda request: [Cell(suite="timed", case="x", encoder="")])
"""


def steps_of(plugins: Plugins, name: str, cache: RunCache | None = None) -> list[Step]:
    plugins.module("stages", SUITE)
    plugins.add("suites", "two", "stages:TWO")
    if name != "two":
        plugins.add("suites", name, f"stages:{name.upper()}")
    options = RunOptions(encoders=(HONEST,), user_encoders=frozenset({HONEST}))
    return list(planner.run_suites(options, [name], "quick", cache))


def records_of(steps: list[Step], case: str) -> list[Record]:
    return [r for step in steps if isinstance(step, Finished) for r in step.records if r.case == case]


def test_cells_that_depend_on_the_records_of_the_first_ones_run_after_them(plugins: Plugins) -> None:
    steps = steps_of(plugins, "two")
    assert [r.value for r in records_of(steps, "first")] == [1, 3, 2]
    assert [r.value for r in records_of(steps, "second")] == [3]
    cases = [step.cell.case for step in steps if isinstance(step, Finished)]
    assert cases.index("second") > max(i for i, case in enumerate(cases) if case == "first")


def test_the_second_plan_has_the_cells_of_both_stages(plugins: Plugins) -> None:
    first, second = (step for step in steps_of(plugins, "two") if isinstance(step, Planned))
    assert [len(first.cells), len(second.cells)] == [3, 4]
    assert second.cells[:3] == first.cells
    assert [cell.case for cell in second.to_run] == ["second"]


def test_the_reasons_of_both_stages_are_counted(plugins: Plugins, tmp_path: Path) -> None:
    progress = Progress(workers=1)
    for step in steps_of(plugins, "two", RunCache(tmp_path)):
        progress.update(step)
    assert reasons(progress.misses) == "new (4)"
    assert progress.to_run == 4


def test_a_follow_up_that_raises_is_a_record(plugins: Plugins) -> None:
    (record,) = records_of(steps_of(plugins, "bad"), "follow-up")
    assert record.status is Status.ERROR
    assert "ZeroDivisionError" in record.message


def test_only_suites_that_measure_the_machine_depend_on_the_processor(plugins: Plugins) -> None:
    def identities(name: str) -> list[Cell]:
        return [cell for step in steps_of(plugins, name) if isinstance(step, Planned) for cell in step.cells]

    assert all("processor" not in cell.identity for cell in identities("two"))
    assert all("torch version" in cell.identity for cell in identities("two"))
    assert all("processor" in cell.identity for cell in identities("timed"))
