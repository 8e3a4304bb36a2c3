"""Isolate a check from the process: one thread, and random generators in a known state."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run torch on one thread with the global generators seeded, and restore all of them afterwards.

    The tensors of the laws are small: handing them between threads costs more than the work, and many times more when
    several processes share the cores. The seeds matter for an encoder that draws from a global generator: its outcome
    must not depend on what was drawn before.
    """
    threads, python_state, numpy_state = torch.get_num_threads(), random.getstate(), np.random.get_state()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
