"""Facts about the machine (never a host or user name), the memory of this process, and atomic writes."""

import contextlib
import ctypes
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from mbcbench.errors import UsageError
from mbcbench.types import JsonDict

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# psutil is imported where it is used: 15 ms that `mbcbench --help` and `mbcbench check` do without.

MALLOC_TRIM_THRESHOLD, MALLOC_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LIBRARIES = ("mbcbench", "torch", "numpy", "hypothesis")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that can change an outcome, without importing them."""
    return {name: metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the model of the processor."""
    info = Path("/proc/cpuinfo")  # neither platform nor psutil reads the model on Linux
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def hardware() -> JsonDict:
    """Return the processor's model, the number of usable cores and the bytes of memory."""
    import psutil

    return {"cpu": processor(), "cores": cores(), "memory_bytes": psutil.virtual_memory().total}


def commit() -> str | None:
    """Return the git commit of the installed sources, with `-dirty` if files differ from it.

    None if they are not in a repository: git would name the commit of a repository around the environment.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def redact_home(text: str) -> str:
    """Replace the home folder, which contains the user's name, by `~` in a path or argument."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def peak_resident_bytes() -> int:
    """Return the most memory that this process has had resident, since `reset_peak_resident` if that succeeded."""
    if sys.platform == "linux":
        # psutil does not read the high-water mark. ru_maxrss would include the program that started this one.
        status = Path("/proc/self/status").read_text()
        line = next(row for row in status.splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if resource is not None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    import psutil

    peak: int = psutil.Process().memory_info().peak_wset
    return peak


def reset_peak_resident() -> bool:
    """Lower the mark of `peak_resident_bytes` to the present resident size; return False if the kernel cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def private_bytes() -> int:
    """Return the private writable memory of this process, which `limit_private_memory` limits (Linux)."""
    import psutil

    size: int = psutil.Process().memory_info().data
    return size


def available_bytes() -> float:
    """Return how many bytes this process may still allocate: the machine's memory, or less under a limit."""
    import psutil

    physical = float(psutil.virtual_memory().total)
    if resource is None or sys.platform != "linux":
        return physical
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return physical if limit == resource.RLIM_INFINITY else min(physical, limit - private_bytes())


@contextlib.contextmanager
def limit_private_memory(extra: int) -> Iterator[None]:
    """Allow this process `extra` bytes of private memory beyond what it has now.

    Only Linux enforces such a limit on all allocations; elsewhere there is none.
    """
    if resource is None or sys.platform != "linux":
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (private_bytes() + extra, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))  # reporting a failure takes memory too


def trim_memory() -> None:
    """Have glibc give free memory back to the operating system."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for later allocations, in all threads.

    By default glibc returns large blocks to the operating system, so reusing them causes a page fault per page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option in MALLOC_TRIM_THRESHOLD, MALLOC_MMAP_THRESHOLD:
            mallopt(option, 2**25)


def check_writable(path: Path) -> None:
    """Raise UsageError if a file cannot be written to `path`, which may exist. Nothing is changed."""
    if not path.exists():
        check_replaceable(path)
    elif path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    elif not os.access(path, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied; choose another file")


def check_replaceable(path: Path) -> None:
    """Raise UsageError if `write_atomically` cannot write to `path`: it needs a new file in the folder."""
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another folder") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in one step: a reader, also after a crash, finds the old content or all of the new."""
    with replaced_atomically(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write to. It replaces `path` in one step at the end, unless the block raises."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())  # on disk before the name points to it
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
