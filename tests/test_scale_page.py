"""The page on many machines and its examples: the commands run, and the scripts for clusters are what these expect."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mbcbench.protocol.build import import_target_module
from mbcbench.records import store
from tests.conftest import Command, Plugins
from tests.processes import running

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "cluster"
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
MANY_MACHINES = PAGE.partition("\n## Many machines\n")[2].partition("\n## ")[0]
SHARDS, DASK = (block.replace("    ", "") for block in re.findall(r"(?:^    .*\n)+", MANY_MACHINES, re.MULTILINE))


@pytest.fixture
def programs(tmp_path: Path, plugins: Plugins) -> Path:
    """Return a folder to run in, with the programs of this environment and a small suite and encoder."""
    plugins.module("small", "from torch import nn\nENCODER = nn.Linear(4, 2)\n")
    plugins.add("encoders", "small", "small:ENCODER")
    programs = tmp_path / "bin"
    programs.mkdir()
    loopback = 'test "$1" = scheduler && set -- "$@" --host 127.0.0.1 --port 0 --no-dashboard\n'
    for name, module, line in (("mbcbench", "mbcbench.cli.main", ""), ("dask", "dask", loopback)):
        (programs / name).write_text(f'#!/bin/sh\n{line}exec {sys.executable} -P -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    return tmp_path


def run(call: list[str], folder: Path, **variables: str) -> str:
    """Run a script and all programs that it starts; return its output."""
    dask = importlib.util.find_spec("dask")  # which may be outside of the environment
    folders = [os.environ.get("PYTHONPATH", ""), *([str(Path(dask.origin).parents[1])] if dask and dask.origin else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **variables}
    environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    log = folder / "log"
    with (
        log.open("w") as file,
        running(call, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT) as program,
    ):
        code = program.wait(timeout=300)
    assert code == 0, log.read_text()
    return log.read_text()


def run_here(call: list[str], folder: Path, command: Command, **variables: str) -> str:
    """Run a script, and in this process the command of mbcbench that it gives; return what this prints."""
    (folder / "bin" / "mbcbench").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    code, out, err = command(*run(call, folder, **variables).splitlines())
    assert code == 0, err
    return out


def test_the_commands_for_shards_make_one_run(programs: Path, command: Command) -> None:
    *_, merged = (run_here(["bash", "-ec", line], programs, command) for line in SHARDS.splitlines())
    assert "LEADERBOARD quick ok" in merged
    assert len(store.runs(programs / "shared")) == 3


def test_the_job_array_makes_one_run(programs: Path, command: Command) -> None:
    script = (EXAMPLES / "slurm_array.sh").read_text()
    assert "#SBATCH --array=1-16" in script
    (programs / "array.sh").write_text(script.replace("/16", "/2"))
    for task in ("1", "2"):
        arguments = ["bash", "-e", "array.sh", "--profile", "smoke"]
        run_here(arguments, programs, command, SLURM_ARRAY_TASK_ID=task, SLURM_CPUS_PER_TASK="2")
    merge = re.search(r"--wrap '(.*)'", script)
    assert merge is not None
    merged = run_here(["bash", "-ec", merge[1].replace("16", "2")], programs, command)
    assert "merged    2 shards" in merged


@pytest.mark.slow
def test_the_commands_for_dask_run_on_its_workers(programs: Path) -> None:
    pytest.importorskip("distributed", reason="needs mbcbench[cluster]")
    script = DASK.replace("--nworkers 2", "--nworkers 1")  # there is one cell
    assert "LEADERBOARD quick ok" in run(["bash", "-ec", script], programs)


def example(name: str) -> ModuleType:
    return import_target_module(f"{EXAMPLES / name}:main")


def test_the_script_of_a_slurm_job_lets_workers_start_processes() -> None:
    pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue")
    options = {"host": "127.0.0.1", "dashboard_address": ":0"}
    with example("slurm_dask.py").make_cluster(scheduler_options=options) as cluster:
        script = cluster.job_script()
    lines = script.splitlines()
    assert lines.index("export DASK_DISTRIBUTED__WORKER__DAEMON=False") < len(lines) - 1
    assert "#SBATCH --cpus-per-task=4" in lines
    assert "--nthreads 1 " in lines[-1]
    assert "--nworkers 4 " in lines[-1]


def test_the_pods_of_kubernetes_let_workers_start_processes() -> None:
    pytest.importorskip("dask_kubernetes", reason="needs dask-kubernetes")
    (worker,) = example("kubernetes.py").make_spec()["spec"]["worker"]["spec"]["containers"]
    assert {"name": "DASK_DISTRIBUTED__WORKER__DAEMON", "value": "False"} in worker["env"]
    assert worker["args"][:4] == ["dask", "worker", "--nthreads", "1"]


def test_the_scripts_are_shell(programs: Path) -> None:
    assert shutil.which("bash")
    subprocess.run(["bash", "-n", str(EXAMPLES / "slurm_array.sh")], check=True)
