"""The largest set that each encoder encodes in one piece: doubled until memory ends, then bisected twice."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from mbcbench import registry
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from .resources import DRY
from .stage import Options, measure, parse

DIM = 64
FIRST, LAST = 2**12, 2**30
LONGEST = 1.0  # seconds of an encoding; where one takes longer, larger sets are not tried
BISECTIONS = 2


def cells(options: Options) -> list[Cell]:
    """Return one cell per encoder."""
    encoders = DRY if options.dry else tuple(registry.plugins(registry.ENCODERS))
    params = {"dim": DIM, "last": 2 * FIRST if options.dry else LAST}
    make = partial(Cell, suite="resources", case="largest", device=options.device, params=params)
    return [make(encoder=encoder) for encoder in encoders]


@torch.inference_mode()
def run(cell: Cell) -> Iterator[Record]:
    """Search for the largest set that fits."""
    module = build_from_spec(get_spec(cell.encoder), dim_in=DIM).eval().to(cell.device)
    fits, fails, seconds, limit = 0, None, 0.0, "size"
    n = FIRST
    while n <= cell.params["last"]:
        outcome = _try_to_encode(module, n, cell.device)
        if outcome is None:
            fails, limit = n, "memory"
            break
        fits, seconds = n, outcome
        if seconds > LONGEST:
            limit = "time"
            break
        n *= 2
    for _ in range(BISECTIONS if fails is not None and fits else 0):
        assert fails is not None
        middle = (fits + fails) // 2
        outcome = _try_to_encode(module, middle, cell.device)
        if outcome is None:
            fails = middle
        else:
            fits, seconds = middle, outcome
    detail = {"dim": DIM, "limit": limit, "fails_at": fails, "seconds": seconds, "input_bytes": fits * DIM * 4}
    yield cell.record(Status.OK, metric="largest_set", value=fits, higher_is_better=True, detail=detail)


def _try_to_encode(module: Any, n: int, device: str) -> float | None:
    """Return the seconds of an encoding, or None if there is not enough memory."""
    try:
        x = torch.empty(1, n, DIM, device=device).normal_()
        _wait(device)
        began = time.perf_counter()
        module(x)
        _wait(device)
        return time.perf_counter() - began
    except torch.OutOfMemoryError:
        return None
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    chosen = parse(__doc__)
    measure(cells(chosen), run, chosen.out)
