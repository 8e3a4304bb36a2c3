"""Run mbcbench on Dask workers that dask-jobqueue starts as SLURM jobs.

    pip install 'mbcbench[cluster]' dask-jobqueue
    python examples/cluster/slurm_dask.py

The workers run on nodes that share this folder and this Python environment. For PBS, LSF, SGE and other queues, use
another class of cluster.
"""

from dask_jobqueue import SLURMCluster

import mbcbench

JOBS = 8


def make_cluster(**options: object) -> SLURMCluster:
    """Return a cluster without jobs: each job will be 4 worker processes, so that 4 cells run in it at a time."""
    return SLURMCluster(
        cores=4,
        processes=4,
        memory="16GB",
        walltime="04:00:00",
        # A worker starts a process for each cell, which Dask forbids by default.
        job_script_prologue=["export DASK_DISTRIBUTED__WORKER__DAEMON=False"],
        # With a GPU: processes=1, job_extra_directives=["--gres=gpu:1"], worker_extra_args=["--resources GPU=1"].
        **options,
    )


def main() -> None:
    with make_cluster() as cluster:
        cluster.scale(jobs=JOBS)
        mbcbench.run(["laws"], scheduler=cluster.scheduler_address)


if __name__ == "__main__":
    main()
