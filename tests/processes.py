"""Programs that tests start, and conditions that they wait for."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 300.0  # seconds after which a test gives up; a busy machine must not come near


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> "Iterator[subprocess.Popen[str]]":
    """Start a program and kill it and all that it has started at the end: a test that fails must not wait for it."""
    with subprocess.Popen(command, text=True, start_new_session=True, **options) as program:
        try:
            yield program
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing runs any more
                os.killpg(program.pid, signal.SIGKILL)


def comes_true(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait for the condition; return False if it did not hold in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    """Return True if a process exists and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
