"""Encoders named after their defects, and a correct one. Nothing here runs when the module is imported."""

import ctypes
import os
import shutil
import sys
import time

import torch
from torch import Tensor, nn


class Honest(nn.Module):
    """A sum of projected elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(x).sum(dim=1)
        return out


FIXED = Honest(7)
NUMBER = 3


class ForgetsTheBatch(Honest):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum(dim=0, keepdim=True)


class Raises(Honest):
    """Raises an error about devices: others lead to trials of all layouts, for which torch imports for a second."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no forward today\nand no CUDA tomorrow")


class Hangs(Honest):
    def forward(self, x: Tensor) -> Tensor:
        while True:
            time.sleep(0.1)


class HangsInNativeCode(Honest):
    """Holds the lock of the interpreter, so that no Python signal handler runs."""

    def forward(self, x: Tensor) -> Tensor:
        ctypes.PyDLL(None).sleep(1000)
        return x


class DeletesItsFolder(Honest):
    """Deletes the working directory, in which all cells run."""

    def forward(self, x: Tensor) -> Tensor:
        shutil.rmtree(os.getcwd())
        return super().forward(x)


class Forks(Honest):
    """Goes on in two processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "forked"):
            self.forked = os.fork()
        return super().forward(x)


class ClosesFiles(Honest):
    """Closes all files of its process, also those that its results are sent through."""

    def forward(self, x: Tensor) -> Tensor:
        os.closerange(3, 256)
        return super().forward(x)


class Exits(Honest):
    def forward(self, x: Tensor) -> Tensor:
        sys.exit(5)


class ExitsAtOnce(Honest):
    def forward(self, x: Tensor) -> Tensor:
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os._exit(7)


class Segfaults(Honest):
    def forward(self, x: Tensor) -> Tensor:
        ctypes.string_at(0)
        return x


class EatsMemory(Honest):
    def forward(self, x: Tensor) -> Tensor:
        hoard = []
        while True:
            hoard.append(bytearray(2**20))


class EatsTensors(Honest):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(2**40)


class Talks(Honest):
    """Prints, from Python and from native code."""

    def forward(self, x: Tensor) -> Tensor:
        print("garbage from Python", flush=True)
        os.write(1, b"garbage from a descriptor\n")
        ctypes.CDLL(None).puts(b"garbage from native code")
        return super().forward(x)
