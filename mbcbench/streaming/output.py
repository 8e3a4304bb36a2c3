"""Files that an encoding is written to."""

import io
import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import Tensor

from mbcbench.errors import UsageError, one_line
from mbcbench.system import write_atomically

SUFFIXES = (".npy", ".safetensors")


def check_output(path: Path) -> None:
    """Raise UsageError if an encoding cannot be written to `path`."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--out {path} ends in {path.suffix!r}; use {' or '.join(SUFFIXES)}")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Raise UsageError if a file cannot be written to `path`: found out now rather than after hours of streaming."""
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {one_line(error)}; choose another folder") from error


def write_encoding(encoding: Tensor, path: Path) -> None:
    """Write an encoding as .npy or .safetensors, as the suffix of the file says."""
    if path.suffix == ".safetensors":
        data = safetensors.torch.save({"encoding": encoding.contiguous()})
    else:
        buffer = io.BytesIO()
        np.save(buffer, encoding.numpy(), allow_pickle=False)
        data = buffer.getvalue()
    write_atomically(path, data)
