"""The run that is disturbed: two laws on a sound encoder and on others, as a command in a process of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins import SOUND

from mbcbench.records import store

LAWS = ("mbc.partition", "mbc.merge", "hygiene.determinism")
SECONDS = 240.0  # after which a run is taken to hang
CELL_SECONDS = "15"  # time limit of a cell

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Ended:
    """End of a run: its exit code, or None if it did not, and what it wrote to standard error."""

    code: int | None
    err: str

    @property
    def has_traceback(self) -> bool:
        """True if a traceback has reached the user."""
        return "Traceback (most recent call last)" in self.err


class Workload:
    """A folder with a sound encoder, in which runs are made.

    folder: working directory of the runs. root: where they keep their records, outside of it.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder, self.root = base / "work", base / "root"
        self.folder.mkdir()
        self.sound = self.add("sound", SOUND + "\nE = Sound\n")

    def add(self, name: str, source: str) -> str:
        """Write a module and return the target of its encoder."""
        folder = self.base / "encoders"  # not the working directory, which an encoder may delete
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.py"
        path.write_text(source)
        return f"{path}:E"

    def command(self, *encoders: str, root: Path | None = None, seed: int = 0, jobs: int = 2) -> list[str]:
        """Return the command that runs the laws."""
        named = [word for encoder in encoders or (self.sound,) for word in ("--encoder", encoder)]
        limits = ["--time-limit", CELL_SECONDS, "--memory-limit", "1", "--jobs", str(jobs), "--seed", str(seed)]
        laws = [word for law in LAWS for word in ("--law", law)]
        options = [
            "--suite",
            "laws",
            "--profile",
            "smoke",
            "--only-encoders",
            "--quiet",
            "--root",
            str(root or self.root),
        ]
        return [sys.executable, "-m", "mbcbench.cli.main", "run", *options, *named, *laws, *limits]

    def start(self, command: Sequence[str]) -> "subprocess.Popen[str]":
        """Start a run in a session of its own."""
        self.folder.mkdir(exist_ok=True)
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload,no-any-return]

    def run(self, *encoders: str, root: Path | None = None, seed: int = 0, jobs: int = 2) -> Ended:
        """Make a run and wait for its end."""
        return wait(self.start(self.command(*encoders, root=root, seed=seed, jobs=jobs)))

    def rows(self, encoder: str = "", root: Path | None = None) -> Rows:
        """Return what the latest run says of an encoder: every value that must not depend on disturbances."""
        records = store.records(store.find(root=root or self.root))
        wanted = [r for r in records if r.suite == "laws" and r.encoder == (encoder or self.sound)]
        names = ("bound", "examples", "worst_gap")
        return sorted(
            (r.case, r.seed, str(r.status), r.value, r.message, *(r.detail.get(name) for name in names)) for r in wanted
        )

    def reset(self) -> None:
        """Remove all runs."""
        shutil.rmtree(self.root, ignore_errors=True)


def wait(process: "subprocess.Popen[str]", seconds: float = SECONDS) -> Ended:
    """Wait for the end of a run; kill one that hangs, with all that it has started."""
    try:
        _, err = process.communicate(timeout=seconds)
        return Ended(process.returncode, err)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        return Ended(None, err)


@contextlib.contextmanager
def workload() -> Iterator[Workload]:
    """Yield a workload in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mbcbench-faults-", ignore_cleanup_errors=True) as folder:
        yield Workload(Path(folder))
