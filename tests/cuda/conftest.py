"""Tests on a CUDA device. `MBCBENCH_TEST_DEVICE=cpu` tries their bodies where there is none."""

import os

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    """The device under test; skips where there is none."""
    name = os.environ.get("MBCBENCH_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return torch.device(name)
