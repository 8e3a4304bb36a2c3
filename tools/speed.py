"""The Slot Set Encoder against its equations as they are written: `python tools/speed.py` writes speed.md.

Each shape and number of threads is measured in processes of its own, in which both ways take turns of several calls,
the first of which does not count: what one way leaves in cache and allocator must decide neither for the other nor for
the next shape. It takes several processes, because what the C library keeps of freed memory, and with it the number of
page faults, differs from one to the next; and as many in which it keeps all. Memory, in the allocator's own bytes,
comes after all times.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from template import write
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mbcbench import system
from mbcbench.protocol import target

SHAPES = (
    (1, 100_000, 64, 1, 64), (1, 100_000, 64, 32, 64), (1, 100_000, 256, 16, 256), (32, 5000, 3, 16, 32),
    (64, 1000, 64, 4, 64), (1, 1_000_000, 128, 16, 128), (1, 100_000, 128, 128, 128),
)  # fmt: skip
PROCESSES, TURNS, CALLS = 3, 2, 4
KEPT = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000"  # freed memory is never given back
MATRIX = 2048
Step = Callable[[], Any]


def steps(encode: Callable[..., Tensor], module: Any, x: Tensor) -> dict[str, Step]:
    """What is timed: the forward pass; with the gradients of the parameters; and with that of the elements too."""
    slots = module.init_state(len(x)).slots.detach()

    def forward() -> Tensor:
        with torch.no_grad():
            return encode(slots, x)

    def backward(of_elements: bool) -> tuple[Tensor, ...]:
        leaf = x.detach().requires_grad_(of_elements)
        out = encode(slots, leaf)
        wanted = [p for p in module.parameters() if p.requires_grad and p not in set(module.slots.parameters())]
        return torch.autograd.grad(out, [leaf] * of_elements + wanted, torch.linspace(-1, 1, out.numel()).view_as(out))

    return {"forward": forward, "parameters": lambda: backward(False), "elements": lambda: backward(True)}


def seconds(step: Step) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def extra_bytes(step: Step) -> int:
    """The most memory that a step holds at once beyond what it was given and beyond what it gives back."""
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        result = step()
    changes = [e.nbytes() for e in _allocations(seen)]
    held = peak = 0
    for change in changes:
        held += change
        peak = max(peak, held)
    given = result if isinstance(result, tuple) else (result,)
    return peak - sum(t.numel() * t.element_size() for t in given)


def _allocations(seen: profile) -> list[Any]:
    found = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    return sorted((e for e in found if e.name() == "[memory]"), key=lambda e: e.start_ns())


def measure(shape: tuple[int, ...], g: str, threads: int, weigh: bool) -> dict[str, Any]:
    """The seconds of each call, of the limits, and if `weigh` the bytes; of this process."""
    torch.set_num_threads(threads)
    B, n, d, K, dim = shape
    spec = target.get_spec("sse-random" + ("" if g == "sum" else f"-{g}"))
    module: Any = target.build_from_spec(spec, dim_in=d, num_slots=K, dim=dim)
    x = torch.randn(B, n, d, generator=torch.Generator().manual_seed(0))
    fast, direct = steps(module.aggregate_elements, module, x), steps(module.aggregate_elements_directly, module, x)
    found: dict[str, Any] = {}
    for name in fast:
        took: dict[str, list[float]] = {"fast": [], "direct": []}
        for _ in range(TURNS if n < 10**6 else 1):
            for way, step in (("fast", fast[name]), ("direct", direct[name])):
                took[way] += [seconds(step) for _ in range(CALLS)][1:]
        found[name] = took
    for name in fast if weigh else ():
        found[f"{name}, memory"] = {"fast": [extra_bytes(fast[name])], "direct": [extra_bytes(direct[name])]}
    A = torch.randn(MATRIX, MATRIX)
    rate = 2 * MATRIX**3 / median(seconds(lambda: A @ A) for _ in range(7))
    found["limits"] = {"read": [seconds(x.sum) for _ in range(7)], "product": [4 * B * n * d * K / rate]}
    return found


def alone(shape: tuple[int, ...], g: str, threads: int, weigh: bool, tuned: dict[str, str]) -> dict[str, Any]:
    """`measure` in a process of its own, with `tuned` in its environment."""
    command = [sys.executable, __file__, json.dumps([shape, g, threads, weigh])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | tuned)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def together(
    shape: tuple[int, ...], g: str, threads: int, *, weigh: bool = False, kept: bool = False
) -> dict[str, dict[str, float]]:
    """The medians over the calls of several processes, which give freed memory back as it comes, or not if `kept`."""
    tuned = {"GLIBC_TUNABLES": KEPT} if kept else {}
    every = [alone(shape, g, threads, weigh and not i, tuned) for i in range(PROCESSES)]
    return {name: medians([found[name] for found in every if name in found]) for name in every[0]}


def medians(every: list[dict[str, list[float]]]) -> dict[str, float]:
    return {key: median(value for found in every for value in found[key]) for key in every[0]}


def ratio(found: dict[str, dict[str, float]], name: str) -> float:
    """Direct formula over ours."""
    return found[name]["direct"] / found[name]["fast"]


def table(threads: int) -> str:
    head = (
        "| B, n, d, K, d_hat | forward, ms | times faster | of one read | of its products "
        "| with gradients, ms | times faster | and of X, ms | times faster | memory, forward | with gradients |\n"
        "|---|" + "--:|" * 10
    )
    rows, columns = [head], []
    for shape in SHAPES:
        f = together(shape, "sum", threads, weigh=True)
        ms = [f"{1e3 * f[name]['fast']:.1f}" for name in ("forward", "parameters", "elements")]
        times = [ratio(f, name) for name in ("forward", "parameters", "elements")]
        memory = [ratio(f, name) for name in ("forward, memory", "elements, memory")]
        limits = [f["limits"][what] / f["forward"]["fast"] for what in ("read", "product")]
        columns.append([*times, *memory])
        rows.append(
            f"| {comma(shape)} | {ms[0]} | {times[0]:.1f} | {limits[0]:.0%} | {limits[1]:.0%} "
            f"| {ms[1]} | {times[1]:.1f} | {ms[2]} | {times[2]:.1f} | 1/{memory[0]:.0f} | 1/{memory[1]:.0f} |"
        )
        show(rows[-1])
    m = [median(column) for column in zip(*columns, strict=True)]
    rows.append(f"| median | | {m[0]:.1f} | | | | {m[1]:.1f} | | {m[2]:.1f} | 1/{m[3]:.0f} | 1/{m[4]:.0f} |")
    return "\n".join(rows)


def kept() -> str:
    names = ("forward", "parameters", "elements")
    rows = ["| B, n, d, K, d_hat | forward | with gradients | and of X |\n|---|--:|--:|--:|"]
    columns = []
    for shape in SHAPES:
        f = together(shape, "sum", 1, kept=True)
        columns.append([ratio(f, name) for name in names])
        rows.append(f"| {comma(shape)} | " + " | ".join(f"{times:.1f}" for times in columns[-1]) + " |")
        show(rows[-1])
    rows.append("| median | " + " | ".join(f"{median(column):.1f}" for column in zip(*columns, strict=True)) + " |")
    return "\n".join(rows)


def extrema() -> str:
    rows = [
        "| B, n, d, K, d_hat | forward, ms | times faster | with gradients, ms | times faster |\n|---|--:|--:|--:|--:|"
    ]
    for shape in ((1, 20_000, 64, 16, 64), (32, 1000, 3, 16, 32), (1, 5000, 128, 32, 128)):
        f = together(shape, "max", 1)
        cells = [f"{1e3 * f[k]['fast']:.1f} | {ratio(f, k):.1f}" for k in ("forward", "elements")]
        rows.append(f"| {comma(shape)} | {' | '.join(cells)} |")
        show(rows[-1])
    return "\n".join(rows)


def comma(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def show(row: str) -> None:
    print(row, file=sys.stderr, flush=True)


def main() -> None:
    words = {
        "MACHINE": f"{system.hardware()['cpu']}, {system.cores()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "ONE": table(1), "KEPT": kept(), "TWO": table(2), "EXTREMA": extrema(),
    }  # fmt: skip
    write("speed", words)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        shape, *how = json.loads(sys.argv[1])
        print(json.dumps(measure(tuple(shape), *how)))
    else:
        main()
