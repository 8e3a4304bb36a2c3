"""Compare the time that law cells take on two Dask workers of this machine with that of the local pool.

Both run the same cells in alternation, slice by slice, so that other load of the machine affects both. What starts
once per run (fork servers, first answers of the workers) is done before. The target is a ratio of at most 1.3.

    python tools/cluster_overhead.py --cells 2000
"""

import argparse
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace

from mbcbench import registry
from mbcbench.execution import planner
from mbcbench.execution.cluster.executor import ClusterExecutor
from mbcbench.execution.executor import Executor, open_local
from mbcbench.execution.runner import Finished, Job, Limits
from mbcbench.execution.suite import PlanParams
from mbcbench.records.cell import Cell
from mbcbench.records.detail import PlanDetail

WORKERS = 2


def law_jobs(count: int) -> list[Job]:
    """Return cells of the suite of laws on the registered encoders, in random order; with further seeds if need be."""
    params = PlanParams(
        suite="laws", profile="smoke", data="auto", device="cpu", only=(),
        encoders=tuple(registry.plugins(registry.ENCODERS)), user_encoders=(),
    )  # fmt: skip
    plan = PlanDetail.from_dict(planner.run_probe("plan", **asdict(params)).detail)
    cells = [Cell(**fields) for fields in plan.cells]
    random.Random(0).shuffle(cells)
    seeded = [replace(cell, seed=seed) for seed in range(count // len(cells) + 1) for cell in cells]
    return [Job(cell, Limits(seconds=plan.seconds)) for cell in seeded[:count]]


@contextmanager
def open_cluster() -> Iterator[ClusterExecutor]:
    """Yield an executor with two workers of one thread on this machine."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.worker.daemon": False}),
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        ClusterExecutor(cluster.scheduler_address, (), ()) as executor,
    ):
        yield executor


def seconds_of(executor: Executor, jobs: Sequence[Job]) -> float:
    start = time.perf_counter()
    ended = sum(isinstance(event, Finished) for event in executor.run(jobs))
    assert ended == len(jobs)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--slice", type=int, default=50, help="cells until the other one has its turn")
    arguments = parser.parse_args()
    jobs = law_jobs(arguments.cells + 2 * WORKERS)
    warm_up, jobs = jobs[: 2 * WORKERS], jobs[2 * WORKERS :]
    with open_local(WORKERS, (), ()) as local, open_cluster() as cluster:
        for executor in (local, cluster):
            seconds_of(executor, warm_up)
        slices = [jobs[start : start + arguments.slice] for start in range(0, len(jobs), arguments.slice)]
        pairs = [(seconds_of(local, part), seconds_of(cluster, part)) for part in slices]
    here, there = map(sum, zip(*pairs, strict=True))
    median = statistics.median(b / a for a, b in pairs)
    print(f"{len(jobs)} cells: local {here:.1f} s, Dask {there:.1f} s, ratio {there / here:.2f}, median {median:.2f}")


if __name__ == "__main__":
    main()
