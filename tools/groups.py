"""Compare the rate of many sets in one pass with that of one set, from the same Parquet file; print a table.

`python tools/groups.py [ROWS [SETS [ROUNDS]]]`; by default a million rows in 10,000 sets, and 3 rounds.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from template import markdown_table

WIDTH = 16
ROWS = 1_000_000  # rows of a row group
ENCODERS = ("deepsets-mean", "attention-pooling", "sse-random", "umbc")
HEADINGS = ("encoder", "rows/s, one set", "rows/s, many sets", "ratio", "CPU time, ratio", "resident, MiB")
SUMMARY = re.compile(r"([\d.]+) million/s, [\d.]+ s, at most (\d+) MiB")


class Measurement(NamedTuple):
    """One run of the command: rows per second, seconds of processor time, and most memory in MiB."""

    rate: float
    seconds: float
    resident: float


def write_table(path: Path, rows: int, sets: int) -> None:
    """Write standard normal numbers in columns, each row with the id of a random set."""
    names = [f"x{number}" for number in range(WIDTH)]
    rng = np.random.default_rng(0)
    schema = pa.schema([("set", pa.int64()), *((name, pa.float32()) for name in names)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROWS):
            count = min(ROWS, rows - start)
            x = rng.standard_normal((count, WIDTH), dtype=np.float32)
            writer.write_table(pa.table([rng.integers(0, sets, count), *x.T.copy()], schema=schema))


def measure(path: Path, encoder: str, *options: str) -> Measurement:
    """Encode the table with the command."""
    command = [sys.executable, "-m", "mbcbench", "encode", str(path), "--encoder", encoder, "--quiet", *options]
    before = os.times()
    summary = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = os.times()
    match = SUMMARY.search(summary)
    assert match is not None, summary
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return Measurement(1e6 * float(match[1]), seconds, float(match[2]))


def table_row(path: Path, encoder: str, rounds: int) -> list[str]:
    """Measure both in turn; medians."""
    columns = [option for number in range(WIDTH) for option in ("--select", f"x{number}")]
    one, many = [], []
    for _ in range(rounds):
        one.append(measure(path, encoder, *columns, "--out", str(path.with_suffix(".npy"))))
        many.append(measure(path, encoder, "--by", "set", "--out", str(path.with_suffix(".sets.parquet"))))
    return [
        encoder,
        f"{median(m.rate for m in one):,.0f}",
        f"{median(m.rate for m in many):,.0f}",
        f"{median(b.rate / a.rate for a, b in zip(one, many, strict=True)):.2f}",
        f"{median(a.seconds / b.seconds for a, b in zip(one, many, strict=True)):.2f}",
        f"{median(m.resident for m in many):.0f}",
    ]


def main(rows: int = 1_000_000, sets: int = 10_000, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder, "table.parquet")
        write_table(path, rows, sets)
        table = []
        for encoder in ENCODERS:
            table.append(table_row(path, encoder, rounds))
            print(*table[-1], file=sys.stderr, flush=True)
    print(markdown_table(HEADINGS, table, "lrrrrr"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
