"""A cache of arrays on disk: computed once, each in a file of its own, and mapped into memory when used.

The data folder is `$MBCBENCH_DATA`, or `mbcbench` in the user's cache directory. Cached arrays are in its subfolder
`kept`; the paper's data sets are next to that.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets.progress import progress
from mbcbench.errors import UsageError, require

Arrays = Mapping[str, NDArray[Any]]
SUMS = "SHA256SUMS"  # in the format of the program sha256sum
# Exceptions for a missing, truncated or damaged file; numpy parses the header of an array as Python.
UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TokenError)


def data_folder() -> Path:
    """Return the folder of all data sets; it need not exist."""
    chosen = os.environ.get("MBCBENCH_DATA")
    if chosen:
        return Path(chosen).expanduser()
    platformdirs = require("platformdirs", "the folder of data sets is found by platformdirs")
    return Path(platformdirs.user_cache_path("mbcbench"))


def array_folder(key: str) -> Path:
    """Return the folder of the arrays with this key."""
    return data_folder() / "kept" / key


def parts_folder(key: str) -> Path:
    """Return the folder of the finished parts of arrays that are not yet complete."""
    return data_folder() / "kept" / f".{key}.parts"


def cached_arrays(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays with this key; if they are missing or damaged, `make` them, in one process at a time.

    The key is the name of the data set, `-`, and a part that is unique among its arrays. The arrays are mapped
    copy-on-write: memory is used only for what is read. Raises UsageError if the cache cannot be written.
    """
    folder = array_folder(key)
    try:
        return _load(folder)
    except UNREADABLE:
        _make(key, make)
        return _load(folder)


def cached_folders(name: str) -> list[Path]:
    """Return the folders with cached arrays of a data set."""
    return sorted(array_folder(name).parent.glob(f"{name}-*"))


def verify_arrays(name: str) -> str:
    """Compare all cached files of a data set with the stored digests; return their number in words.

    Raises UsageError with the name of a file that is missing or damaged.
    """
    return f"{sum(_verify(folder) for folder in cached_folders(name))} cached files"


def _verify(folder: Path) -> int:
    remedy = f"delete {folder}, and it is made again"
    if not (folder / SUMS).is_file():
        raise UsageError(f"{folder / SUMS} is missing; {remedy}")
    try:
        sums = _read_sums(folder)
    except UNREADABLE as error:
        raise UsageError(f"{folder / SUMS} is damaged; {remedy}") from error
    for name, expected in sums.items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise UsageError(f"{folder / name} is missing or damaged; {remedy}")
    return len(sums)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """Return a digest of values, and of the content of files given as paths."""
    digests = [sha256(part) if isinstance(part, Path) else repr(part) for part in parts]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _read_sums(folder: Path) -> dict[str, str]:
    """Return the digest of each file of a folder. Raises ValueError if the list is damaged, or names other files."""
    lines = [line.split("  ", 1) for line in (folder / SUMS).read_text().splitlines()]
    sums = {name: sha256 for sha256, name in lines}
    if not all(Path(name).name == name for name in sums):
        raise ValueError(f"{folder / SUMS} names files of other folders")
    return sums


def _load(folder: Path) -> Arrays:
    files = [folder / name for name in _read_sums(folder)]  # np.load would open archives too
    return {file.name.removesuffix(".npy"): np.lib.format.open_memmap(file, mode="c") for file in files}


def _make(key: str, make: Callable[[], Arrays]) -> None:
    """Make and save the arrays, all or none, unless another process does so at the same time."""
    folder = array_folder(key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(key):
            if _is_readable(folder):
                return
            arrays = make()
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".", ignore_cleanup_errors=True) as temporary:
                _save(Path(temporary) / folder.name, arrays)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(Path(temporary) / folder.name, folder)
            shutil.rmtree(parts_folder(key), ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder.parent} ({error}); set MBCBENCH_DATA to another folder") from error


@contextlib.contextmanager
def _lock(key: str) -> Iterator[None]:
    """Hold the lock of the arrays with this key; show that this process waits if another one holds it."""
    filelock = require("filelock", "data sets are written with filelock")
    lock = filelock.FileLock(array_folder(key).with_name(f".{key}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        with progress(f"another process makes {key}; waiting for it"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_readable(folder: Path) -> bool:
    try:
        return bool(_load(folder))
    except UNREADABLE:
        return False


def _save(folder: Path, arrays: Arrays) -> None:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    sums = [f"{sha256(folder / f'{name}.npy')}  {name}.npy\n" for name in arrays]
    (folder / SUMS).write_text("".join(sums))
