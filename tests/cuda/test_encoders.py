"""Every encoder on a device computes what it computes on the CPU."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.protocol.encoder import encode_stream
from tests.encoders.test_all import BUILT_IN, STREAMING

pytestmark = pytest.mark.cuda
N, WIDTH = 200, 8


def build(name: str) -> Any:
    return build_from_spec(get_spec(name), dim_in=WIDTH, seed=0).double().eval()


def draw() -> Tensor:
    return torch.randn(2, N, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def outcome(module: Any, x: Tensor) -> list[Tensor]:
    """Return the encoding and its gradients for the elements and all parameters, in float64 on the CPU."""
    leaf = x.clone().requires_grad_()
    out = module(leaf)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=out.device).view_as(out)
    leaves = [leaf, *(p for p in module.parameters() if p.requires_grad)]
    gradients = torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)
    return [t.detach().double().cpu() for t in (out, *gradients) if t is not None]


def error(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, by the largest value of each tensor; one that is zero counts little."""
    floor = 1e-3 * max(float(w.abs().max()) for w in expected)
    return max(
        float((a - b).abs().max() / max(float(b.abs().max()), floor)) for a, b in zip(actual, expected, strict=True)
    )


@pytest.mark.parametrize("name", BUILT_IN)
def test_float64_is_that_of_the_cpu(name: str, device: torch.device) -> None:
    expected = outcome(build(name), draw())
    assert error(outcome(build(name).to(device), draw().to(device)), expected) <= 1e-10


@pytest.mark.parametrize("name", BUILT_IN)
def test_float32_is_as_exact_as_on_the_cpu(name: str, device: torch.device) -> None:
    expected = outcome(build(name), draw())
    on_cpu = error(outcome(build(name).float(), draw().float()), expected)
    on_device = error(outcome(build(name).float().to(device), draw().float().to(device)), expected)
    assert on_device <= 4 * on_cpu + 1e-5


@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_on_the_device_is_that_on_the_cpu(name: str, device: torch.device) -> None:
    module, chunks = build(name), torch.split(draw(), [1, 120, 79], 1)
    with torch.no_grad():
        expected = encode_stream(module, chunks)
        actual = encode_stream(module.to(device), [chunk.to(device) for chunk in chunks])
    assert actual.device.type == device.type
    assert error([actual.cpu()], [expected]) <= 1e-10


@pytest.mark.parametrize("name", BUILT_IN)
def test_autocast_to_bfloat16_is_near(name: str, device: torch.device) -> None:
    module, x = build(name).float().to(device), draw().float().to(device)
    with torch.no_grad():
        expected = module(x)
        with torch.autocast(device.type, torch.bfloat16):
            actual = module(x)
    assert actual.isfinite().all()
    assert error([actual.float().cpu()], [expected.cpu()]) <= 0.2
