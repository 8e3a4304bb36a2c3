"""Files that an encoding is written to."""

import io
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import Tensor

from mbcbench.errors import UsageError
from mbcbench.system import check_writable, write_atomically

SUFFIXES = (".npy", ".safetensors")


def check_output(path: Path) -> None:
    """Raise UsageError if an encoding cannot be written to `path`."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--out {path} ends in {path.suffix!r}; use {' or '.join(SUFFIXES)}")
    check_writable(path)


def write_encoding(encoding: Tensor, path: Path) -> None:
    """Write an encoding as .npy or .safetensors, as the suffix of the file says."""
    if path.suffix == ".safetensors":
        data = safetensors.torch.save({"encoding": encoding.contiguous()})
    else:
        buffer = io.BytesIO()
        np.save(buffer, encoding.numpy(), allow_pickle=False)
        data = buffer.getvalue()
    write_atomically(path, data)
