"""Runner: whatever a plug-in does, its cell is a row and the other cells complete."""

import os
import re
import sys
from pathlib import Path

import pytest

from mbcbench.execution import runner
from mbcbench.execution.encoder_server import EncoderServers
from mbcbench.execution.runner import Finished, Job, Limits, Started
from mbcbench.execution.suite import PROBE
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from tests.conftest import Plugins
from tests.processes import PATIENCE, alive, comes_true, running

BROKEN_ENCODERS = Path(__file__).parents[1] / "broken_encoders.py"


def outcomes(*cells: Cell, seconds: float = PATIENCE, workers: int = 2) -> dict[str, Record]:
    """Return the first record of each cell, by the attribute of the encoder."""
    jobs = [Job(cell, Limits(seconds=seconds, memory_bytes=2**29)) for cell in cells]
    ended = [e for e in runner.run(jobs, workers=workers) if isinstance(e, Finished)]
    assert sorted(e.cell.key for e in ended) == sorted(cell.key for cell in cells)
    return {e.cell.encoder.rpartition(":")[2]: e.records[0] for e in ended}


def probe(name: str) -> Cell:
    return Cell(suite=PROBE, case="build", encoder=f"{BROKEN_ENCODERS}:{name}")


@pytest.fixture(scope="module")
def probed() -> dict[str, Record]:
    names = ["Honest", "Raises", "Exits", "ExitsAtOnce", "Segfaults", "EatsMemory", "EatsTensors", "Talks"]
    return outcomes(*map(probe, [*names, "ForgetsTheBatch", "FIXED", "Missing"]))


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("Honest", Status.OK, ""),
        ("Raises", Status.ERROR, "RuntimeError: no forward today"),
        ("Exits", Status.ERROR, "SystemExit: 5"),
        ("ExitsAtOnce", Status.CRASH, "exit code 7 (last words)"),
        ("Segfaults", Status.CRASH, "SIGSEGV"),
        ("EatsMemory", Status.OOM, "MemoryError"),
        ("EatsTensors", Status.OOM, "one tensor asked for 4,096.0 GiB ("),
        ("Talks", Status.OK, ""),
        ("ForgetsTheBatch", Status.ERROR, "the first dimension must be the batch size"),
    ],
)
def test_a_defect_is_a_row(probed: dict[str, Record], name: str, status: Status, message: str) -> None:
    record = probed[name]
    assert record.status is status
    assert message in record.message
    assert "\n" not in record.message


def test_a_memory_limit_is_named_as_our_own_with_a_value_to_try(probed: dict[str, Record]) -> None:
    assert re.search(
        r"mbcbench's own limit of .* GiB was reached; try --memory-limit \d+ ", probed["EatsMemory"].message
    )
    # It asks for 2^40 entries in float32.
    suggested = re.search(r"try --memory-limit (\d+)", probed["EatsTensors"].message)
    assert suggested is not None
    assert int(suggested[1]) > 4096


def test_a_probe_describes_an_encoder(probed: dict[str, Record]) -> None:
    detail = probed["Honest"].detail
    assert detail["summary"] == "A sum of projected elements."
    assert (detail["streaming"], detail["merge"], detail["mask"]) == (False, False, False)
    assert (detail["parameters"], detail["output_shape"]) == (3 * 3 + 3, [3])


def test_a_probe_determines_the_element_width_of_an_instance(probed: dict[str, Record]) -> None:
    assert probed["FIXED"].detail["dim_in"] == 7


def test_wrong_usage_has_another_status_than_a_broken_plug_in(probed: dict[str, Record]) -> None:
    assert probed["Missing"].status is Status.USAGE
    assert probed["Raises"].status is Status.ERROR


def test_a_cell_that_hangs_is_killed_even_in_native_code() -> None:
    outcome = outcomes(probe("Hangs"), probe("HangsInNativeCode"), seconds=1.0)
    assert {r.status for r in outcome.values()} == {Status.TIMEOUT}
    assert outcome["Hangs"].message == "took longer than its limit of 1 s (--time-limit)"


@pytest.mark.parametrize("serve", [False, True])
@pytest.mark.parametrize("name", ["DeletesItsFolder", "Forks", "ClosesFiles"])
def test_other_encoders_have_their_records_beside_one_that_does_harm(
    name: str, serve: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    cells = [probe(name), probe("Honest")]
    with EncoderServers({cell.encoder for cell in cells} if serve else ()) as servers:
        for _ in range(2):  # the second time, the folder is missing when the first process starts
            jobs = [Job(cell, Limits(seconds=PATIENCE, memory_bytes=2**29)) for cell in cells]
            ended = [e for e in runner.run(jobs, workers=1, servers=servers) if isinstance(e, Finished)]
            statuses = {e.cell.encoder.rpartition(":")[2]: e.records[0].status for e in ended}
            assert statuses["Honest"] is Status.OK
            assert len(ended) == 2


def test_the_output_of_a_plug_in_does_not_reach_the_display(capfd: pytest.CaptureFixture[str]) -> None:
    outcomes(probe("Talks"))
    assert capfd.readouterr() == ("", "")


def test_a_broken_import_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise ImportError('no such luck')")
    (tmp_path / "exits.py").write_text("import sys; sys.exit(2)")
    cells = [Cell(suite=PROBE, case="build", encoder=f"{tmp_path}/{name}.py:X") for name in ("bad", "exits")]
    records = [
        e.records[0] for e in runner.run([Job(c, Limits()) for c in cells], workers=1) if isinstance(e, Finished)
    ]
    assert [r.status for r in records] == [Status.ERROR, Status.ERROR]
    assert "ImportError: no such luck" in records[0].message
    assert "SystemExit: 2" in records[1].message


def test_an_encoder_that_hangs_twice_is_not_run_again(plugins: Plugins) -> None:
    cells = [Cell(suite="encode", case="once", encoder=f"{BROKEN_ENCODERS}:Hangs", params={"n": n}) for n in range(4)]
    events = list(runner.run([Job(cell, Limits(seconds=0.5)) for cell in cells], workers=1))
    ended = [e.records[0] for e in events if isinstance(e, Finished)]
    assert sum(isinstance(e, Started) for e in events) == 2
    assert [r.status for r in ended] == [Status.TIMEOUT] * 4
    assert ended[3].message.startswith("not run")


def test_a_cell_without_a_record_is_an_error_with_that_message(plugins: Plugins) -> None:
    plugins.module(
        "idle",
        "from mbcbench.execution.suite import Suite\n"
        "S = Suite(name='idle', summary='', cells=list, run=lambda c: [], seconds={})",
    )
    plugins.add("suites", "idle", "idle:S")
    outcome = outcomes(Cell(suite="idle", case="x", encoder="e"))
    assert outcome["e"].status is Status.ERROR
    assert outcome["e"].message == "suite idle returned no record of this cell"


def test_a_detail_that_is_not_json_is_an_error_with_that_message(plugins: Plugins) -> None:
    plugins.module(
        "odd",
        "from mbcbench.execution.suite import Suite\n"
        "run = lambda c: [c.record('ok', detail={'x': object()})]\n"
        "S = Suite(name='odd', summary='', cells=list, run=run, seconds={})",
    )
    plugins.add("suites", "odd", "odd:S")
    assert "not JSON serializable" in outcomes(Cell(suite="odd", case="x", encoder="e"))["e"].message


def test_cells_are_forked_from_a_server_and_have_no_module_of_the_caller(plugins: Plugins) -> None:
    plugins.module(
        "nosy",
        "import sys\nfrom mbcbench.execution.suite import Suite\n"
        "run = lambda c: [c.record('ok', detail={n: n in sys.modules for n in ('torch', 'pytest')})]\n"
        "S = Suite(name='nosy', summary='', cells=list, run=run, seconds={})",
    )
    plugins.add("suites", "nosy", "nosy:S")
    record = outcomes(Cell(suite="nosy", case="x", encoder="e"))["e"]
    assert (record.detail["torch"], record.detail["pytest"]) == (True, False)


def test_cells_have_one_thread_each_and_the_setting_of_the_caller_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    outcomes(probe("Honest"))
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_cells_end_when_their_run_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    encoder = tmp_path / "slow.py"
    encoder.write_text(
        f"import os, time, pathlib\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    program = (
        "from mbcbench.execution import runner\nfrom mbcbench.records.cell import Cell\n"
        f"cell = Cell(suite='probe', case='build', encoder={f'{encoder}:X'!r})\n"
        "list(runner.run([runner.Job(cell, runner.Limits(seconds=500))], workers=1))\n"
    )
    script = tmp_path / "unguarded.py"  # no `if __name__ == "__main__"`: cells do not run it again
    script.write_text(program)
    with running([sys.executable, str(script)]) as main:
        assert comes_true(lambda: mark.exists() and mark.read_text() != "")
        main.kill()
        assert comes_true(lambda: not alive(int(mark.read_text())))
