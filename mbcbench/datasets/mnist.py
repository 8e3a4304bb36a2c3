"""The paper's MNIST: four IDX files, compressed or not, in `MNIST/raw` as torchvision expects them."""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, download
from mbcbench.datasets.base import DigitDataSet, Digits, Split
from mbcbench.errors import UsageError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
REMEDY = "mbcbench data fetch mnist"
UNSIGNED_BYTE = 8  # the only element type that MNIST's IDX files use


class MNIST(DigitDataSet):
    """60,000 digits to train on and 10,000 to test on."""

    name = "mnist"
    paper = True
    source = "MNIST, Y. LeCun, C. Cortes, C. Burges"
    licence = "CC BY-SA 3.0"
    checksums: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }

    def path(self) -> Path:
        return cache.data_folder() / "MNIST" / "raw"

    def load(self) -> Digits:
        return Digits(
            self._split("train"),
            self._split("t10k"),
            source=self.source,
            licence=self.licence,
            sha256=self.sha256,
            name=self.name,
        )

    def verify(self) -> str:
        """Parse every file, and compare it with its checksum if it is compressed as published."""
        for name, sha256 in self.checksums.items():
            path = self._find(name.removesuffix(".gz"))
            if path.suffix == ".gz" and cache.sha256(path) != sha256:
                raise UsageError(f"{path} is not the published file; {_fetch_again(path)}")
        digits = self.load()
        return f"4 files, {len(digits.train.labels)} + {len(digits.test.labels)} images"

    def fetch(self, *, offline: bool = False) -> None:
        for name, sha256 in self.checksums.items():
            if not (self.path() / name.removesuffix(".gz")).is_file():
                urls = [mirror + name for mirror in MIRRORS]
                download.fetch_file(urls, self.path() / name, sha256, offline=offline)
        self.load()

    def _split(self, part: str) -> Split:
        images = read_idx(self._find(f"{part}-images-idx3-ubyte"))
        labels = read_idx(self._find(f"{part}-labels-idx1-ubyte"))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            shapes = f"images {images.shape}, labels {labels.shape}"
            folder = self.path()
            raise UsageError(f"{folder}: the {part} files do not belong together ({shapes}); {_fetch_again(folder)}")
        return Split(images, labels.astype(np.int64))

    def _find(self, name: str) -> Path:
        for path in (self.path() / name, self.path() / f"{name}.gz"):
            if path.is_file():
                return path
        raise UsageError(f"there is no {self.path() / name}.gz; get it: {REMEDY}")


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of bytes in an IDX file: two zeros, the type, the number of dimensions, their sizes, the values.

    Raises UsageError with the name of a damaged file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read ({error}); {_fetch_again(path)}") from error
    start = 4 + 4 * content[3] if len(content) > 3 and content[:3] == bytes((0, 0, UNSIGNED_BYTE)) else 0
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">i4")) if 0 < start <= len(content) else ()
    if not shape or len(content) != start + math.prod(shape):
        raise UsageError(f"{path} is damaged: not an IDX file of bytes, or cut off; {_fetch_again(path)}")
    values: NDArray[np.uint8] = np.frombuffer(bytearray(content), np.uint8, offset=start)
    return values.reshape(shape)


def _fetch_again(path: Path) -> str:
    return f"delete {path} and get it again: {REMEDY}"
