"""Resources: what encoding one set costs, in time, memory, state and parameters.

One set (B = 1) of standard normal elements, 64 numbers each, in eval mode, on one thread: in one piece, or streamed in
chunks of 1,000.
"""

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from mbcbench.cell import Cell, Profile, Request, Suite
from mbcbench.encoder import encode_stream, is_streaming
from mbcbench.record import Record, Status
from mbcbench.state import nbytes
from mbcbench.target import build, resolve

CHUNK = 1000
SIZES: dict[Profile, tuple[int, ...]] = {
    "smoke": (1000,),
    "quick": (2000,),
    "laptop": (1000, 10_000, 100_000),
    "paper": (1000, 10_000, 100_000, 1_000_000),
}
SECONDS: dict[Profile, float] = {"smoke": 0.02, "quick": 0.1, "laptop": 2.0, "paper": 5.0}


def cells(request: Request) -> list[Cell]:
    """Per encoder one cell for each set size in one piece, and one for the largest set streamed.

    Each measures in a process of its own, and a size that is too large for one mode spares the other.
    """
    sizes = SIZES[request.profile]
    ways = [(n, "one piece") for n in sizes] + [(sizes[-1], "streamed")]
    shared = {"dim": 64, "batch": 1, "chunk_size": CHUNK, "timing_seconds": SECONDS[request.profile]}
    return [
        Cell(
            suite="resources",
            case="encode",
            encoder=encoder,
            seed=request.seed,
            params={"n": n, "mode": mode, **shared},
        )
        for encoder in request.encoders
        for n, mode in ways
    ]


def run(cell: Cell) -> Iterable[Record]:
    """Peak memory and throughput of one encoding, parameters (one piece) or bytes of the state (streamed)."""
    p = cell.params
    module = build(resolve(cell.encoder), dim_in=p["dim"], seed=cell.seed).eval()
    x = torch.randn(p["batch"], p["n"], p["dim"], generator=torch.Generator().manual_seed(cell.seed))
    if p["mode"] == "streamed" and not is_streaming(module):
        return [cell.record(Status.SKIP, message="a plain module has no state to stream: it encodes in one piece")]
    with torch.inference_mode():
        return list(_measured(cell, module, x))


def _measured(cell: Cell, module: nn.Module, x: Tensor) -> Iterator[Record]:
    """Memory first: what is measured first finds the process as it was."""
    p = cell.params
    detail = {name: p[name] for name in ("n", "mode", "dim", "batch")}
    if p["mode"] == "one piece":
        encode: Callable[[], Tensor] = partial(module, x)
    else:
        chunks = torch.split(x, p["chunk_size"], dim=1)
        encode = partial(encode_stream, module, chunks)
        detail["chunk_size"] = p["chunk_size"]
    peak, method = peak_bytes(encode)
    yield _smaller(cell, "peak_memory", "bytes", peak, detail | {"method": method})
    if p["mode"] == "one piece":
        yield _smaller(cell, "parameters", "", sum(weight.numel() for weight in module.parameters()), detail)
    else:
        yield _smaller(cell, "state_size", "bytes", _state_bytes(module, chunks), detail)
    yield _throughput(cell, encode, detail)


def _state_bytes(module: Any, chunks: Sequence[Tensor]) -> int:
    state = module.init_state(chunks[0].shape[0])
    for chunk in chunks:
        state = module.update(state, chunk)
    return nbytes(state)


def _throughput(cell: Cell, encode: Callable[[], Tensor], detail: dict[str, Any]) -> Record:
    """By the median of repetitions that fill `timing_seconds`; at least one."""
    p = cell.params
    timer = Timer("encode()", globals={"encode": encode}, num_threads=1)
    timing = timer.blocked_autorange(min_run_time=p["timing_seconds"])
    return cell.record(
        Status.OK,
        metric="throughput",
        value=p["batch"] * p["n"] / timing.median,
        unit="elements/s",
        higher_is_better=True,
        detail=detail | {"median_seconds": timing.median, "iqr_seconds": timing.iqr, "repetitions": len(timing.times)},
    )


def _smaller(cell: Cell, metric: str, unit: str, value: float, detail: dict[str, Any]) -> Record:
    return cell.record(Status.OK, metric=metric, value=value, unit=unit, higher_is_better=False, detail=detail)


def peak_bytes(action: Callable[[], object]) -> tuple[int, str]:
    """Bytes that `action` adds to the process's resident memory at its highest, and how they were measured.

    `action` runs once beforehand, so that code and tables that are loaded on first use do not count; what that run
    left in the allocator is given back, so that it is counted when taken anew. Where the kernel cannot reset the
    high-water mark (anywhere but Linux), the first run is measured, against the highest the process had been before.
    """
    before = _highest_ever()
    action()
    gc.collect()
    _trim()
    if not _reset_high_water_mark():
        return _highest_ever() - before, "ru_maxrss of the first run"
    idle = _high_water_mark()
    action()
    return _high_water_mark() - idle, "VmHWM"


def _reset_high_water_mark() -> bool:
    """Let the mark fall to the present resident size; whether the kernel did."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _highest_ever() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _trim() -> None:
    """Ask the allocator to give free memory back (glibc alone can be asked)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


SUITE = Suite(
    name="resources",
    summary="throughput, peak memory, state size and parameters of one encoding, in one piece and streamed",
    cells=cells,
    run=run,
    alone=True,
    seconds={"smoke": 60, "quick": 60, "laptop": 300, "paper": 3600},
)
