"""A file larger than what it may take of memory, encoded and summed by NumPy in turns: writes encode.md.

`python tools/encode.py [ELEMENTS]`; it needs 64 bytes of disk for each.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from template import write

from mbcbench import system

WIDTH, ROUNDS = 16, 3
ROWS = 1_000_000  # written at a time
CHUNKS = (2**12, 2**14, 2**16, 2**18)  # rows that NumPy sums at a time: the fastest counts
SMALL = 2**14  # rows of a chunk beside the default
ENCODERS = (
    ("sse-random", None), ("sse-random", SMALL), ("sse-random-max", None), ("deepsets-mean", None), ("pma", None),
    ("umbc", None),
)  # fmt: skip


def make(path: Path, elements: int) -> None:
    """Standard normal numbers, a million rows drawn once and written over and over."""
    rows = np.random.default_rng(0).standard_normal((ROWS, WIDTH), dtype=np.float32)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(elements, WIDTH))
    for start in range(0, elements, ROWS):
        file[start : start + ROWS] = rows[: elements - start]
    file.flush()


def summed(path: Path, chunk: int) -> float:
    """Elements a second that NumPy sums, `chunk` at a time."""
    file = np.load(path, mmap_mode="r")
    total, began = np.zeros(WIDTH, np.float32), time.perf_counter()
    for start in range(0, len(file), chunk):
        total += file[start : start + chunk].sum(axis=0)
    return len(file) / (time.perf_counter() - began)


def best_sum(path: Path) -> float:
    """The rate of the fastest chunk, each in a process of its own."""
    calls = ([sys.executable, __file__, str(path), str(chunk)] for chunk in CHUNKS)
    return max(float(subprocess.run(call, capture_output=True, text=True, check=True).stdout) for call in calls)


def encoded(path: Path, encoder: str, chunk: int | None) -> tuple[float, float]:
    """Elements a second, and the most memory that was resident, in MiB, as the command says."""
    call = [sys.executable, "-m", "mbcbench.cli.main", "encode", str(path), "--encoder", encoder, "--quiet"]
    call += [] if chunk is None else ["--chunk", str(chunk)]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    rate, resident = re.search(r"([\d.]+) million/s, [\d.]+ s, at most (\d+) MiB", said).groups()  # type: ignore[union-attr]
    return 1e6 * float(rate), float(resident)


def table(path: Path) -> str:
    rows = [
        "| encoder | `--chunk` | million elements/s | NumPy's sum | of it | resident, MiB |\n|---|--:|--:|--:|--:|--:|"
    ]
    for encoder, chunk in ENCODERS:
        rounds = ROUNDS if encoder == ENCODERS[0][0] else 1
        found = [(*encoded(path, encoder, chunk), best_sum(path)) for _ in range(rounds)]
        rate, resident, plain = (median(column) for column in zip(*found, strict=True))
        share = median(rate / plain for rate, _, plain in found)
        size = "default" if chunk is None else f"{chunk:,}"
        rows.append(f"| {encoder} | {size} | {rate / 1e6:.1f} | {plain / 1e6:.1f} | {share:.0%} | {resident:.0f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(rows)


def main(elements: int) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder, "elements.npy")
        make(path, elements)
        words = {
            "ELEMENTS": f"{elements:,}",
            "WIDTH": str(WIDTH),
            "GIGABYTES": f"{elements * WIDTH * 4 / 1e9:.1f}",
            "MACHINE": f"{system.hardware()['cpu']}, {system.cores()} cores",
            "CHUNKS": ", ".join(f"{chunk:,}" for chunk in CHUNKS),
            "ROUNDS": str(ROUNDS),
            "TABLE": table(path),
        }
    write("encode", words)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(summed(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else 10**8)
