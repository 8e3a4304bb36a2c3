"""Measure one set over several ranks, and predict more of them; print the tables of docs/scale.md.

`python tools/ranks.py [--rounds N] [--scale F]`. One rank and two take turns, with one thread each, so that other load
of the machine affects both. The prediction for P ranks on a machine each is

    T(P) = start + n t / P + ceil(log2 P) (latency + bytes / bandwidth + merge)

with the time t of an element, and the time to pack, unpack and merge a state, as measured here. Latency and bandwidth
are those of a network that --latency and --bandwidth describe. What is predicted for the merging is compared with what
up to 32 ranks need on this machine, where the ranks share the cores.
"""

import argparse
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from template import markdown_table
from torch import Tensor

from mbcbench.distributed import merge_in_tree
from mbcbench.protocol.build import build
from mbcbench.protocol.state import from_bytes, to_bytes
from mbcbench.suites.laws.ranks import call_in_ranks
from mbcbench.types import Encoder

WIDTH = 16
ELEMENTS = {"sse-random": 16_000_000, "deepsets-mean": 4_000_000, "attention-pooling": 4_000_000, "umbc": 1_000_000}
PREDICTED = (1, 2, 8, 64, 1000)
PREDICTED_ELEMENTS = 1_000_000_000
MERGED = (2, 4, 8, 16, 32)
STATE_KIB = (1, 64, 1024)
REPEATS = 7
CPU = torch.device("cpu")
SUMMARY = re.compile(r"/s, ([\d.]+) s, at most")
State = dict[str, Tensor]


class Measurement(NamedTuple):
    """Seconds of a command before its first element, and from then on."""

    start: float
    encoding: float


class Scaling(NamedTuple):
    """Medians of one encoder, with one rank and with two. speedup: of encoding, the median over the rounds."""

    one: Measurement
    two: Measurement
    speedup: float


class MergeTimes(NamedTuple):
    """Seconds to pack a state, to unpack it, and to merge two."""

    pack: float
    unpack: float
    merge: float


# ---- one rank and two, as commands


def run_command(path: Path, encoder: str, ranks: int) -> Measurement:
    """Encode a file with the command, each rank on one thread."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launch, "-m", "mbcbench", "encode", str(path), "--encoder", encoder, "--quiet"]
    command += ["--threads", str(ranks), "--out", str(path.with_suffix(".out.npy"))]
    began = time.perf_counter()
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    seconds = time.perf_counter() - began
    match = SUMMARY.search(result.stdout)
    assert match is not None, result.stdout
    return Measurement(seconds - float(match[1]), float(match[1]))


def measure_scaling(folder: Path, encoder: str, elements: int, rounds: int) -> Scaling:
    """Measure one rank and two in turn, on a file of standard normal numbers."""
    path = folder / f"{encoder}.npy"
    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (elements, WIDTH))
    for start in range(0, elements, 2**20):
        out[start : start + 2**20] = rng.standard_normal((min(2**20, elements - start), WIDTH), np.float32)
    out.flush()
    one, two = [], []
    for _ in range(rounds):
        one.append(run_command(path, encoder, 1))
        two.append(run_command(path, encoder, 2))
    path.unlink()
    speedup = median(a.encoding / b.encoding for a, b in zip(one, two, strict=True))
    return Scaling(_median(one), _median(two), speedup)


def _median(measurements: Sequence[Measurement]) -> Measurement:
    return Measurement(*(median(column) for column in zip(*measurements, strict=True)))


# ---- sending and merging states


def seconds_of(action: Callable[[], object]) -> float:
    """Return the median time of an action."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def merge_times(module: Encoder) -> MergeTimes:
    """Measure what a rank does with a state, besides sending it."""
    like = module.init_state(1)
    state = module.update(like, torch.ones(1, 8, WIDTH))
    data = to_bytes(state)
    return MergeTimes(
        seconds_of(lambda: to_bytes(state)),
        seconds_of(lambda: from_bytes(data, like)),
        seconds_of(lambda: module.merge(state, state)),
    )


def state_bytes(module: Encoder) -> int:
    """Return what a rank sends: the state, with its header, and the length of both."""
    return len(to_bytes(module.update(module.init_state(1), torch.ones(1, 8, WIDTH)))) + 8


class Merging(NamedTuple):
    """Seconds until the states of all ranks are merged, and of processor time for each message."""

    seconds: float
    processor: float


def measure_merging(kibibytes: int, ranks: int) -> Merging:
    """Merge the states of some ranks on this machine, without encoding; medians."""

    def merge_often(rank: int) -> tuple[Tensor, ...]:
        state: State = {"total": torch.zeros(kibibytes * 256)}
        seconds, processor = [], []
        for _ in range(REPEATS):
            dist.barrier()
            began, busy = time.perf_counter(), time.process_time()
            merge_in_tree(state, _add, state, CPU)
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - busy)
        return torch.tensor(seconds), torch.tensor(processor)

    torch.set_num_threads(1)
    results = call_in_ranks(merge_often, (torch.empty(0), torch.empty(0)), ranks, seed=0)
    processor = torch.stack([result[1] for result in results]).sum(0)
    return Merging(float(results[0][0].median()), float(processor.median()) / (ranks - 1))


def _add(a: State, b: State) -> State:
    return {"total": a["total"] + b["total"]}


def predict_merging(step: float, ranks: int, cores: float) -> float:
    """Return the time of a tree of merges, each of which takes `step`, on machines with so many cores in all."""
    steps: list[int] = [2**level for level in range(math.ceil(math.log2(ranks)))]
    messages = [math.ceil((ranks - distance) / (2 * distance)) for distance in steps]
    return step * sum(max(1, math.ceil(count / cores)) for count in messages)


# ---- tables


def scaling_table(measured: dict[str, Scaling], elements: dict[str, int]) -> str:
    """Return one rank compared with two."""
    rows = [
        [
            encoder, f"{elements[encoder]:,}", f"{scaling.one.encoding:.1f}", f"{scaling.two.encoding:.1f}",
            f"{scaling.speedup:.2f}", f"{scaling.one.start:.1f}", f"{scaling.two.start:.1f}",
            f"{state_bytes(build(encoder, dim_in=WIDTH)):,}",
        ]
        for encoder, scaling in measured.items()
    ]  # fmt: skip
    headings = (
        "encoder",
        "elements",
        "1 rank, s",
        "2 ranks, s",
        "ratio",
        "start of 1, s",
        "start of 2, s",
        "bytes sent",
    )
    table: str = markdown_table(headings, rows, "lrrrrrrr")
    return table


def merging_table() -> str:
    """Return the time of merging by the size of the state and the number of ranks: predicted from that of two ranks."""
    rows, cores = [], os.cpu_count() or 1
    for size in STATE_KIB:
        two = measure_merging(size, 2)
        for ranks in MERGED:
            measured = measure_merging(size, ranks) if ranks > 2 else two
            predicted = predict_merging(two.seconds, ranks, cores)
            rows.append(
                [
                    f"{size:,}", str(ranks), f"{1e3 * measured.seconds:.1f}", f"{1e3 * predicted:.1f}",
                    f"{1e3 * measured.processor:.2f}", f"{measured.processor / two.processor:.2f}",
                ]
            )  # fmt: skip
            print(*rows[-1], file=sys.stderr, flush=True)
    headings = ("state, KiB", "ranks", "measured, ms", "predicted, ms", "CPU per message, ms", "of that of 2 ranks")
    table: str = markdown_table(headings, rows, "rrrrrr")
    return table


def prediction_table(measured: dict[str, Scaling], elements: dict[str, int], latency: float, bandwidth: float) -> str:
    """Return the predicted time and traffic for one set of many elements."""
    rows = []
    for encoder, scaling in measured.items():
        module: Encoder = build(encoder, dim_in=WIDTH)
        times, size = merge_times(module), state_bytes(module)
        step = latency + size / bandwidth + sum(times)
        whole = PREDICTED_ELEMENTS * scaling.one.encoding / elements[encoder]
        for ranks in PREDICTED:
            start = scaling.one.start if ranks == 1 else scaling.two.start
            merging = predict_merging(step, ranks, math.inf)
            total = start + whole / ranks + merging
            speedup = (scaling.one.start + whole) / total
            traffic = (ranks - 1) * size / 1e6
            rows.append(
                [encoder, f"{ranks:,}", f"{total:,.1f}", f"{1e3 * merging:.1f}", f"{speedup:,.1f}", f"{traffic:,.2f}"]
            )
    headings = ("encoder", "ranks", "time, s", "merging, ms", "speed-up", "sent in all, MB")
    table: str = markdown_table(headings, rows, "lrrrrr")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times the elements of a file")
    parser.add_argument("--latency", type=float, default=1e-4, help="of the network, in seconds")
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="of the network, in bytes per second")
    arguments = parser.parse_args()
    elements = {encoder: int(arguments.scale * count) for encoder, count in ELEMENTS.items()}
    measured = {}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for encoder, count in elements.items():
            measured[encoder] = measure_scaling(Path(folder), encoder, count, arguments.rounds)
            print(encoder, *measured[encoder], file=sys.stderr, flush=True)
    print(scaling_table(measured, elements), "", sep="\n", flush=True)
    print(merging_table(), "", sep="\n", flush=True)
    print(prediction_table(measured, elements, arguments.latency, arguments.bandwidth))


if __name__ == "__main__":
    main()
