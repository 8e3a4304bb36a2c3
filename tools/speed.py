"""Compare the Slot Set Encoder's kernels with its equations as they are written; write docs/speed.md.

`python tools/speed.py` measures all shapes; `python tools/speed.py '[[1, 100000, 64, 16, 64], "sum", 1, false]'` one
(B, n, d, K, d_hat; aggregation; threads; whether to measure memory) and prints JSON.

Each shape and number of threads is measured in several processes of its own. In each, both ways take turns of several
calls, and the first call of a turn does not count: whatever one way leaves in the cache and the allocator must affect
neither the other way nor the next shape. Several processes are needed because the amount of freed memory that the C
library keeps, and with it the number of page faults, differs from one to the next; as many more run with a C library
that keeps all freed memory. Memory is what torch's allocator counts, and is measured after all times.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from template import markdown_table, write
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mbcbench import system
from mbcbench.protocol.build import build

Shape = tuple[int, ...]  # B, n, d, K, d_hat
Step = Callable[[], Any]
Samples = dict[str, dict[str, list[float]]]  # measurement -> way -> values
Medians = dict[str, dict[str, float]]

SHAPES: tuple[Shape, ...] = (
    (1, 100_000, 64, 1, 64), (1, 100_000, 64, 32, 64), (1, 100_000, 256, 16, 256), (32, 5000, 3, 16, 32),
    (64, 1000, 64, 4, 64), (1, 1_000_000, 128, 16, 128), (1, 100_000, 128, 128, 128),
)  # fmt: skip
MAX_SHAPES: tuple[Shape, ...] = ((1, 20_000, 64, 16, 64), (32, 1000, 3, 16, 32), (1, 5000, 128, 32, 128))
STEPS = ("forward", "parameters", "elements")
PROCESSES, TURNS, CALLS = 3, 2, 4
THREAD_TURNS = 4
KEEP_FREED_MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000"}
MATRIX_SIZE = 2048  # of the product that measures the machine's rate


def make_steps(aggregate: Callable[..., Tensor], module: Any, x: Tensor) -> dict[str, Step]:
    """Return the steps to time: the forward pass, and gradients of the parameters without and with those of x."""
    slots = module.init_state(len(x)).slots.detach()
    slot_parameters = set(module.slots.parameters())
    parameters = [p for p in module.parameters() if p.requires_grad and p not in slot_parameters]

    def forward() -> Tensor:
        with torch.no_grad():
            return aggregate(slots, x)

    def gradients(of_elements: bool) -> tuple[Tensor, ...]:
        leaf = x.detach().requires_grad_(of_elements)
        out = aggregate(slots, leaf)
        inputs = [leaf, *parameters] if of_elements else parameters
        return torch.autograd.grad(out, inputs, torch.linspace(-1, 1, out.numel()).view_as(out))

    return {"forward": forward, "parameters": lambda: gradients(False), "elements": lambda: gradients(True)}


def seconds(step: Step) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def extra_bytes(step: Step) -> int:
    """Return the peak of the memory that a step allocates, without its results."""
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = step()
    allocated = peak = 0
    for change in _allocations(profiler):
        allocated += change
        peak = max(peak, allocated)
    results = result if isinstance(result, tuple) else (result,)
    return peak - sum(t.numel() * t.element_size() for t in results)


def _allocations(profiler: profile) -> list[int]:
    """Return the bytes that torch's allocator gave (positive) and took back (negative), in order of time."""
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns())
    return [event.nbytes() for event in changes]


def measure(shape: Shape, g: str, threads: int, with_memory: bool) -> Samples:
    """Measure both ways in this process, in seconds and bytes, and the limits of the machine, in seconds."""
    torch.set_num_threads(threads)
    B, n, d, K, dim = shape
    name = "sse-random" if g == "sum" else f"sse-random-{g}"
    module: Any = build(name, dim_in=d, num_slots=K, dim=dim)
    x = torch.randn(B, n, d, generator=torch.Generator().manual_seed(0))
    fused = make_steps(module.aggregate_elements, module, x)
    direct = make_steps(module.aggregate_elements_directly, module, x)
    samples: Samples = {}
    for step in STEPS:
        samples[step] = {"fused": [], "direct": []}
        for _ in range(TURNS if n < 10**6 else 1):
            for way, steps in (("fused", fused), ("direct", direct)):
                samples[step][way] += [seconds(steps[step]) for _ in range(CALLS)][1:]
    if with_memory:
        for step in STEPS:
            samples[f"{step}, memory"] = {"fused": [extra_bytes(fused[step])], "direct": [extra_bytes(direct[step])]}
    A = torch.randn(MATRIX_SIZE, MATRIX_SIZE)
    operations_per_second = 2 * MATRIX_SIZE**3 / median(seconds(lambda: A @ A) for _ in range(7))
    products = 4 * B * n * d * K / operations_per_second
    samples["limits"] = {"read": [seconds(x.sum) for _ in range(7)], "products": [products]}
    return samples


def measure_threads(shape: Shape) -> Samples:
    """Measure the kernel with one and two threads by turns in this process, in seconds."""
    B, n, d, K, dim = shape
    module: Any = build("sse-random", dim_in=d, num_slots=K, dim=dim)
    steps = make_steps(
        module.aggregate_elements, module, torch.randn(B, n, d, generator=torch.Generator().manual_seed(0))
    )
    samples: Samples = {step: {"one": [], "two": []} for step in STEPS}
    for step in STEPS:
        for _ in range(THREAD_TURNS):
            for threads, way in ((1, "one"), (2, "two")):
                torch.set_num_threads(threads)
                samples[step][way] += [seconds(steps[step]) for _ in range(CALLS)][1:]
    return samples


def measure_in_processes(
    shape: Shape, g: str, threads: int, *, with_memory: bool = False, keep_freed_memory: bool = False
) -> Medians:
    """Return medians over the calls of several processes, of which the first measures memory too."""
    environment = os.environ | (KEEP_FREED_MEMORY if keep_freed_memory else {})
    return _medians([_run([shape, g, threads, with_memory and n == 0], environment) for n in range(PROCESSES)])


def _run(arguments: Sequence[object], environment: Mapping[str, str]) -> Samples:
    command = [sys.executable, __file__, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    samples: Samples = json.loads(done.stdout.splitlines()[-1])
    return samples


def _medians(runs: Sequence[Samples]) -> Medians:
    return {name: _pooled_medians([samples[name] for samples in runs if name in samples]) for name in runs[0]}


def _pooled_medians(runs: list[dict[str, list[float]]]) -> dict[str, float]:
    return {way: median(value for run in runs for value in run[way]) for way in runs[0]}


def ratio(medians: Medians, name: str) -> float:
    """Return the measurement of the direct formula over that of the kernel."""
    return medians[name]["direct"] / medians[name]["fused"]


def speed_table(threads: int) -> str:
    """Measure times, limits and memory of all shapes."""
    headings = [
        "B, n, d, K, d_hat", "forward, ms", "times faster", "of one read", "of its products", "with gradients, ms",
        "times faster", "and of X, ms", "times faster", "memory, forward", "with gradients",
    ]  # fmt: skip
    rows, columns = [], []
    for shape in SHAPES:
        medians = measure_in_processes(shape, "sum", threads, with_memory=True)
        ms = [f"{1e3 * medians[step]['fused']:.1f}" for step in STEPS]
        times = [ratio(medians, step) for step in STEPS]
        memory = [ratio(medians, f"{step}, memory") for step in ("forward", "elements")]
        limits = [f"{medians['limits'][limit] / medians['forward']['fused']:.0%}" for limit in ("read", "products")]
        columns.append([*times, *memory])
        faster, savings = [f"{factor:.1f}" for factor in times], [f"1/{factor:.0f}" for factor in memory]
        forward, parameters, elements = zip(ms, faster, strict=True)
        rows.append([comma(shape), *forward, *limits, *parameters, *elements, *savings])
        show(rows[-1])
    m = [median(column) for column in zip(*columns, strict=True)]
    times_and_memory = (f"{m[0]:.1f}", f"{m[1]:.1f}", f"{m[2]:.1f}", f"1/{m[3]:.0f}", f"1/{m[4]:.0f}")
    faster_forward, faster_parameters, faster_elements, *savings = times_and_memory
    rows.append(["median", "", faster_forward, "", "", "", faster_parameters, "", faster_elements, *savings])
    return markdown_table(headings, rows, "l" + "r" * 10).rstrip()


def kept_memory_table() -> str:
    """Measure how many times faster the kernel is if the C library keeps freed memory."""
    rows, columns = [], []
    for shape in SHAPES:
        medians = measure_in_processes(shape, "sum", 1, keep_freed_memory=True)
        columns.append([ratio(medians, step) for step in STEPS])
        rows.append([comma(shape), *(f"{times:.1f}" for times in columns[-1])])
        show(rows[-1])
    rows.append(["median", *(f"{median(column):.1f}" for column in zip(*columns, strict=True))])
    return markdown_table(["B, n, d, K, d_hat", "forward", "with gradients", "and of X"], rows, "lrrr").rstrip()


def thread_table() -> str:
    """Measure how many times faster two threads are than one."""
    rows, columns = [], []
    for shape in SHAPES:
        medians = _medians([_run([shape], os.environ) for _ in range(PROCESSES)])
        columns.append([medians[step]["one"] / medians[step]["two"] for step in STEPS])
        rows.append([comma(shape), *(f"{times:.2f}" for times in columns[-1])])
        show(rows[-1])
    rows.append(["median", *(f"{median(column):.2f}" for column in zip(*columns, strict=True))])
    return markdown_table(["B, n, d, K, d_hat", "forward", "with gradients", "and of X"], rows, "lrrr").rstrip()


def max_table() -> str:
    """Measure g = max."""
    rows = []
    for shape in MAX_SHAPES:
        medians = measure_in_processes(shape, "max", 1)
        row = [comma(shape)]
        for step in ("forward", "elements"):
            row += [f"{1e3 * medians[step]['fused']:.1f}", f"{ratio(medians, step):.1f}"]
        rows.append(row)
        show(row)
    headings = ["B, n, d, K, d_hat", "forward, ms", "times faster", "with gradients, ms", "times faster"]
    return markdown_table(headings, rows, "lrrrr").rstrip()


def comma(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def show(row: Sequence[str]) -> None:
    """Print a finished row, because a table takes minutes."""
    print(" | ".join(row), file=sys.stderr, flush=True)


def main() -> None:
    machine = f"{system.hardware()['cpu']}, {system.cores()} cores"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    words = {
        "MACHINE": f"{machine}, {versions}",
        "ONE": speed_table(1),
        "KEPT": kept_memory_table(),
        "TWO": speed_table(2),
        "THREADS": thread_table(),
        "EXTREMA": max_table(),
    }
    write("speed", words)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        shape, *arguments = json.loads(sys.argv[1])
        samples = measure(tuple(shape), *arguments) if arguments else measure_threads(tuple(shape))
        print(json.dumps(samples))
    else:
        main()
