"""The fused weighted sum of the Slot Set Encoder, by Triton and by blocks, against its direct formula."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mbcbench import system
from mbcbench.encoders.nn import fused_attention
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.suites.resources.measurement import repeat_for

from .roofline import fold_cost
from .stage import Options, measure, parse

SHAPES = (  # B, n, d, K, d_hat: those of tools/speed.py
    (1, 100_000, 64, 1, 64), (1, 100_000, 64, 32, 64), (1, 100_000, 256, 16, 256), (32, 5000, 3, 16, 32),
    (64, 1000, 64, 4, 64), (1, 1_000_000, 128, 16, 128), (1, 100_000, 128, 128, 128),
)  # fmt: skip
LONGER = 10
STEPS = ("forward", "parameters", "elements")  # without gradients; with those of parameters; of elements too
ARITHMETIC = (("float32", "highest"), ("float32", "high"), ("float32", "medium"), ("bfloat16", "high"))
WAYS = {"triton": ARITHMETIC, "blocks": ARITHMETIC[::2], "direct": ARITHMETIC[::2]}
FILL = 0.05  # seconds of repetitions
COMPILED_AT = 20_000  # elements of the sets on which kernels are compiled beforehand
COMPILERS = 12


def cells(options: Options) -> list[Cell]:
    """Return one cell per shape, way, arithmetic and step: all of the seven shapes, then of those ten times longer."""
    shapes = [[B, n * factor, *rest] for factor in (1, LONGER) for B, n, *rest in SHAPES]
    arithmetic = WAYS
    if options.dry:
        shapes, arithmetic = [[2, 300, 8, 4, 8]], dict.fromkeys(WAYS, ARITHMETIC[:1])
    return [
        Cell(
            suite="gpu", case="fold", encoder="sse-random", device=options.device,
            params={"shape": shape, "way": way, "dtype": dtype, "precision": precision, "step": step},
        )
        for shape in shapes
        for way, kinds in arithmetic.items()
        for dtype, precision in kinds
        for step in STEPS
    ]  # fmt: skip


def run(cell: Cell, options: Options) -> Iterator[Record]:
    """Measure the seconds of one step, and how far the sum is from that in float64."""
    p = cell.params
    if p["way"] == "triton" and options.dry:
        yield cell.record(Status.SKIP, message="kernels run on a CUDA device")
        return
    module, x, slots = build(p, options.device)
    with _arithmetic(p["precision"]), _way(p["way"]):
        if p["way"] == "triton" and not _has_kernel(module, slots, x, p["step"]):
            yield cell.record(Status.SKIP, message="blocks are used: the sizes do not fit, or kernels are forbidden")
            return
        step = make_step(p["way"], p["step"], module, x, slots)
        step()
        times = repeat_for(0.001 if options.dry else FILL, options.meter, step)
        error = _error(module, x, slots, step) if p["step"] == "forward" else None
    seconds = median(times)
    cost = fold_cost(tuple(p["shape"]), p["step"], x.element_size())
    rates = {"bytes_per_second": cost.bytes / seconds, "flops_per_second": cost.flops / seconds}
    detail = {"bytes": cost.bytes, "flops": cost.flops, "repetitions": len(times), "error": error, **rates}
    yield cell.record(Status.OK, metric="seconds", value=seconds, unit="s", higher_is_better=False, detail=detail)


def build(p: Any, device: str) -> tuple[Any, Tensor, Tensor]:
    """Return the encoder, its elements and its slots."""
    B, n, d, K, dim = p["shape"]
    module: Any = build_from_spec(get_spec("sse-random"), dim_in=d, num_slots=K, dim=dim).eval().to(device)
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randn(B, n, d, device=device, generator=generator).to(getattr(torch, p["dtype"]))
    return module, x, module.init_state(B).slots.detach()


def make_step(way: str, step: str, module: Any, x: Tensor, slots: Tensor) -> Callable[[], Any]:
    """Return what is timed."""
    encode = module.aggregate_elements_directly if way == "direct" else module.aggregate_elements
    parameters = [*module.q.parameters(), *module.k.parameters(), *module.v.parameters()]

    def forward() -> Tensor:
        with torch.no_grad():
            out: Tensor = encode(slots, x)
            return out

    def backward() -> tuple[Tensor, ...]:
        leaf = x.detach().requires_grad_(step == "elements")
        out = encode(slots, leaf)
        leaves = [leaf] * (step == "elements") + parameters
        return torch.autograd.grad(out, leaves, torch.ones_like(out))

    return forward if step == "forward" else backward


@contextlib.contextmanager
def _arithmetic(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def _way(way: str) -> Iterator[None]:
    """Forbid the kernels for any way but `triton`."""
    before = os.environ.get("MBCBENCH_TRITON", "1")
    os.environ["MBCBENCH_TRITON"] = before if way == "triton" else "0"
    fused_attention._has_triton.cache_clear()
    try:
        yield
    finally:
        os.environ["MBCBENCH_TRITON"] = before
        fused_attention._has_triton.cache_clear()


def _has_kernel(module: Any, slots: Tensor, x: Tensor, step: str) -> bool:
    kernel = "forward" if step == "forward" else "backward"
    return fused_attention._triton_for(kernel, x, module.logit_matrix(slots), module.attention_rule()) is not None


@torch.no_grad()
def _error(module: Any, x: Tensor, slots: Tensor, step: Callable[[], Tensor]) -> float:
    """Return the largest difference from the sum in float64, by its largest value."""
    exact = module.double().aggregate_elements(slots.double(), x.double())
    module.float()
    return float((step() - exact).abs().max() / exact.abs().max())


def compile_kernels(planned: list[Cell], options: Options) -> None:
    """Compile the kernels on many cores at once, into Triton's cache: one by one they take minutes."""
    short = {}
    for cell in planned:
        params = {**cell.params, "shape": [1, COMPILED_AT, *cell.params["shape"][2:]]}
        if cell.params["way"] == "triton":
            short[str(params)] = replace(cell, params=params)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(COMPILERS, system.cores()), mp_context=context) as pool:
        for done in [pool.submit(_compile, cell, options) for cell in short.values()]:
            done.exception()  # the cell itself will say what is wrong


def _compile(cell: Cell, options: Options) -> None:
    list(run(cell, options))


if __name__ == "__main__":
    chosen = parse(__doc__)
    planned = cells(chosen)
    if not chosen.dry and not chosen.out.exists():
        compile_kernels(planned, chosen)
    measure(planned, lambda cell: run(cell, chosen), chosen.out)
