"""A small part of `make fuzz`: files and commands that are changed at random end in success or in one line."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fuzz
import pytest
from commands import RUN, draw_arguments, run_command, write_folder
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from readers import READERS

FUZZ = Path(__file__).parents[2] / "tools" / "fuzz" / "fuzz.py"
SLOW = {"reports of a run"}
DRAWN = (f"show {RUN}", f"report {RUN}")  # commands that draw pages


@pytest.mark.slow
def test_files_that_are_changed_at_random_are_read_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    only = [word for reader in READERS if reader.name not in SLOW for word in ("--only", reader.name)]
    code = fuzz.main(["--inputs", "200", "--guided", "0", "--seed", "1", "--save", str(tmp_path), *only])
    printed = capfd.readouterr()
    assert code == 0, f"{printed.out}{printed.err[-2000:]}"
    assert printed.out.endswith(" inputs, 0 broke something in 0 ways\n")


@pytest.mark.slow
def test_files_that_change_when_branches_are_found_are_read_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("atheris", reason="`make fuzz` installs Atheris where it is available")
    code = fuzz.main(["--inputs", "2", "--guided", "300", "--only", "IDX", "--save", str(tmp_path)])
    printed = capfd.readouterr()
    assert code == 0, f"{printed.out}{printed.err[-2000:]}"
    assert re.search(r"^IDX, guided +300 inputs +\d+ accepted +\d+ refused$", printed.out, re.MULTILINE)


@pytest.mark.parametrize(("guided", "names"), [(0, ["x.npy"]), (5, ["x.npy", "x.npy, guided"])])
def test_inputs_are_guided_where_atheris_is_installed(
    guided: int, names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "find_spec", lambda name: object())
    assert list(fuzz.plan(3, guided, ["x.npy"])) == names
    monkeypatch.setattr(fuzz, "find_spec", lambda name: None)
    assert fuzz.plan(3, guided, ["x.npy"]) == {"x.npy": 3}
    assert ("pip install atheris" in capsys.readouterr().out) == bool(guided)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    work = tmp_path_factory.mktemp("commands") / "a" / "b"
    work.mkdir(parents=True)
    write_folder(work)
    with contextlib.chdir(work):
        yield work


@pytest.mark.slow
@seed(1)
@settings(
    max_examples=60, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_commands_that_are_drawn_at_random_are_run_or_refused(folder: Path, data: st.DataObject) -> None:
    arguments = draw_arguments(data.draw)
    assume(not " ".join(arguments).startswith(DRAWN))
    assert run_command(arguments) in ("ok", "refused")


GUARDED = """
import os, pathlib, pickle, subprocess, sys
sys.path.insert(0, {tools!r})
from guard import Escape, Guard
folder = pathlib.Path({folder!r})
guard = Guard(folder)
actions = [
    lambda: open(folder.parent / "outside", "w"),
    lambda: (folder.parent / "outside").mkdir(),
    lambda: os.remove(folder.parent / "kept"),
    lambda: os.rename(folder.parent / "kept", folder / "kept"),
    lambda: os.system("true"),
    lambda: subprocess.run(["true"]),
    lambda: pickle.loads(b"cos\\nsystem\\n(S'true'\\ntR."),
]
for action in actions:
    try:
        with guard.watch():
            action()
    except Escape:
        continue
    sys.exit("it got through")
with guard.watch():
    (folder / "inside").write_text("x")
try:
    bytearray(2**33)
except MemoryError:
    sys.exit(0)
sys.exit("there is no limit of memory")
"""


def test_the_guard_stops_what_leaves_the_folder_or_runs_code(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    (tmp_path / "watched").mkdir()
    program = GUARDED.format(tools=str(FUZZ.parent), folder=str(tmp_path / "watched"))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["kept", "watched"]
