"""Fashion-MNIST: articles of clothing, in the format and size of MNIST, as classes and as images to complete."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.datasets.base import PatchDataSet, Patches, Split
from mbcbench.datasets.idx import IDXDataSet
from mbcbench.datasets.registry_packages import DebianPackage
from mbcbench.errors import UsageError

PACKAGE = DebianPackage(
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
INSIDE = "usr/share/datasets/fashion-mnist/"
# The gzip headers of the package's files lack name and time. With both, the files equal the published ones byte for
# byte. These are the times, in seconds since 1970.
TRAIN_TIME, TEST_TIME = 1504176606, 1504176627
GZIP_HEADER_BYTES = 10
SIZES = (28, 32)  # pixels: as published, and with an empty border, as wide as the patches of photographs
VALIDATION_EVERY = 12  # of the training images of a class: 500 of 6,000


class FashionMNIST(IDXDataSet):
    """6,000 images of each of ten classes to train on, and 1,000 to test on."""

    name = "fashion-mnist"
    paper = False
    additional = True
    source = "Fashion-MNIST, H. Xiao, K. Rasul, R. Vollgraf"
    licence = "MIT (Zalando SE)"
    folder = "FashionMNIST"
    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    checksums: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }

    def download(self, *, offline: bool) -> None:
        """Get the files from the authors, or else from Debian's package."""
        try:
            super().download(offline=offline)
        except UsageError as error:
            try:
                package = PACKAGE.fetch(offline=offline)
            except UsageError as other:
                raise UsageError(f"{error}; or {other}") from other
            self._unpack()
            package.unlink()

    def _unpack(self) -> None:
        """Write the files of the package as published."""
        self.path().mkdir(parents=True, exist_ok=True)
        for name, content in PACKAGE.read([INSIDE + name for name in self.checksums]):
            path = self.path() / name.removeprefix(INSIDE)
            path.write_bytes(with_gzip_name(content, path.stem, TRAIN_TIME if "train" in name else TEST_TIME))


def with_gzip_name(content: bytes, name: str, seconds: int) -> bytes:
    """Return a gzip file with a name and a time added to its header (RFC 1952)."""
    flag_name, unix = b"\x08", b"\x00\x03"
    header = content[:3] + flag_name + seconds.to_bytes(4, "little") + unix
    return header + name.encode() + b"\0" + content[GZIP_HEADER_BYTES:]


class FashionImages(PatchDataSet):
    """The images of Fashion-MNIST to complete: 55,000 to train on, 5,000 for validation, the official 10,000 to test.

    They are grey: their three channels are equal.
    """

    name = "fashion-images"
    paper = False
    additional = True
    sizes = SIZES
    source = FashionMNIST.source
    licence = FashionMNIST.licence
    # The files are those of fashion-mnist; the split distinguishes this data set.
    checksums: ClassVar[Mapping[str, str]] = {**FashionMNIST.checksums, "split": cache.digest(VALIDATION_EVERY)}

    def __init__(self) -> None:
        self._classes = FashionMNIST()

    def path(self) -> Path:
        return self._classes.path()

    def load(self, size: int = 32) -> Patches:
        """Return the images without those for validation. Raises UsageError for another size."""
        self.check_size(size)
        train, test = self._classes.load()[:2]
        in_training = ~in_validation(train)
        patches = as_patches(train.images[in_training], size)
        return Patches(patches, as_patches(test.images, size), name=self.name, source=self.source)

    def load_validation(self, size: int = 32) -> NDArray[np.uint8]:
        """Return the images for validation, `5000 x 3 x size x size`. Raises UsageError for another size."""
        self.check_size(size)
        train = self._classes.load().train
        return as_patches(train.images[in_validation(train)], size)

    def verify(self) -> str:
        return self._classes.verify()

    def fetch(self, *, offline: bool = False) -> None:
        self._classes.fetch(offline=offline)


def in_validation(split: Split) -> NDArray[np.bool_]:
    """Return True for every twelfth image of each class, in the order of the file."""
    chosen = np.zeros(len(split.labels), dtype=bool)
    for label in np.unique(split.labels):
        chosen[np.flatnonzero(split.labels == label)[VALIDATION_EVERY - 1 :: VALIDATION_EVERY]] = True
    return chosen


def as_patches(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return grey images `N x 28 x 28` as `N x 3 x size x size`, with an empty border; the channels share memory."""
    border = (size - images.shape[1]) // 2
    padded = np.pad(images, ((0, 0), (border, border), (border, border)))
    return np.broadcast_to(padded[:, None], (len(images), 3, size, size))
