"""What a run was made with: versions, hardware, the commit. Never a host or user name."""

import ctypes
import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

MALLOC_TRIM_THRESHOLD, MALLOC_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LIBRARIES = ("mbcbench", "torch", "numpy", "hypothesis")


def versions() -> dict[str, str]:
    """The versions of what can change an outcome, read without importing any of it."""
    return {name: metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Processor model, usable cores and bytes of memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": _cpu_model(), "cores": cores(), "memory_bytes": memory}


def peak_resident_bytes() -> int:
    """The most memory that this process has had resident."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def keep_freed_memory() -> None:
    """Have glibc keep memory that is freed for what comes next, in all threads.

    It gives large tensors back to the system, and each page that is taken anew costs a fault.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option in MALLOC_TRIM_THRESHOLD, MALLOC_MMAP_THRESHOLD:
            mallopt(option, 2**25)


def commit() -> str | None:
    """The git commit checked out in the working directory, with `-dirty` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def without_home(text: str) -> str:
    """A path or argument with the user's home folder, which names the user, as `~`."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
