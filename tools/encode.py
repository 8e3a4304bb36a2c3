"""Compare the speed of `mbcbench encode` on a file with NumPy's sum of it; write docs/encode.md.

`python tools/encode.py [ELEMENTS]` needs 64 bytes of disk per element.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from template import write

from mbcbench import system

WIDTH, ROUNDS = 16, 3
ROWS = 1_000_000  # rows written at a time
SUM_CHUNKS = (2**12, 2**14, 2**16, 2**18)  # rows that NumPy sums at a time; the fastest counts
SMALL_CHUNK = 2**14  # elements per chunk, measured in addition to the default
ENCODERS = (
    ("sse-random", None), ("sse-random", SMALL_CHUNK), ("sse-random-max", None), ("deepsets-mean", None), ("pma", None),
    ("umbc", None),
)  # fmt: skip


class Measurement(NamedTuple):
    """One encoding of the file, and one sum of it."""

    elements_per_second: float
    resident_mib: float
    summed_per_second: float


def write_elements(path: Path, elements: int) -> None:
    """Write standard normal numbers: a million rows, drawn once and repeated."""
    rows = np.random.default_rng(0).standard_normal((ROWS, WIDTH), dtype=np.float32)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(elements, WIDTH))
    for start in range(0, elements, ROWS):
        file[start : start + ROWS] = rows[: elements - start]
    file.flush()


def sum_elements(path: Path, chunk: int) -> float:
    """Return how many elements per second NumPy sums, `chunk` at a time."""
    file = np.load(path, mmap_mode="r")
    total, start_time = np.zeros(WIDTH, np.float32), time.perf_counter()
    for start in range(0, len(file), chunk):
        total += file[start : start + chunk].sum(axis=0)
    return len(file) / (time.perf_counter() - start_time)


def best_sum(path: Path) -> float:
    """Return the rate of the fastest chunk size, each measured in a process of its own."""
    commands = ([sys.executable, __file__, str(path), str(chunk)] for chunk in SUM_CHUNKS)
    results = (subprocess.run(command, capture_output=True, text=True, check=True) for command in commands)
    return max(float(result.stdout) for result in results)


def measure(path: Path, encoder: str, chunk: int | None) -> Measurement:
    """Encode the file with the command, and sum it with NumPy."""
    command = [sys.executable, "-m", "mbcbench", "encode", str(path), "--encoder", encoder, "--quiet"]
    command += [] if chunk is None else ["--chunk", str(chunk)]
    summary = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"([\d.]+) million/s, [\d.]+ s, at most (\d+) MiB", summary)
    assert match is not None, summary
    return Measurement(1e6 * float(match[1]), float(match[2]), best_sum(path))


def table(path: Path) -> str:
    """Measure all encoders; return the rows of the table."""
    rows = [
        "| encoder | `--chunk` | million elements/s | NumPy's sum | ratio | resident, MiB |\n|---|--:|--:|--:|--:|--:|"
    ]
    for encoder, chunk in ENCODERS:
        rounds = ROUNDS if encoder == ENCODERS[0][0] else 1
        rows.append(table_row(encoder, chunk, [measure(path, encoder, chunk) for _ in range(rounds)]))
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(rows)


def table_row(encoder: str, chunk: int | None, measurements: list[Measurement]) -> str:
    rate = median(m.elements_per_second for m in measurements)
    summed = median(m.summed_per_second for m in measurements)
    ratio = median(m.elements_per_second / m.summed_per_second for m in measurements)
    resident = median(m.resident_mib for m in measurements)
    size = "default" if chunk is None else f"{chunk:,}"
    return f"| {encoder} | {size} | {rate / 1e6:.1f} | {summed / 1e6:.1f} | {ratio:.0%} | {resident:.0f} |"


def main(elements: int) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder, "elements.npy")
        write_elements(path, elements)
        words = {
            "ELEMENTS": f"{elements:,}",
            "WIDTH": str(WIDTH),
            "GIGABYTES": f"{elements * WIDTH * 4 / 1e9:.1f}",
            "MACHINE": f"{system.hardware()['cpu']}, {system.cores()} cores",
            "CHUNKS": ", ".join(f"{chunk:,}" for chunk in SUM_CHUNKS),
            "ROUNDS": str(ROUNDS),
            "TABLE": table(path),
        }
    write("encode", words)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(sum_elements(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else 10**8)
