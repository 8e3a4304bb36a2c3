"""A folder with a set and encoders, and the command that encodes one with the other."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from tests.streaming.files import X

ENCODERS = """
import os, signal
from pathlib import Path
import torch
from torch import nn

class Sum(nn.Module):
    "The sum and a view of the last element. It kills itself in the fourth chunk if there is a file named `kill`."
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 2, bias=False)
    def init_state(self, batch_size):
        return {"sum": torch.zeros(batch_size, 2), "last": None, "chunks": 0}
    def update(self, state, x):
        if Path("kill").exists() and state["chunks"] == 3:
            Path("kill").unlink()
            os.kill(os.getpid(), int(signal.SIGKILL if KILL else signal.SIGINT))
        return {"sum": state["sum"] + self.f(x).sum(1), "last": x[:, -1], "chunks": state["chunks"] + 1}
    def readout(self, state):
        return torch.cat([state["sum"], state["last"]], 1)
    def forward(self, x):
        return torch.cat([self.f(x).sum(1), x[:, -1]], 1)

KILL = True
class Plain(nn.Module):
    "A module that does not stream."
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 2)
    def forward(self, x):
        return self.f(x).mean(1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ENCODERS)
    np.save(tmp_path / "x.npy", X)
    return tmp_path


@pytest.fixture
def encode(folder: Path, program: Command) -> Command:
    """Return the command on a file and an encoder, in one thread."""
    return lambda file, encoder, *more: program("encode", file, "--encoder", encoder, "--threads", "1", *more)
