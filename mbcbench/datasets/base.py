"""What a data set is, and what its loader gives, whichever data set it is."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.errors import UsageError

Kind = Literal["digits", "patches", "clouds", "exemplars"]


class Split(NamedTuple):
    """Images (`N x 28 x 28`, uint8) and their labels (`N`, int64)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Digits(NamedTuple):
    """Digits by image, to train on and to test on, and where they come from."""

    train: Split
    test: Split
    source: str
    licence: str
    sha256: str
    name: str


class Patches(NamedTuple):
    """RGB images (`N x 3 x size x size`, uint8) to train on and to test on."""

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    name: str
    source: str


class Clouds(NamedTuple):
    """Points on surfaces (`N x points x 3`, float32; each cloud centred, of unit standard deviation) with their labels.

    The points of a cloud are in no order: any m of them are a sample of m. Labels (`N`, int64) index `classes`.
    """

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    classes: list[str]
    name: str
    source: str


class Exemplars(NamedTuple):
    """Views of classes as features of a pretrained network (`C x V x D`, float16); no class is in both parts.

    Of the paper's ImageNet the classes of both parts are the same, the images are not.
    """

    train: NDArray[np.float16]
    test: NDArray[np.float16]
    name: str
    source: str


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set, which is its own loader: `data_set(size=32)` gives the patches, and so on.

    paper: the paper's own, which must be fetched; else built in. source, licence: for people.
    checksums: by file, as published: a SHA-256, or `md5:` and an MD5. Of what is made here: of the recipe.
    load: reads or makes it. Raises UsageError when something is missing or damaged.
    verify: reads every file there is; what was read, in words. Raises UsageError when something is missing or damaged.
    fetch: gets it ready; with `True` (offline) without a connection. Raises UsageError with the remedy when it cannot.
    where: the file or folder that holds it; `present` when that exists.
    """

    name: str
    kind: Kind
    paper: bool
    source: str
    licence: str
    checksums: Mapping[str, str]
    load: Callable[..., Any]
    verify: Callable[[], str]
    fetch: Callable[[bool], object]
    where: Callable[[], Path]

    def __call__(self, *args: int, **named: int) -> Any:
        return self.load(*args, **named)

    @property
    def sha256(self) -> str:
        """What it is known by: the digest of its one file, or of all its checksums."""
        (first, *others) = self.checksums.values()
        return cache.digest(first, *others) if others or ":" in first else first

    @property
    def present(self) -> bool:
        """Whether it can be used without fetching it."""
        try:
            return self.where().exists()
        except UsageError:
            return False


@dataclass(frozen=True)
class Shipped:
    """A file inside an installed package (`package`, of the distribution `distribution`), known by its SHA-256."""

    distribution: str
    package: str
    inside: str
    sha256: str

    def path(self) -> Path:
        """Where it lies. The package is not imported. Raises UsageError when it is missing."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            name = Path(self.inside).name
            raise UsageError(
                f"{name} comes with {self.distribution}, which is missing: pip install {self.distribution}"
            )
        path = Path(spec.origin).parent / self.inside
        if not path.is_file():
            raise UsageError(f"there is no {path}; {self.remedy}")
        return path

    def verified(self) -> Path:
        """Where it lies, once it is known to be the file. Raises UsageError when it is missing or another."""
        path = self.path()
        found = cache.sha256(path)
        if found != self.sha256:
            told = f"SHA-256 {found[:12]}..., expected {self.sha256[:12]}..."
            raise UsageError(f"{path} is not the expected file ({told}); {self.remedy}")
        return path

    @property
    def remedy(self) -> str:
        """What to do when it is not as it should be."""
        return f"reinstall it: pip install --force-reinstall {self.distribution}"
