"""Run mbcbench on Dask workers that dask-kubernetes starts as pods. The operator of Dask must be installed.

    pip install 'mbcbench[cluster]' dask-kubernetes
    python examples/cluster/kubernetes.py

The image has the same versions of Python, torch and mbcbench as this machine, and the packages of your encoders. Pods
do not see files of this machine, so an encoder is given as package.module:attribute.
"""

from dask_kubernetes.operator import KubeCluster, make_cluster_spec

import mbcbench
from mbcbench.types import JsonDict

IMAGE = "registry.example.com/mbcbench:0.1.0"
WORKERS = 8


def make_spec() -> JsonDict:
    """Return the resource of a cluster whose workers run one cell at a time."""
    spec: JsonDict = make_cluster_spec(
        name="mbcbench",
        image=IMAGE,
        n_workers=WORKERS,
        worker_command="dask worker --nthreads 1",  # on nodes with a GPU: "dask worker --nthreads 1 --resources GPU=1"
        # A worker starts a process for each cell, which Dask forbids by default.
        env={"DASK_DISTRIBUTED__WORKER__DAEMON": "False"},
        resources={"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"cpu": "1", "memory": "4Gi"}},
    )
    return spec


def main() -> None:
    with KubeCluster(custom_cluster_spec=make_spec()) as cluster:
        mbcbench.run(["laws"], scheduler=cluster.scheduler_address)


if __name__ == "__main__":
    main()
