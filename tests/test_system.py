"""The machine and this process: files written whole, memory measured and limited, and no need of POSIX to import."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbcbench import system
from mbcbench.errors import UsageError

MEBIBYTE = 2**20
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these counters and limits")


def test_a_file_is_replaced_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"old", b"new"):
        system.write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    system.write_atomically(path, b"old")
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        system.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@ON_LINUX
def test_the_peak_follows_an_allocation_and_can_be_reset() -> None:
    array = np.ones(64 * MEBIBYTE, dtype=np.uint8)
    high = system.peak_resident_bytes()
    del array
    system.trim_memory()
    assert system.reset_peak_resident()
    assert system.peak_resident_bytes() <= high - 60 * MEBIBYTE


@ON_LINUX
def test_private_memory_is_limited_and_the_limit_is_lifted() -> None:
    with system.limit_private_memory(64 * MEBIBYTE):
        assert 60 * MEBIBYTE < system.available_bytes() <= 64 * MEBIBYTE
        with pytest.raises(MemoryError):
            np.ones(128 * MEBIBYTE, dtype=np.uint8)
    assert np.ones(128 * MEBIBYTE, dtype=np.uint8).nbytes == 128 * MEBIBYTE


@pytest.mark.slow
def test_nothing_needs_the_module_resource_to_be_imported() -> None:
    program = (
        "import sys\n"
        "sys.modules['resource'] = None\n"  # as on Windows
        "from mbcbench import system\n"
        "from mbcbench.execution import planner, probe, worker\n"
        "with system.limit_private_memory(2**20):\n"
        "    assert len(bytes(2**24)) == 2**24\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_commit_is_that_of_the_sources_and_not_of_a_repository_around_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    sources = tmp_path / "system.py"
    sources.write_text("")
    monkeypatch.setattr(system, "__file__", str(sources))
    assert system.commit() is None
    git("init")
    git("commit", "--allow-empty", "-m", "Begin")
    assert system.commit() is None
    git("add", "system.py")
    git("commit", "-m", "Add sources")
    commit = system.commit()
    assert commit is not None
    assert len(commit) == 40
    sources.write_text("changed = True\n")
    assert system.commit() == f"{commit}-dirty"


def test_a_file_that_is_there_may_be_written_and_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "laws.jsonl"
    system.check_writable(path)
    assert not path.exists()
    path.write_text("kept")
    system.check_writable(path)
    assert path.read_text() == "kept"
    system.check_writable(Path(os.devnull))


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*: there is no folder"):
        system.check_writable(tmp_path / "no" / "file")
    with pytest.raises(UsageError, match=r"cannot write .*: it is a folder"):
        system.check_writable(tmp_path)
    (tmp_path / "locked").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match=r"cannot write .*locked: permission denied; choose another file"):
        system.check_writable(tmp_path / "locked")
