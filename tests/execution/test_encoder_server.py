"""Encoder servers: an encoder is imported once, and what is forked from its server is isolated like any other cell."""

import multiprocessing
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from mbcbench.execution import encoder_server, runner
from mbcbench.execution.encoder_server import EncoderServers, Request
from mbcbench.execution.runner import Finished, Job, Limits
from mbcbench.execution.suite import PROBE
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from tests.execution.test_runner import BROKEN_ENCODERS
from tests.processes import PATIENCE, alive, comes_true, running

COUNTS = "import os\nwith open({log!r}, 'a') as log:\n    log.write(f'{{os.getpid()}}\\n')\n"
WRITES_TO_SOCKETS = """
import os
for descriptor in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket"):
            os.write(int(descriptor), (3).to_bytes(4, "big") + b"abc")
    except OSError:
        pass
"""
ENCODER = """
import threading, time, torch
class Enc(torch.nn.Module):
    def __init__(self, dim_in):
        super().__init__()
        self.project = torch.nn.Linear(dim_in, 3)
    def forward(self, x):
        return self.project(x).sum(1)
class Dies(Enc):
    def forward(self, x):
        os._exit(7)
class Eats(Enc):
    def forward(self, x):
        return bytearray(2**40)
class Hangs(Enc):
    def forward(self, x):
        while True:
            pass
class StartsThread(Enc):
    def forward(self, x):
        if threading.active_count() < 8:  # each has a stack, and memory is limited
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        return super().forward(x)
class NotesBuild(Enc):
    def __init__(self, dim_in):
        super().__init__(dim_in)
        with open(__file__ + ".builds", "a") as builds:
            builds.write("built\\n")
"""


class Module:
    """A module of encoders that writes the process of each import to a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "counted.py"
        self.log = folder / "imports.txt"

    def write(self, source: str = ENCODER) -> None:
        self.path.write_text(COUNTS.format(log=str(self.log)) + source)

    @property
    def imports(self) -> int:
        return len(self.log.read_text().splitlines())

    def law(self, name: str, law: str) -> Cell:
        return Cell(suite="laws", case=law, encoder=f"{self.path}:{name}", params={"examples": 12}, dtype="float64")

    def probe(self, name: str = "Enc", n: int = 0) -> Cell:
        return Cell(suite=PROBE, case="build", encoder=f"{self.path}:{name}", params={"n": n})


@pytest.fixture
def module(tmp_path: Path) -> Module:
    module = Module(tmp_path)
    module.write()
    return module


def serve(*cells: Cell, seconds: float = PATIENCE) -> list[Record]:
    """Return the first record of each cell, in the order of the cells."""
    jobs = [Job(cell, Limits(seconds=seconds, memory_bytes=2**29)) for cell in cells]
    with EncoderServers({cell.encoder for cell in cells}) as servers:
        steps = runner.run(jobs, workers=2, servers=servers)
        records = {step.cell.key: step.records[0] for step in steps if isinstance(step, Finished)}
    return [records[cell.key] for cell in cells]


def test_an_encoder_is_imported_once_for_all_cells(module: Module) -> None:
    records = serve(*(module.probe(n=n) for n in range(6)))
    assert [record.status for record in records] == [Status.OK] * 6
    assert module.imports == 1


def test_a_server_lives_from_one_run_to_the_next(module: Module) -> None:
    with EncoderServers({module.probe().encoder}) as servers:
        for n in range(2):
            list(runner.run([Job(module.probe(n=n), Limits())], workers=1, servers=servers))
    assert module.imports == 1


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("Raises", Status.ERROR, "RuntimeError: no forward today"),
        ("Exits", Status.ERROR, "SystemExit: 5"),
        ("ExitsAtOnce", Status.CRASH, "exit code 7 (last words)"),
        ("Segfaults", Status.CRASH, "SIGSEGV"),
        ("EatsMemory", Status.OOM, "MemoryError"),
        ("ForgetsTheBatch", Status.ERROR, "the first dimension must be the batch size"),
        ("Missing", Status.USAGE, "no attribute 'Missing'"),
    ],
)
def test_a_defect_is_a_row_and_the_next_cell_runs(name: str, status: Status, message: str) -> None:
    cells = [Cell(suite=PROBE, case="build", encoder=f"{BROKEN_ENCODERS}:{name}", params={"n": n}) for n in range(2)]
    records = serve(*cells)
    assert [record.status for record in records] == [status] * 2
    assert message in records[0].message


def test_a_cell_that_hangs_is_killed_and_others_run_meanwhile(module: Module) -> None:
    jobs = [Job(module.probe("Hangs"), Limits(seconds=0.5)), Job(module.probe("Enc"), Limits())]
    with EncoderServers({job.cell.encoder for job in jobs}) as servers:
        steps = [step for step in runner.run(jobs, workers=2, servers=servers) if isinstance(step, Finished)]
    statuses = {step.cell.encoder.rpartition(":")[2]: step.records[0].status for step in steps}
    assert statuses == {"Hangs": Status.TIMEOUT, "Enc": Status.OK}


@pytest.mark.parametrize(
    ("source", "status", "message"),
    [
        ("raise ImportError('no such luck')", Status.ERROR, "ImportError: no such luck (counted.py:4)"),
        ("import sys; sys.exit(2)", Status.ERROR, "SystemExit: 2"),
        ("os.write(2, b'bye'); os._exit(3)", Status.CRASH, "exit code 3 (bye)"),
        ("bytearray(2**40)", Status.OOM, "--memory-limit"),
        ("while True: pass", Status.TIMEOUT, "took longer than its limit of 1 s (--time-limit)"),
    ],
)
def test_an_import_that_fails_is_the_row_of_the_first_cell(
    module: Module, monkeypatch: pytest.MonkeyPatch, source: str, status: Status, message: str
) -> None:
    monkeypatch.chdir(module.path.parent)
    module.write(source)
    (record,) = serve(module.probe(), seconds=1.0 if status is Status.TIMEOUT else PATIENCE)
    assert record.status is status
    assert message in record.message
    assert module.imports == 1


def test_an_encoder_that_starts_a_thread_is_imported_by_each_cell(module: Module) -> None:
    module.write(
        f"import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start(){ENCODER}"
    )
    records = serve(*(module.probe(n=n) for n in range(3)))
    assert [record.status for record in records] == [Status.OK] * 3
    assert module.imports == 4  # the server's, too


LAWS = ("hygiene.dtype", "hygiene.inputs", "symmetry.permutation")


def test_an_encoder_is_built_once_for_all_laws(module: Module) -> None:
    records = serve(*(module.law("NotesBuild", law) for law in LAWS))
    assert [record.status for record in records] == [Status.PASS] * 3
    assert Path(f"{module.path}.builds").read_text().splitlines() == ["built"]


@pytest.mark.parametrize(
    ("name", "status"),
    [("StartsThread", Status.PASS), ("Dies", Status.CRASH), ("Eats", Status.OOM), ("Hangs", Status.TIMEOUT)],
)
def test_an_encoder_that_does_harm_when_it_is_built_for_laws_is_a_row_of_each(
    module: Module, name: str, status: Status
) -> None:
    records = serve(*(module.law(name, law) for law in LAWS[:2]), seconds=2.0 if name == "Hangs" else PATIENCE)
    assert [record.status for record in records] == [status] * 2


def test_no_cell_is_forked_from_a_server_in_which_the_encoder_has_started_a_thread(module: Module) -> None:
    serve(*(module.law("StartsThread", law) for law in LAWS))
    assert module.imports == 1 + len(LAWS)  # the server's, and one in each cell


def test_a_server_ends_when_the_main_process_is_killed(module: Module, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "from mbcbench.execution import runner\nfrom mbcbench.execution.encoder_server import EncoderServers\n"
        "from mbcbench.records.cell import Cell\n"
        f"cell = Cell(suite='probe', case='build', encoder={module.probe('Hangs').encoder!r})\n"
        "with EncoderServers([cell.encoder]) as servers:\n"
        "    list(runner.run([runner.Job(cell, runner.Limits(seconds=500))], workers=1, servers=servers))\n"
    )
    with running([sys.executable, str(script)]) as main:
        assert comes_true(lambda: module.log.exists() and module.log.read_text() != "")
        main.kill()
        assert comes_true(lambda: not alive(int(module.log.read_text())))


def test_the_thread_of_an_allocator_does_not_prevent_forks(module: Module) -> None:
    pytest.importorskip("pyarrow")
    module.write(f"import pyarrow\n{ENCODER}")
    records = serve(*(module.probe(n=n) for n in range(3)))
    assert [record.status for record in records] == [Status.OK] * 3
    assert module.imports == 1


def test_a_run_that_ends_early_does_not_wait_for_cells_of_a_server(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SECONDS_TO_DIE", 2 * PATIENCE)
    hangs = Job(module.law("Hangs", "mbc.order"), Limits(seconds=2 * PATIENCE, memory_bytes=2**29))
    with EncoderServers({hangs.cell.encoder}) as servers:
        events = runner.run([hangs], workers=1, servers=servers)
        next(events)
        began = time.monotonic()
        events.close()  # type: ignore[attr-defined] # a generator, as Ctrl-C ends it
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("has_started", [False, True])
def test_ctrl_c_while_a_server_starts_leaves_no_process(
    module: Module, monkeypatch: pytest.MonkeyPatch, has_started: bool
) -> None:
    start = encoder_server._Server.start

    def interrupted(server: encoder_server._Server) -> None:
        if has_started:
            start(server)
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder_server._Server, "start", interrupted)
    job = Job(module.probe(), Limits(seconds=PATIENCE, memory_bytes=2**29))
    with pytest.raises(KeyboardInterrupt), EncoderServers({job.cell.encoder}) as servers:
        list(runner.run([job], workers=1, servers=servers))
    assert not [child for child in multiprocessing.active_children() if child.name == encoder_server.NAME]


def test_an_import_that_fails_before_its_cell_is_submitted_is_a_row(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = encoder_server._Server.submit

    def submit_late(server: encoder_server._Server, request: Request) -> "Future[list[str]]":
        time.sleep(1)  # as on a machine that is busy with something else
        return submit(server, request)

    monkeypatch.setattr(encoder_server._Server, "submit", submit_late)
    module.write("raise RuntimeError('no import today')")
    (record,) = serve(module.probe())
    assert (record.status, "no import today" in record.message) == (Status.ERROR, True)


def test_an_encoder_that_writes_to_all_connections_is_a_row(module: Module) -> None:
    module.write(WRITES_TO_SOCKETS)
    first, second = serve(module.probe(), module.probe(n=1))
    assert {first.status, second.status} <= {Status.ERROR, Status.CRASH}
