"""Peak memory and duration of an action, on the processor or on a CUDA device."""

import gc
import time
from collections.abc import Callable

import torch

from mbcbench import system

Action = Callable[[], object]


def peak_bytes(action: Action, warm_up: Action | None = None) -> tuple[int, str]:
    """Measure by how much an action raises the resident memory of this process.

    Parameters
    ----------
    action
        Function to measure. It also runs once before, unless `warm_up` is given.
    warm_up
        Function that runs once before, so that code and tables loaded on first use are not counted. Memory that it
        leaves in the allocator is given back to the system, so that `action` must allocate it again.

    Returns
    -------
    tuple[int, str]
        Bytes, and the method. Only Linux can reset the high-water mark. Elsewhere the first run of `action` is
        measured, against the highest mark before.
    """
    before = system.peak_resident_bytes()
    (warm_up or action)()
    gc.collect()
    system.trim_memory()
    if not system.reset_peak_resident():
        if warm_up is not None:
            action()
        return system.peak_resident_bytes() - before, "ru_maxrss of the first run"
    idle = system.peak_resident_bytes()
    action()
    return system.peak_resident_bytes() - idle, "VmHWM"


def cuda_peak_bytes(action: Action) -> tuple[int, int]:
    """Return the bytes by which an action raises the allocated and the reserved memory of the current CUDA device."""
    action()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    action()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - allocated, torch.cuda.max_memory_reserved() - reserved


def wall_seconds(action: Action) -> float:
    """Return the duration of one run."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def cuda_seconds(action: Action) -> float:
    """Return the duration of one run on the current CUDA device, between two events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    action()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1000


def repeat_for(seconds: float, measure: Callable[[Action], float], action: Action) -> list[float]:
    """Measure an action repeatedly until `seconds` have passed, at least once."""
    values: list[float] = []
    end = time.perf_counter() + seconds
    while not values or time.perf_counter() < end:
        values.append(measure(action))
    return values
