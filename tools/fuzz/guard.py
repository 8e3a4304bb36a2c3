"""Limits of a fuzzed process: its memory, its time, and what it may write, start or load."""

import contextlib
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

MEMORY_BYTES = 2 * 2**30  # of address space, beyond what the process has when it starts
CPU_SECONDS, SECONDS = 20.0, 120.0  # of one input: computing, and waiting on a busy machine
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {
    "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate",
    "shutil.move", "shutil.rmtree",
}  # fmt: skip
EXECUTION = {"os.exec", "os.fork", "os.posix_spawn", "os.system", "pickle.find_class", "socket.connect"}
PROGRAMS = {"git"}  # that mbcbench itself starts, to name the commit of its sources


class Hang(BaseException):
    """An input took longer than the limit."""


class Escape(BaseException):
    """An input made the process write outside of its folder, start a program, connect, or load a pickle."""


class Guard:
    """Watches a process by an audit hook, which cannot be removed; it does nothing outside of `watch`."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        self._is_active = False
        sys.dont_write_bytecode = True
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        signal.signal(signal.SIGALRM, _raise_hang)
        signal.signal(signal.SIGPROF, _raise_hang)
        tempfile.tempdir = os.environ["MPLCONFIGDIR"] = str(folder / "temporary")
        Path(tempfile.tempdir).mkdir()
        sys.addaudithook(self._audit)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Raise Hang or Escape in the block where it breaks a limit."""
        self._is_active = True
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._is_active = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_active:
            return
        if event in EXECUTION or (event == "subprocess.Popen" and arguments[0] not in PROGRAMS):
            raise Escape(f"{event} {arguments[:2]!r}"[:200])
        if event == "open" and _opens_to_write(arguments):
            self._check(event, arguments[0])
        if event in CHANGES:
            self._check(event, arguments[0])

    def _check(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):  # a descriptor
            return
        resolved = os.path.realpath(os.fsdecode(path))
        if resolved != os.devnull and not resolved.startswith(self._folder):
            raise Escape(f"{event} {resolved}")


def _opens_to_write(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & WRITE_FLAGS)


def _raise_hang(_: int, frame: FrameType | None) -> None:
    place = f" in {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
    raise Hang(f"more than {CPU_SECONDS:g} s of the processor, or {SECONDS:g} s{place}")
