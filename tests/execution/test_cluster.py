"""A real scheduler with two workers on loopback: local, sharded and cluster runs give the same records.

One worker is killed in mid-run. A third one, started without the setting that lets it start processes, is never used.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mbcbench import system
from mbcbench.cli.main import main
from mbcbench.records import store
from mbcbench.types import JsonDict
from tests.cli.helpers import BROKEN
from tests.conftest import Plugins
from tests.processes import PATIENCE, alive, comes_true, running

pytestmark = pytest.mark.slow
WORK = """
import os, time
from pathlib import Path

from mbcbench.execution.suite import Suite
from mbcbench.records.cell import Cell

CASES = ["draw"] * 4 + ["raise", "exit", "allocate", "sleep", "victim"]


def cells(request):
    return [Cell(suite="work", case=case, encoder=request.encoders[0], seed=n) for n, case in enumerate(CASES)]


def run(cell):
    import torch

    if cell.case == "raise":
        raise ValueError("no")
    if cell.case == "exit":
        os._exit(7)
    if cell.case == "allocate":
        torch.zeros(2**31, dtype=torch.uint8)
    if cell.case == "sleep":
        time.sleep(60)
    if cell.case == "victim":
        Path("victim").write_text(str(os.getpid()))
        time.sleep(1.5)
    print("printed")
    value = torch.rand((), generator=torch.Generator().manual_seed(cell.seed)).item()
    return [cell.record("ok", value=value, detail={"threads": torch.get_num_threads()})]


def wait(cell):
    Path("victim").write_text(str(os.getpid()))
    time.sleep(600)


S = Suite(name="work", summary="", cells=cells, run=run, seconds={"smoke": 10.0})
TIMED = Suite(name="timed", summary="", run=run, seconds={"smoke": 30.0}, exclusive=True,
    cells=lambda request: [Cell(suite="timed", case="draw", encoder=e, seed=9) for e in request.encoders])
LONG = Suite(name="long", summary="", run=wait, seconds={"smoke": 700.0},
    cells=lambda request: [Cell(suite="long", case="wait", encoder=request.encoders[0])])
"""
ENCODERS = ["--only-encoders", "--encoder", f"{BROKEN}:Honest", "--encoder", f"{BROKEN}:Raises"]
RUN = ["run", *ENCODERS, "--suite", "work", "--suite", "timed", "--profile", "smoke", "--quiet"]
RUN += ["--memory-limit", "1"]


@dataclass
class RunningCluster:
    """A scheduler and its workers, as processes of this machine that run in a folder."""

    folder: Path
    address: str


def start(folder: Path, name: str, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
    """Start a program of Dask as a group of processes; its output goes to a file."""
    call = [sys.executable, "-m", f"distributed.cli.{name}", "--no-dashboard", *arguments]
    with (folder / f"{name}.log").open("ab") as log:
        environment = {**os.environ, **variables}
        return subprocess.Popen(
            call, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Start a scheduler and three workers that know the plug-ins of this module, in the folder of the tests."""
    distributed = pytest.importorskip("distributed", reason="needs mbcbench[cluster]")
    folder = tmp_path_factory.mktemp("cluster")
    plugins = Plugins(folder / "site")
    plugins.module("fake_plugins", (Path(__file__).parents[1] / "conftest.py").read_text().split("'''")[1])
    plugins.module("work", WORK)
    for name, target in {"work": "work:S", "timed": "work:TIMED", "long": "work:LONG"}.items():
        plugins.add("suites", name, target)
    for report in ("leaderboard", "experiments"):
        plugins.add("reports", report, "fake_plugins:REPORT")
    path = os.pathsep.join([str(plugins.folder), os.environ.get("PYTHONPATH", "")])
    file = folder / "scheduler.json"
    worker = ["dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--nworkers"]
    processes = [start(folder, "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))]
    processes += [
        start(folder, *worker, number, PYTHONPATH=path, DASK_DISTRIBUTED__WORKER__DAEMON=daemon)
        for number, daemon in (("2", "False"), ("1", "True"))
    ]
    try:
        assert comes_true(lambda: file.exists() and file.read_text().strip().endswith("}"))
        address = json.loads(file.read_text())["address"]
        with distributed.Client(address) as client:
            client.wait_for_workers(3, timeout=PATIENCE)
        yield RunningCluster(folder, address)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def in_folder(cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in the folder of the cluster, with its plug-ins."""
    monkeypatch.chdir(cluster.folder)
    monkeypatch.syspath_prepend(str(cluster.folder / "site"))
    (cluster.folder / "victim").unlink(missing_ok=True)
    return cluster.folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def outcomes(root: Path) -> list[JsonDict]:
    """Return the records of the latest run without times and memory."""
    rows = []
    for record in store.records(store.find(root=root)):
        fields = record.to_fields()
        del fields["seconds"]
        fields["detail"].pop("peak_rss_bytes", None)
        rows.append(fields)
    return sorted(rows, key=lambda fields: json.dumps(fields, sort_keys=True))


def kill_worker(folder: Path) -> None:
    """Kill the worker that runs the victim, as soon as it does: the process that the worker's nanny has spawned."""
    import psutil

    victim = folder / "victim"
    if comes_true(lambda: victim.exists() and bool(victim.read_text())):
        ancestors = psutil.Process(int(victim.read_text())).parents()
        next(process for process in ancestors if "spawn_main" in " ".join(process.cmdline())).kill()


def test_local_sharded_and_cluster_runs_give_the_same_records(
    cluster: RunningCluster, in_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(*RUN, "--jobs", "2", "--root", "local") == 2
    for shard in ("1/2", "2/2"):
        run(*RUN, "--jobs", "2", "--root", "shards", "--shard", shard)
    assert run("merge", *map(str, store.runs(Path("shards"))), "--root", "sharded") == 2
    (in_folder / "victim").unlink()
    killer = threading.Thread(target=kill_worker, args=(in_folder,))
    killer.start()
    assert run(*RUN, "--scheduler", str(in_folder / "scheduler.json"), "--root", "cluster") == 2
    killer.join()
    expected = outcomes(Path("local"))
    assert outcomes(Path("sharded")) == expected
    assert outcomes(Path("cluster")) == expected
    statuses = {row["case"]: row["status"] for row in expected}
    assert statuses["exit"] == "crash"
    assert (statuses["raise"], statuses["allocate"], statuses["sleep"]) == ("error", "oom", "timeout")
    assert statuses["victim"] == "ok"
    assert store.info(store.find(root=Path("cluster")))["hardware"] == {"cpu": system.processor(), "cores": 2}
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("mbcbench")]
    assert sum("is lost; what it ran is run again" in message for message in messages) == 1
    assert sum("its process is daemonic and cannot start others" in message for message in messages) == 1


def test_ctrl_c_ends_the_cells_of_the_cluster(cluster: RunningCluster, in_folder: Path) -> None:
    call = [sys.executable, "-P", "-m", "mbcbench.cli.main", "run", *ENCODERS[:3], "--suite", "long", "--quiet"]
    call += ["--profile", "smoke", "--scheduler", cluster.address, "--root", "stopped"]
    environment = {**os.environ, "PYTHONPATH": f"{in_folder / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with running(call, cwd=in_folder, env=environment, stderr=subprocess.PIPE) as program:
        victim = in_folder / "victim"
        assert comes_true(lambda: victim.exists() and bool(victim.read_text()))
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=PATIENCE)
    assert program.returncode == 130
    assert "interrupted after 0 of 1 cell;" in err.splitlines()[-1]
    assert comes_true(lambda: not alive(int(victim.read_text())))


def test_help_and_local_runs_do_not_import_dask(plugins: Plugins, tmp_path: Path) -> None:
    for name in ("distributed", "dask"):
        plugins.module(name, "raise SystemExit('imported')\n")
    local = ["run", *ENCODERS[:3], "--suite", "encode", "--profile", "smoke", "--quiet"]
    for arguments in (["--help"], local):
        call = [sys.executable, "-P", "-m", "mbcbench.cli.main", *arguments]
        ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "imported" not in ended.stderr + ended.stdout
        assert ended.returncode == 0, ended.stderr
