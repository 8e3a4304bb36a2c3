"""What measures an action: peak memory and time, on the processor or on a CUDA device."""

import contextlib
import ctypes
import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

Action = Callable[[], object]


def peak_bytes(action: Action, warm: Action | None = None) -> tuple[int, str]:
    """Bytes that `action` adds to the process's resident memory at its highest, and how they were measured.

    `warm`, or `action` itself, runs once beforehand, so that code and tables that are loaded on first use do not
    count; what that run left in the allocator is given back, so that it is counted when taken anew. Where the kernel
    cannot reset the high-water mark (anywhere but Linux), the first run of `action` is measured, against the highest
    the process had been before.
    """
    before = _highest_ever()
    (warm or action)()
    gc.collect()
    _trim()
    if not _reset_high_water_mark():
        if warm is not None:
            action()
        return _highest_ever() - before, "ru_maxrss of the first run"
    idle = _high_water_mark()
    action()
    return _high_water_mark() - idle, "VmHWM"


def cuda_peak_bytes(action: Action) -> tuple[int, int]:
    """Bytes that `action` adds on the current CUDA device at most: allocated to tensors, and reserved for them."""
    action()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    action()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - allocated, torch.cuda.max_memory_reserved() - reserved


def seconds(action: Action) -> float:
    """Seconds that one run takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def cuda_seconds(action: Action) -> float:
    """Seconds that one run takes on the current CUDA device, between two events."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    began.record()
    action()
    ended.record()
    torch.cuda.synchronize()
    return float(began.elapsed_time(ended)) / 1000


def repeated(meter: Callable[[Action], float], action: Action, fill: float) -> list[float]:
    """What `meter` says of `action`, again and again until `fill` seconds have passed; at least once."""
    times: list[float] = []
    end = time.perf_counter() + fill
    while not times or time.perf_counter() < end:
        times.append(meter(action))
    return times


def room() -> float:
    """Bytes that this process may still take: under its limit where it has one, and of the machine's memory."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    status = Path("/proc/self/status")
    if limit == resource.RLIM_INFINITY or not status.exists():
        return physical
    return min(physical, limit - _field("VmData"))


def _reset_high_water_mark() -> bool:
    """Let the mark fall to the present resident size; whether the kernel did."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    return _field("VmHWM")


def _field(name: str) -> int:
    """Bytes that the kernel tells of this process under `name`."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(name))
    return int(line.split()[1]) * 1024


def _highest_ever() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _trim() -> None:
    """Ask the allocator to give free memory back (glibc alone can be asked)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
