"""Training on the device: the cells of an experiment or a suite, as many processes at a time as pay."""

import argparse
import json
import multiprocessing
import tarfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mbcbench import system
from mbcbench.api.run import run
from mbcbench.execution.suite import Profile
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.types import Device

from .stage import parser

MEMORY_LIMIT = 64.0  # GiB of a cell: CUDA maps far more host memory than it uses
NEARLY = 0.9  # of the best rate: fewer processes that reach it are preferred


def steps_per_second(levels: Sequence[int], seconds: float, device: str) -> dict[int, float]:
    """Return the steps per second of all processes together, by the number of processes that train."""
    is_cuda = device == "cuda"  # which does not survive a fork
    context = multiprocessing.get_context("spawn") if is_cuda else multiprocessing.get_context("fork")
    barrier, counts = context.Barrier(max(levels)), context.Queue()
    processes = [
        context.Process(target=_train, args=(rank, levels, seconds, device, barrier, counts))
        for rank in range(max(levels))
    ]
    for process in processes:
        process.start()
    rates = dict.fromkeys(levels, 0.0)
    for _ in range(sum(levels)):
        level, rate = counts.get(timeout=120)
        rates[level] += rate
    for process in processes:
        process.join()
    return rates


def _train(rank: int, levels: Sequence[int], seconds: float, device: str, barrier: Barrier, counts: Any) -> None:
    """Train a small classifier of point clouds in each round in which this process takes part."""
    torch.set_num_threads(1)
    encoder = build_from_spec(get_spec("sse-random"), dim_in=3, num_slots=16)
    model = nn.Sequential(encoder, nn.Flatten(), nn.Linear(16 * 64, 40)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x, y = torch.randn(32, 100, 3, device=device), torch.zeros(32, dtype=torch.int64, device=device)

    def step() -> None:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()

    step()
    for level in levels:
        barrier.wait()
        if rank < level:
            began, steps = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                step()
                steps += 1
            counts.put((level, steps / (time.perf_counter() - began)))
        barrier.wait()


def best_level(rates: dict[int, float]) -> int:
    """Return the fewest processes that nearly reach the best rate."""
    return min(level for level, rate in rates.items() if rate >= NEARLY * max(rates.values()))


def pack(folder: Path, out: Path, rates: dict[int, float]) -> None:
    """Write the runs of a folder to an archive, with the rates by the number of processes."""
    (folder / "jobs.json").write_text(json.dumps(rates))
    with tarfile.open(out, "w:gz") as archive:
        archive.add(folder, arcname=".")


def main(arguments: argparse.Namespace) -> None:
    """Choose the number of processes, train, and pack the run however it ends."""
    device: Device = "cpu" if arguments.dry else "cuda"
    folder = arguments.work / "train"
    folder.mkdir(parents=True, exist_ok=True)
    levels = (1,) if arguments.dry else tuple(n for n in (1, 2, 4, 8, 16) if n <= system.cores())
    rates = steps_per_second(levels, 0.05 if arguments.dry else 2.0, device)
    profile: Profile = "smoke" if arguments.dry else arguments.profile
    encoders = ["deepsets-mean"] if arguments.dry else []
    try:
        run(
            ["max-of-set"] if arguments.dry else [arguments.suite],
            only=[] if arguments.dry else arguments.only,
            encoders=encoders, only_encoders=bool(encoders), profile=profile, device=device,
            jobs=best_level(rates), memory_limit=MEMORY_LIMIT, root=folder,
        )  # fmt: skip
    finally:  # also after SIGINT, when time is up
        pack(folder, arguments.out, rates)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--suite", default="paper")
    options.add_argument("--only", action="append", default=[], help="an experiment of the suite")
    options.add_argument("--profile", default="thorough")
    main(options.parse_args())
