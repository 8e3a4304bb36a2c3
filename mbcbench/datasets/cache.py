"""Arrays made once and kept in one folder: each in a file of its own, mapped into memory when used.

The folder is `$MBCBENCH_DATA`, or `mbcbench` in the user's cache directory. What is made lies in `kept` below it, the
paper's data sets beside that.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock
from numpy.typing import NDArray

from mbcbench.errors import UsageError

Arrays = Mapping[str, NDArray[Any]]
SUMS = "SHA256SUMS"  # as the program sha256sum writes and checks them
UNREADABLE = (OSError, ValueError, EOFError)  # absent, cut off or damaged


def folder() -> Path:
    """Where data sets are kept; it need not exist yet."""
    chosen = os.environ.get("MBCBENCH_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("mbcbench")


def where(key: str) -> Path:
    """The folder that keeps the arrays called `key`."""
    return folder() / "kept" / key


def keep(key: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays kept as `key`; when there are none that can be read they are made, by one process at a time.

    The key is the data set's name, `-`, and what tells these arrays from its others. They are mapped copy-on-write:
    what is not touched costs no memory. Raises UsageError when nothing can be kept.
    """
    path = where(key)
    try:
        return _load(path)
    except UNREADABLE:
        _make(path, make)
        return _load(path)


def under(name: str) -> list[Path]:
    """The folders that keep arrays of the data set called `name`."""
    return sorted(where(name).parent.glob(f"{name}-*"))


def verify(name: str) -> str:
    """Compare every file kept of a data set with its digest of when it was made; how many they are, in words.

    Raises UsageError with the name of a file that is missing or damaged.
    """
    return f"{sum(_verify(path) for path in under(name))} files kept"


def _verify(path: Path) -> int:
    remedy = f"delete {path}, and it is made again"
    if not (path / SUMS).is_file():
        raise UsageError(f"{path / SUMS} is missing; {remedy}")
    sums = [line.split("  ", 1) for line in (path / SUMS).read_text().splitlines()]
    for expected, name in sums:
        if not (path / name).is_file() or sha256(path / name) != expected:
            raise UsageError(f"{path / name} is missing or damaged; {remedy}")
    return len(sums)


def sha256(path: Path) -> str:
    """The digest of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """A digest of what something is made of: values, or the files that make it."""
    told = [sha256(part) if isinstance(part, Path) else repr(part) for part in parts]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _load(path: Path) -> Arrays:
    names = [line.split("  ", 1)[1] for line in (path / SUMS).read_text().splitlines()]
    return {name.removesuffix(".npy"): np.load(path / name, mmap_mode="c", allow_pickle=False) for name in names}


def _make(path: Path, make: Callable[[], Arrays]) -> None:
    """Make and keep the arrays, unless another process does so meanwhile; whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock"):
            if _readable(path):
                return
            arrays = make()
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", ignore_cleanup_errors=True) as aside:
                _save(Path(aside) / path.name, arrays)
                shutil.rmtree(path, ignore_errors=True)
                os.replace(Path(aside) / path.name, path)
    except OSError as error:
        raise UsageError(f"cannot keep data in {path.parent} ({error}); set MBCBENCH_DATA") from error


def _readable(path: Path) -> bool:
    try:
        return bool(_load(path))
    except UNREADABLE:
        return False


def _save(path: Path, arrays: Arrays) -> None:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array, allow_pickle=False)
    sums = [f"{sha256(path / f'{name}.npy')}  {name}.npy\n" for name in arrays]
    (path / SUMS).write_text("".join(sums))
