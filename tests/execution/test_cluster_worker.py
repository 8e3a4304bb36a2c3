"""What happens on a worker of a cluster: its first answer, and cells with the data that they need."""

import json
import multiprocessing
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mbcbench.execution.cluster import worker as worker_side
from mbcbench.execution.cluster.worker import Command, end_command, greet, list_requirements, run_job
from mbcbench.execution.prepare import PREPARE
from mbcbench.execution.runner import Event, Finished, Job, Limits, Started
from mbcbench.execution.suite import DataNeed
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record
from tests.cli.helpers import HONEST
from tests.conftest import Plugins
from tests.execution.test_prepare import DIGITS, LARGE


def command_of(requirements: dict[str, str]) -> Command:
    return Command("name", (), (), str(Path.cwd()), requirements)


def test_a_worker_like_this_process_can_be_used(plugins: Plugins) -> None:
    command = command_of(list_requirements([HONEST], "."))
    greeting = greet(replace(command, user_encoders=(HONEST,)))
    assert not greeting.problem
    assert greeting.processor


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("torch version", "1.0", "its torch version is "),
        ("mbcbench source", "other", "its mbcbench source differs from the one here"),
        ("suite mine", "my:SUITE", "it lacks the suite mine"),
        ("encoder sse", "my:E", "it lacks the encoder sse"),
        ("file mine.py", "abc", "it lacks the file mine.py"),
    ],
)
def test_a_worker_with_other_sources_cannot_be_used(plugins: Plugins, name: str, value: str, problem: str) -> None:
    requirements = {**list_requirements([], "."), name: value}
    assert problem in greet(command_of(requirements)).problem


def test_an_encoder_file_that_differs_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("E = 1")
    requirements = list_requirements(["mine.py:E"], str(tmp_path))
    (tmp_path / "mine.py").write_text("E = 2")
    command = Command("name", (), ("mine.py:E",), str(tmp_path), requirements)
    assert greet(command).problem == "its file mine.py differs from the one here"


def test_a_daemonic_worker_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    assert greet(command_of({})).problem == worker_side.DAEMONIC


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Event]]:
    """Return the events that this process, in place of a worker of Dask, sends to the client."""
    sent: list[Event] = []
    worker = SimpleNamespace(log_event=lambda topic, content: sent.append(pickle.loads(content)))
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_worker=lambda: worker))
    yield sent
    end_command("name")


def run_cell(*needs: DataNeed) -> Record:
    """Run a cell that needs data, and return its record."""
    cell = Cell(suite="encode", case="once", encoder=HONEST, params={"n": 5})
    (line,) = run_job(replace(command_of({}), user_encoders=(HONEST,)), Job(cell, Limits(), needs))
    return Record.from_dict(json.loads(line))


def test_a_worker_prepares_data_once_and_reports_that(plugins: Plugins, events: list[Event]) -> None:
    assert run_cell(DIGITS).status == "ok"
    kinds = [(type(event), event.cell.case) for event in events]
    assert kinds[0] == (Started, PREPARE)
    assert kinds[-2:] == [(Finished, PREPARE), (Started, "once")]
    events.clear()
    assert run_cell(DIGITS).status == "ok"
    assert [event.cell.case for event in events] == ["once"]


def test_data_that_a_worker_cannot_prepare_are_a_row(plugins: Plugins, events: list[Event]) -> None:
    record = run_cell(LARGE)
    assert record.status == "error"
    assert record.message.startswith("not run: the data set photographs cannot be prepared: ")
    assert {event.cell.case for event in events} == {PREPARE}


def test_a_cell_runs_in_the_folder_of_the_command_if_the_worker_has_it(
    plugins: Plugins, events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\nE = nn.Linear(4, 2)\n")
    cell = Cell(suite="encode", case="once", encoder="mine.py:E", params={"n": 5})
    for folder, status in ((tmp_path, "ok"), (tmp_path / "elsewhere", "error")):
        command = replace(command_of({}), folder=str(folder))
        (line,) = run_job(command, Job(cell, Limits()))
        assert Record.from_dict(json.loads(line)).status == status
