"""`mbcbench run`: reports and records, reuse of earlier runs, failures, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import mbcbench
from mbcbench.records import store
from tests.cli.helpers import BROKEN, HONEST, run_only
from tests.conftest import Command, Plugins
from tests.processes import PATIENCE, comes_true, running


def test_run_prints_the_leaderboard_and_stores_the_records(command: Command) -> None:
    code, out, _ = run_only(command, HONEST, "--profile", "smoke")
    assert code == 0
    assert "LEADERBOARD smoke" in out
    assert "1 cell: 1 ok, 0 failed" in out
    (folder,) = Path(".mbcbench/runs").iterdir()
    assert (folder / "leaderboard.html").read_text().startswith("<html>")
    frame = mbcbench.load(folder)
    assert frame[frame["suite"] == "encode"]["status"].tolist() == ["ok"]


def test_a_second_run_runs_only_new_and_changed_cells(command: Command, tmp_path: Path) -> None:
    encoder = tmp_path / "mine.py"
    encoder.write_text("from torch import nn\nE = lambda d: nn.Sequential(nn.Linear(d, 2))\n")
    target = f"{encoder}:E"
    run_only(command, target)
    _, out, _ = run_only(command, target, "--encoder", HONEST)
    assert "1 of 2 cells reused; 1 run: new (1)" in out
    encoder.write_text("from torch import nn\nE = lambda d: nn.Sequential(nn.Linear(d, 2), nn.Identity())\n")
    _, out, _ = run_only(command, target, "--encoder", HONEST)
    assert "1 of 2 cells reused; 1 run: encoder source changed (1)" in out
    _, out, _ = run_only(command, target, "--fresh")
    assert "reused" not in out


def test_a_changed_weight_is_a_changed_cell(command: Command, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("1")
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom pathlib import Path\n"
        f"E = nn.Linear(4, 2)\nnn.init.constant_(E.weight, float(Path({str(tmp_path / 'number')!r}).read_text()))\n"
        "nn.init.zeros_(E.bias)\n"
    )
    run_only(command, "mine.py:E")
    _, out, _ = run_only(command, "mine.py:E")
    assert "1 of 1 cell reused" in out
    (tmp_path / "number").write_text("2")
    _, out, _ = run_only(command, "mine.py:E")
    assert "1 run: encoder weights changed (1)" in out


def test_registered_encoders_run_and_a_broken_one_is_a_row(plugins: Plugins, command: Command) -> None:
    plugins.module("third", "from torch import nn\nGOOD = nn.Linear(4, 2)\nBAD = 3")
    for name in ("good", "bad", "missing"):
        plugins.add("encoders", name, "gone:X" if name == "missing" else f"third:{name.upper()}")
    code, out, _ = command("run", "--suite", "encode", "--encoder", HONEST)
    frame = mbcbench.load()
    rows = frame[frame["suite"] == "encode"].set_index("encoder")
    assert code == 2
    assert rows["status"].to_dict() == {"bad": "error", "missing": "error", "good": "ok", HONEST: "ok"}
    assert "No module named 'gone'" in rows["message"].to_dict()["missing"]
    assert "4 cells: 2 ok, 2 failed" in out


def test_a_broken_suite_is_a_row(plugins: Plugins, command: Command) -> None:
    plugins.add("suites", "torn", "gone:SUITE")
    code, out, _ = command("run", "--only-encoders", "--encoder", HONEST, "--suite", "torn", "--suite", "encode")
    frame = mbcbench.load()
    assert code == 2
    assert "No module named 'gone'" in frame[frame["case"] == "plan"]["message"].item()
    assert "1 cell: 1 ok" in out


def test_a_broken_report_is_one_line_and_the_records_are_safe(plugins: Plugins, command: Command) -> None:
    plugins.add("reports", "leaderboard", "gone:REPORT")
    code, _, err = run_only(command, HONEST)
    assert code == 2
    assert "mbcbench: the report leaderboard broke: ModuleNotFoundError: No module named 'gone'\n" in err
    assert len(mbcbench.load()) == 2


def test_quiet_prints_no_progress(command: Command) -> None:
    assert run_only(command, f"{BROKEN}:Raises", "--quiet")[2] == ""
    assert "no forward today" in run_only(command, f"{BROKEN}:Raises")[2]


def interrupt(
    arguments: list[str], folder: Path, is_ready: Callable[[int], bool], terminates: bool = False
) -> tuple[int, str, str]:
    """Run the program in a session of its own, press Ctrl-C or `kill` it once it is ready, and return how it ended."""
    call = [sys.executable, "-P", "-m", "mbcbench.cli.main", *arguments, "--quiet"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(call, cwd=folder, **pipes) as program:
        assert comes_true(lambda: is_ready(program.pid))
        if terminates:
            program.terminate()
        else:
            os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=PATIENCE)
    return program.returncode, out, err


@pytest.mark.parametrize("terminates", [False, True], ids=["Ctrl-C", "kill"])
def test_ctrl_c_is_one_line_and_keeps_finished_cells(plugins: Plugins, tmp_path: Path, terminates: bool) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\nfrom torch import nn\n"
        "class E(nn.Linear):\n"
        "    def __init__(self, d):\n        super().__init__(d, 2)\n"
        "    def forward(self, x):\n        time.sleep(600 if x.shape[1] == 5 else 0)\n"
        "        return super().forward(x)\n"
    )
    arguments = ["run", "--only-encoders", "--suite", "encode", "--jobs", "1", "--time-limit", "600"]
    arguments += ["--encoder", HONEST, "--encoder", f"{slow}:E"]

    def has_ended_cell(_: int) -> bool:
        return any(mbcbench.load(folder)["suite"].eq("encode").any() for folder in _runs(tmp_path))

    code, _, err = interrupt(arguments, tmp_path, has_ended_cell, terminates)
    assert code == 130
    assert err.startswith("mbcbench: interrupted after 1 of 2 cells; what ended is kept in")
    assert err.count("\n") == 1


def test_ctrl_c_while_the_first_process_starts_is_one_line(tmp_path: Path) -> None:
    def loads_libraries(program: int) -> bool:
        commands = [" ".join(child.cmdline()) for child in psutil.Process(program).children()]
        time.sleep(0.3)  # it takes seconds
        return any("forkserver" in command for command in commands)

    ended = interrupt(["check", HONEST], tmp_path, loads_libraries)
    assert ended == (130, "", "mbcbench: interrupted after 0 cells\n")


def _runs(root: Path) -> list[Path]:
    return [path.parent for path in (root / ".mbcbench" / "runs").glob("*/records.jsonl")]


def test_cells_that_measure_time_run_alone(plugins: Plugins, command: Command) -> None:
    plugins.module(
        "timed",
        "import time\nfrom mbcbench.records.cell import Cell\nfrom mbcbench.execution.suite import Suite\n"
        "def cells(request):\n"
        "    return [Cell(suite='timed', case=str(n), encoder=request.encoders[0]) for n in range(3)]\n"
        "def run(cell):\n"
        "    began = time.monotonic()\n    time.sleep(0.2)\n"
        "    return [cell.record('ok', detail={'began': began, 'ended': time.monotonic()})]\n"
        "S = Suite(name='timed', summary='', cells=cells, run=run, seconds={'quick': 20.0}, exclusive=True)\n",
    )
    plugins.add("suites", "timed", "timed:S")
    command("run", "--only-encoders", "--encoder", HONEST, "--suite", "timed", "--jobs", "3")
    frame = mbcbench.load()
    spans = frame[frame["suite"] == "timed"].sort_values("detail.began")
    assert (spans["detail.ended"].to_numpy()[:-1] <= spans["detail.began"].to_numpy()[1:]).all()


def test_every_suite_has_run_a_cell_before_one_runs_its_second(plugins: Plugins, command: Command) -> None:
    command("run", "--only-encoders", "--encoder", HONEST, "--suite", "laws", "--suite", "encode", "--jobs", "1")
    frame = mbcbench.load()
    assert frame[frame["suite"] != "probe"]["suite"].tolist() == ["laws", "encode", "laws"]


@pytest.mark.parametrize("ended", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_resumes_and_ends_with_the_records_of_an_undisturbed_one(
    plugins: Plugins, command: Command, tmp_path: Path, ended: int
) -> None:
    plugins.module(
        "drawn",
        "import time, torch\nfrom mbcbench.records.cell import Cell\nfrom mbcbench.execution.suite import Suite\n"
        "def cells(request):\n"
        "    return [Cell(suite='drawn', case='once', encoder=e, seed=s) for e in request.encoders for s in range(8)]\n"
        "def run(cell):\n"
        "    generator = torch.Generator().manual_seed(cell.seed)\n    time.sleep(0.05)\n"
        "    return [cell.record('ok', value=torch.rand((), generator=generator).item()) for _ in range(3)]\n"
        "S = Suite(name='drawn', summary='', cells=cells, run=run, seconds={'smoke': 60.0})\n",
    )
    plugins.add_default_suite("drawn", "drawn:S")
    asked = ["run", "--only-encoders", "--encoder", HONEST, "--suite", "drawn", "--profile", "smoke", "--quiet"]
    call = [sys.executable, "-P", "-m", "mbcbench.cli.main", *asked]
    with running(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        assert comes_true(lambda: any(len(store.records(f)) > 3 * ended for f in _runs(tmp_path)))
        program.kill()
    assert command(*asked)[0] == 0
    assert command(*asked, "--out", "undisturbed")[0] == 0
    assert _outcomes(store.find(root=Path("undisturbed"))) == _outcomes(store.find())


def _outcomes(folder: Path) -> list[tuple[object, ...]]:
    records = [r for r in store.records(folder) if r.suite != "probe"]
    return sorted((r.cell, r.seed, str(r.status), r.value, r.message) for r in records)
