"""The paper's MNIST: four IDX files, compressed or not, under `MNIST/raw` as torchvision lays them out."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, download
from mbcbench.datasets.base import DataSet, Digits, Split
from mbcbench.errors import UsageError

CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
REMEDY = "mbcbench data fetch mnist"
UNSIGNED_BYTE = 8  # the type that an IDX file declares


def folder() -> Path:
    """Where the files belong."""
    return cache.folder() / "MNIST" / "raw"


def mnist() -> Digits:
    """The 60,000 digits to train on and the 10,000 to test on. Raises UsageError: a file is missing or damaged."""
    return Digits(
        _split("train"), _split("t10k"), source=DATA.source, licence=DATA.licence, sha256=DATA.sha256, name=DATA.name
    )


def _split(part: str) -> Split:
    images, labels = read(_find(f"{part}-images-idx3-ubyte")), read(_find(f"{part}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        shapes = f"images {images.shape}, labels {labels.shape}"
        raise UsageError(f"{folder()}: the {part} files do not belong together ({shapes}); {_again(folder())}")
    return Split(images, labels.astype(np.int64))


def read(path: Path) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file: two zeros, the type, the number of dimensions, each of them, the values.

    Raises UsageError with the name of a damaged file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read ({error}); {_again(path)}") from error
    start = 4 + 4 * content[3] if len(content) > 3 and content[:3] == bytes((0, 0, UNSIGNED_BYTE)) else 0
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">i4")) if 0 < start <= len(content) else ()
    if not shape or len(content) != start + math.prod(shape):
        raise UsageError(f"{path} is damaged: not an IDX file of bytes, or cut off; {_again(path)}")
    values: Any = np.frombuffer(bytearray(content), np.uint8, offset=start)
    return values.reshape(shape)  # type: ignore[no-any-return]


def _find(name: str) -> Path:
    for path in (folder() / name, folder() / f"{name}.gz"):
        if path.is_file():
            return path
    raise UsageError(f"there is no {folder() / name}.gz; get it: {REMEDY}")


def _again(path: Path) -> str:
    return f"delete {path} and get it again: {REMEDY}"


def _verify() -> str:
    """By parsing every file, and by its checksum where it is as published."""
    for name, sha256 in CHECKSUMS.items():
        path = _find(name.removesuffix(".gz"))
        if path.suffix == ".gz" and cache.sha256(path) != sha256:
            raise UsageError(f"{path} is not the published file; {_again(path)}")
    digits = mnist()
    return f"4 files, {len(digits.train.labels)} + {len(digits.test.labels)} images"


def _fetch(offline: bool) -> None:
    for name, sha256 in CHECKSUMS.items():
        if not (folder() / name.removesuffix(".gz")).is_file():
            download.fetch([mirror + name for mirror in MIRRORS], folder() / name, sha256, offline=offline)
    mnist()


DATA = DataSet(
    name="mnist",
    kind="digits",
    paper=True,
    source="MNIST, Y. LeCun, C. Cortes, C. Burges",
    licence="CC BY-SA 3.0",
    checksums=CHECKSUMS,
    load=mnist,
    verify=_verify,
    fetch=_fetch,
    where=folder,
)
