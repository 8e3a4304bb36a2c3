"""What measures an action: peak memory and time, on the processor or on a CUDA device."""

import gc
import time
from collections.abc import Callable

import torch

from mbcbench import system

Action = Callable[[], object]


def peak_bytes(action: Action, warm: Action | None = None) -> tuple[int, str]:
    """Bytes that `action` adds to the process's resident memory at its highest, and how they were measured.

    `warm`, or `action` itself, runs once beforehand, so that code and tables that are loaded on first use do not
    count; what that run left in the allocator is given back, so that it is counted when taken anew. Where the kernel
    cannot reset the high-water mark (anywhere but Linux), the first run of `action` is measured, against the highest
    the process had been before.
    """
    before = system.peak_resident_bytes()
    (warm or action)()
    gc.collect()
    system.trim_memory()
    if not system.reset_peak_resident():
        if warm is not None:
            action()
        return system.peak_resident_bytes() - before, "ru_maxrss of the first run"
    idle = system.peak_resident_bytes()
    action()
    return system.peak_resident_bytes() - idle, "VmHWM"


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
