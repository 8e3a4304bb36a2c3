"""One set over the processes of torchrun: parts, checkpoints, and a rank that dies."""

import glob
import multiprocessing
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import mbcbench
from mbcbench import system
from mbcbench.cli.main import main
from mbcbench.errors import UsageError
from mbcbench.streaming.ranks import Segment, divide, load_segments, missing_segments, save_segments
from mbcbench.streaming.sources import open_parts
from tests.processes import PATIENCE

ENCODER = """
import os, signal, time
from pathlib import Path
import torch
from torch import nn

class Sum(nn.Module):
    "A sum. Rank 1 kills itself in its last chunk if there is a file named `kill`."
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 4)
    def init_state(self, batch_size):
        return {"sum": torch.zeros(batch_size, 4), "number": torch.zeros(batch_size)}
    def update(self, state, x):
        if os.environ.get("RANK") == "1" and x.shape[1] == 7 and float(state["number"]) == 40 and Path("kill").exists():
            Path("died").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        return {"sum": state["sum"] + self.f(x).sum(1), "number": state["number"] + x.shape[1]}
    def merge(self, a, b):
        return {name: a[name] + b[name] for name in a}
    def readout(self, state):
        return state["sum"]
    def forward(self, x):
        return self.f(x).sum(1)
"""
X = np.random.default_rng(0).standard_normal((94, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(ENCODER)
    for name, rows in {"a": slice(31), "b": slice(31, 31), "c": slice(31, None)}.items():
        np.save(f"{name}.npy", X[rows])
    np.save("wide.npy", np.zeros((2, 4), np.float32))
    return tmp_path


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked rank must not use threads that this process has started."""
    monkeypatch.setattr(system, "cores", lambda: 1)


def torchrun(command: str) -> int | None:
    """Run a command of torchrun in a fork of this process, whose forks the ranks are; return its exit code."""
    from torch.distributed.run import main as run

    program = Path(mbcbench.__file__).with_name("__main__.py")
    words = shlex.split(command.replace("-m mbcbench", f"--start-method fork --run-path {program}"))
    arguments = [name for word in words[1:] for name in sorted(glob.glob(word)) or [word]]
    process = multiprocessing.get_context("fork").Process(target=run, args=(arguments,))
    process.start()
    process.join(timeout=PATIENCE)
    process.terminate()
    return process.exitcode


def encode(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_info:
        main(["encode", *arguments, "--encoder", "mine.py:Sum", "--quiet"])
    assert isinstance(exit_info.value.code, int)
    return exit_info.value.code


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_rank_that_dies_ends_the_job_and_any_number_of_ranks_goes_on(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "kill").touch()
    options = "a.npy b.npy c.npy --one-set --encoder mine.py:Sum --chunk 10 --checkpoint ck --every 0"
    command = f"{sys.executable} -m torch.distributed.run --nproc-per-node 2 -m mbcbench encode {options}"
    dead = subprocess.run(shlex.split(command), check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert dead.returncode != 0
    assert time.time() - float((folder / "died").read_text()) < PATIENCE
    lines = [line for line in dead.stderr.splitlines() if line.startswith("mbcbench: ")]
    assert len(lines) == 1
    assert "another rank ended" in lines[0]
    assert "ck holds what was encoded, go on with --resume and any number of ranks" in lines[0]
    assert not (folder / "a.npy.encoding.npy").exists()
    code = torchrun(f"torchrun --nproc-per-node 3 -m mbcbench encode {options} --resume --out ranks.npy")
    resumed = capfd.readouterr()
    assert code == 0, resumed.err
    assert "ranks.npy: 4 numbers, from 94 elements" in resumed.out
    assert sum(not line.startswith("[Gloo]") for line in resumed.out.splitlines()) == 1  # which torch 2.9 prints
    assert encode("a.npy", "b.npy", "c.npy", "--one-set", "--out", "one.npy") == 0
    np.testing.assert_allclose(np.load("ranks.npy"), np.load("one.npy"), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_commands_of_the_page_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    section = page.partition("## One set over many processes")[2]
    commands = re.findall(r"^    (torchrun .*)$", section, re.MULTILINE)
    commands += re.findall(r"`(torchrun [^`]*)`", " ".join(section.split()))
    assert len(commands) == 2
    (folder / "parts").mkdir()
    for name in ("a", "b", "c"):
        np.save(folder / "parts" / f"{name}.npy", np.load(f"{name}.npy"))
    np.save(folder / "points.npy", X)
    for command in commands:
        assert torchrun(command) == 0, capfd.readouterr().err
    np.testing.assert_allclose(np.load("parts.npy"), np.load("points.npy.encoding.npy"), rtol=1e-4, atol=1e-5)


def test_parts_are_read_as_one_set(folder: Path) -> None:
    source = open_parts([folder / "b.npy", folder / "a.npy", folder / "b.npy", folder / "c.npy"])
    assert source.length == len(X)
    for start, stop in [(0, 94), (30, 32), (31, 40), (5, 5), (90, 94)]:
        out = np.empty((stop - start, 3), np.float32)
        source.read(start, out)
        np.testing.assert_array_equal(out, X[start:stop])


def test_a_row_that_is_not_finite_is_named_in_its_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = X[31:].copy()
    x[5] = np.nan
    np.save("c.npy", x)
    assert encode("a.npy", "c.npy", "--one-set") == 3
    assert "c.npy: row 5 (counted from 0) is not finite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("a.npy wide.npy --one-set", "wide.npy has elements of width 4, and a.npy of 3"),
        ("a.npy c.npy --one-set --by set", "leave one out"),
        ("a.npy c.npy --one-set --states s", "--states is for many sets"),
    ],
)
def test_wrong_usage_is_reported(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode(*arguments.split()) == 3
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_torchrun_encodes_one_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert encode("a.npy", "c.npy", "--out", "e.npz") == 3
    assert "torchrun is for one set" in capsys.readouterr().err


@pytest.mark.parametrize("size", [1, 2, 3, 7, 30])
@pytest.mark.parametrize(
    "saved", [[], [(0, 5)], [(3, 9), (15, 20)], [(0, 20)], [(19, 20), (0, 1)], [(4, 5), (5, 6), (6, 6)]]
)
def test_ranks_share_the_elements_that_are_left(size: int, saved: list[tuple[int, int]]) -> None:
    segments = missing_segments([Segment(*bounds, {"n": 1}) for bounds in saved], 20)
    shares = divide(segments, size)
    assert len(shares) == size
    order = [segment for share in shares for segment in share]
    assert [number for segment in order for number in range(segment.start, segment.stop)] == list(range(20))
    left = [sum(s.stop - s.start for s in share if s.state is None) for share in shares]
    assert max(left) - min(left) <= 1
    assert sum(left) == 20 - sum(stop - start for start, stop in saved)


def test_a_checkpoint_of_something_else_is_refused(folder: Path) -> None:
    save_segments(folder / "ck", [Segment(0, 3, {"n": torch.ones(1)})], {"seed": 0})
    assert load_segments(folder / "ck", None, {"seed": 0})[0][:2] == (0, 3)
    with pytest.raises(UsageError, match="seed was 0 and is 1"):
        load_segments(folder / "ck", None, {"seed": 1})
    with pytest.raises(UsageError, match="is not a checkpoint of several ranks"):
        load_segments(folder / "mine.py", None, {})
