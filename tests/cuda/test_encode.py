"""A file, and many sets, are encoded on a device as on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mbcbench.api.encode import encode
from mbcbench.protocol.build import build
from mbcbench.streaming import encode_groups
from mbcbench.types import Device

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("encoder", ["sse-random", "sse-random-max", "deepsets-mean"])
def test_the_encoding_of_a_file_is_that_of_the_cpu(encoder: str, device: torch.device, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((30_011, 16), dtype=np.float32))
    name: Device = "cuda" if device.type == "cuda" else "cpu"
    expected = encode(tmp_path / "x.npy", encoder, threads=2)
    actual = encode(tmp_path / "x.npy", encoder, threads=2, chunk=4096, device=name)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("encoder", ["sse-random", "sse-random-max", "deepsets-mean"])
def test_many_sets_are_encoded_as_on_the_cpu(encoder: str, device: torch.device) -> None:
    rng = np.random.default_rng(0)
    batches = [(rng.integers(0, 50, 1000), rng.standard_normal((1000, 16), dtype=np.float32)) for _ in range(3)]
    module = build(encoder, dim_in=16).eval()
    expected = np.stack([*encode_groups(module, batches)["encoding"]])
    actual = np.stack([*encode_groups(module.to(device), batches)["encoding"]])
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
