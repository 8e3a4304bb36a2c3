"""Images of ten classes in four IDX files, compressed or not, in a folder as torchvision expects them."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, download
from mbcbench.datasets.base import DigitDataSet, Digits, Split
from mbcbench.errors import UsageError

MAX_BYTES = 2**28  # of the values of a file; those of MNIST have 45 MiB
UNSIGNED_BYTE = 8  # the only element type that these files use


class IDXDataSet(DigitDataSet):
    """Four IDX files; `checksums` are those of the compressed ones.

    folder: name of its folder in the data folder.
    mirrors: base URLs of the files.
    """

    folder: ClassVar[str]
    mirrors: ClassVar[Sequence[str]]

    def path(self) -> Path:
        return cache.data_folder() / self.folder / "raw"

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
                raise UsageError(f"{path} is not the published file; {self._fetch_again(path)}")
        digits = self.load()
        return f"4 files, {len(digits.train.labels)} + {len(digits.test.labels)} images"

    def fetch(self, *, offline: bool = False) -> None:
        if self._missing():
            self.download(offline=offline)
        self.load()

    def download(self, *, offline: bool) -> None:
        """Get the files that are missing. Raises UsageError with the remedy if that fails."""
        for name in self._missing():
            urls = [mirror + name for mirror in self.mirrors]
            download.fetch_file(urls, self.path() / name, self.checksums[name], offline=offline)

    def _missing(self) -> list[str]:
        """Return the files that exist neither uncompressed nor compressed as published."""
        return [
            name
            for name, sha256 in self.checksums.items()
            if not (self.path() / name.removesuffix(".gz")).is_file()
            and not ((self.path() / name).is_file() and cache.sha256(self.path() / name) == sha256)
        ]

    def _split(self, part: str) -> Split:
        images = self._read(self._find(f"{part}-images-idx3-ubyte"))
        labels = self._read(self._find(f"{part}-labels-idx1-ubyte"))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            shapes = f"images {images.shape}, labels {labels.shape}"
            folder = self.path()
            again = self._fetch_again(folder)
            raise UsageError(f"{folder}: the {part} files do not belong together ({shapes}); {again}")
        return Split(images, labels.astype(np.int64))

    def _find(self, name: str) -> Path:
        for path in (self.path() / name, self.path() / f"{name}.gz"):
            if path.is_file():
                return path
        raise UsageError(f"there is no {self.path() / name}.gz; get it: {self._remedy}")

    def _read(self, path: Path) -> NDArray[np.uint8]:
        try:
            return read_idx(path)
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{path} cannot be read ({error}); {self._fetch_again(path)}") from error
        except ValueError as error:
            raise UsageError(f"{path} is damaged: {error}; {self._fetch_again(path)}") from error

    @property
    def _remedy(self) -> str:
        return f"mbcbench data fetch {self.name}"

    def _fetch_again(self, path: Path) -> str:
        return f"delete {path} and get it again: {self._remedy}"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of bytes in an IDX file: two zeros, the type, the number of dimensions, their sizes, the values.

    Raises ValueError if it is damaged, and what gzip raises if it cannot be decompressed.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(4)
        sizes = file.read(4 * header[3]) if len(header) == 4 and header[:3] == bytes((0, 0, UNSIGNED_BYTE)) else b""
        shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4")) if len(sizes) % 4 == 0 else ()
        if not shape or len(shape) != header[3] or math.prod(shape) > MAX_BYTES:
            raise ValueError(f"not an IDX file of bytes, or larger than {MAX_BYTES // 2**20} MiB")
        content = bytearray(file.read(math.prod(shape) + 1))
    if len(content) != math.prod(shape):
        raise ValueError("not as long as its header says")
    values: NDArray[np.uint8] = np.frombuffer(content, np.uint8)
    return values.reshape(shape)
