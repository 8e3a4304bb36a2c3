"""Base classes of data sets, and types of their contents."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.errors import UsageError, install_hint
from mbcbench.types import JsonObject

Content = Literal["digits", "patches", "clouds", "exemplars"]


class Split(NamedTuple):
    """Images (`N x 28 x 28`, uint8) and their labels (`N`, int64)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Digits(NamedTuple):
    """Images of ten classes, such as digits, to train on and to test on, and their origin."""

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
    """Points on surfaces (`N x points x 3`, float32) and the labels of the clouds (`N`, int64, indices of `classes`).

    Each cloud has mean 0 and standard deviation 1. Its points are in no order: any m of them are a sample of size m.
    """

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    classes: list[str]
    name: str
    source: str


class Exemplars(NamedTuple):
    """Views of classes as features of a pretrained network (`C x V x D`, float16).

    The training and test classes are disjoint. The exception is the paper's ImageNet, where both parts have the same
    classes and different images.
    """

    train: NDArray[np.float16]
    test: NDArray[np.float16]
    name: str
    source: str


class DataSet(ABC):
    """A data set: a description, a location, and methods to load, verify and fetch it.

    name: name on the command line.
    content: kind of data that `load` returns; data sets with the same content are interchangeable.
    paper: True if the paper uses it; it must be fetched.
    additional: True for an alternative with the same content: it must be fetched, and is used only if it is named. A
        data set that is neither `paper` nor `additional` is built in.
    source, licence: for display.
    checksums: SHA-256 (or `md5:` and the MD5) of each file as published, or of the generator if the data is generated.
    """

    name: ClassVar[str]
    content: ClassVar[Content]
    paper: ClassVar[bool]
    additional: ClassVar[bool] = False
    source: ClassVar[str]
    licence: ClassVar[str]
    checksums: ClassVar[Mapping[str, str]]

    @abstractmethod
    def path(self) -> Path:
        """Return the file or folder that holds the data. Raises UsageError if the package that ships it is missing."""

    @abstractmethod
    def verify(self) -> str:
        """Read every file and return a summary in words. Raises UsageError if one is missing or damaged."""

    @abstractmethod
    def fetch(self, *, offline: bool = False) -> None:
        """Make the data available, without a connection if `offline`. Raises UsageError with the remedy on failure."""

    def prepare(self, loader: str, arguments: JsonObject) -> None:
        """Prepare the data that the method `loader` returns for some arguments, and download what it needs.

        Raises UsageError with the remedy if that fails.
        """
        getattr(self, loader)(**arguments)

    @property
    def built_in(self) -> bool:
        """True if an installed package ships the data, or if the data is generated."""
        return not (self.paper or self.additional)

    @property
    def sha256(self) -> str:
        """Identity of the data: the digest of its only file, or of all its checksums."""
        (first, *others) = self.checksums.values()
        return cache.digest(first, *others) if others or ":" in first else first

    @property
    def present(self) -> bool:
        """True if the data can be loaded without fetching it."""
        try:
            return self.path().exists()
        except UsageError:
            return False


class DigitDataSet(DataSet):
    """A data set of digits, or of other images of 28 x 28 pixels and ten classes."""

    content = "digits"

    @abstractmethod
    def load(self) -> Digits:
        """Return the digits. Raises UsageError if a file is missing or damaged."""

    def load_split(self, split: int) -> Digits:
        """Return the digits under one of several splits into training and test parts.

        A data set that is published with a split returns that split.
        """
        return self.load()


class PatchDataSet(DataSet):
    """A data set of image patches.

    sizes: widths of the available images; empty if they are not known without loading them.
    """

    content = "patches"
    sizes: ClassVar[Sequence[int]] = ()

    def check_size(self, size: int) -> None:
        """Raise UsageError for a size that is not in `sizes`."""
        if size not in self.sizes:
            raise UsageError(f"there are no images of {size} x {size} pixels; use one of {[*self.sizes]}")

    @abstractmethod
    def load(self, size: int = 32) -> Patches:
        """Return patches of `size` x `size` pixels. Raises UsageError if a file is missing or damaged."""

    def load_split(self, size: int, split: int) -> Patches:
        """Return patches under one of several splits into training and test parts.

        A data set that is published with a split returns that split.
        """
        return self.load(size)


class CloudDataSet(DataSet):
    """A data set of point clouds."""

    content = "clouds"

    @abstractmethod
    def load(self, points: int = 2000) -> Clouds:
        """Return clouds of `points` points. Raises UsageError if a file is missing or damaged."""

    def load_split(self, points: int, split: int) -> Clouds:
        """Return the clouds under one of several splits into training and test parts.

        A data set that is published with a split returns that split.
        """
        return self.load(points)


class ExemplarDataSet(DataSet):
    """A data set of exemplar classes."""

    content = "exemplars"

    @abstractmethod
    def load(self) -> Exemplars:
        """Return the features. Raises UsageError if a file, or the network that computes them, is missing."""


@dataclass(frozen=True)
class PackagedFile:
    """A file that an installed package ships.

    distribution: name on the package index.
    package: name to import.
    inside: path within the package.
    """

    distribution: str
    package: str
    inside: str
    sha256: str

    def path(self) -> Path:
        """Return its path, without importing the package. Raises UsageError if it is missing."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            name = Path(self.inside).name
            raise UsageError(f"{name} comes with {self.distribution}; {install_hint(self.package)}")
        path = Path(spec.origin).parent / self.inside
        if not path.is_file():
            raise UsageError(f"there is no {path}; {self.remedy}")
        return path

    def verified_path(self) -> Path:
        """Return its path. Raises UsageError if the file is missing or has other content."""
        path = self.path()
        sha256 = cache.sha256(path)
        if sha256 != self.sha256:
            digests = f"SHA-256 {sha256[:12]}..., expected {self.sha256[:12]}..."
            raise UsageError(f"{path} is not the expected file ({digests}); {self.remedy}")
        return path

    @property
    def remedy(self) -> str:
        """Advice for a file that is missing or damaged."""
        return f"reinstall it: pip install --force-reinstall {self.distribution}"
