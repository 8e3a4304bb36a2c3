"""`encode --device cuda` of a file that the system has in memory, by the rates of the link and of reading."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mbcbench import system
from mbcbench.api.encode import encode
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.streaming.device import CHUNK_NUMBERS, iter_device_chunks
from mbcbench.streaming.sources import open_source

from .stage import Options, measure, parse

WIDTH = 64
ELEMENTS = 8_000_000  # two gigabytes
ROWS = 250_000  # drawn once, and written again and again
ENCODERS = ("sse-random", "sse-random-max", "deepsets-mean", "pma", "umbc")
ROUNDS = 2  # the first loads the file into the system's memory, and compiles kernels


def cells(options: Options) -> list[Cell]:
    """Return cells that read, copy, and encode the file; the Slot Set Encoder on the CPU too."""
    params = {"n": 3000 if options.dry else ELEMENTS, "width": WIDTH}
    encoders = ENCODERS[:1] if options.dry else ENCODERS
    make = partial(Cell, suite="gpu", params=params)
    return [
        make(case="copy-file", encoder="", device=options.device),
        *(make(case="encode-file", encoder=encoder, device=options.device) for encoder in encoders),
        make(case="encode-file-cpu", encoder=encoders[0], device="cpu"),
    ]


def write_elements(path: Path, elements: int) -> None:
    """Write standard normal numbers, `ROWS` rows of them over and over."""
    rows = np.random.default_rng(0).standard_normal((min(ROWS, elements), WIDTH), dtype=np.float32)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(elements, WIDTH))
    for start in range(0, elements, len(rows)):
        file[start : start + len(rows)] = rows[: elements - start]
    file.flush()


def run(cell: Cell, path: Path) -> Iterator[Record]:
    """Measure elements per second."""
    if not path.exists():
        write_elements(path, cell.params["n"])
    for _ in range(ROUNDS):
        began = time.perf_counter()
        if cell.case == "copy-file":
            _copy(path, cell.device)
        else:
            encode(path, cell.encoder, device="cuda" if cell.device == "cuda" else "cpu")
        seconds = time.perf_counter() - began
    rate = cell.params["n"] / seconds
    detail = {"seconds": seconds, "bytes_per_second": rate * WIDTH * 4, "threads": system.cores()}
    yield cell.record(
        Status.OK, metric="throughput", value=rate, unit="elements/s", higher_is_better=True, detail=detail
    )


def _copy(path: Path, device: str) -> None:
    """Read the file and copy it to the device, without an encoder."""
    source = open_source(path)
    chunks = iter_device_chunks(
        source, 0, CHUNK_NUMBERS // WIDTH,
        dtype=np.dtype(np.float32), device=torch.device(device), threads=system.cores(),
    )  # fmt: skip
    for _ in chunks:
        pass
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    chosen = parse(__doc__)
    file = chosen.work / "elements.npy"
    try:
        measure(cells(chosen), lambda cell: run(cell, file), chosen.out)
    finally:
        file.unlink(missing_ok=True)
