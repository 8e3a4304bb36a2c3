"""The Triton kernels on a device: as exact as their products allow, deterministic, and chosen by themselves."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mbcbench.encoders.nn import fused_attention
from mbcbench.encoders.nn.slot_weights import SlotSigmoid, SlotSoftmax

pytest.importorskip("triton")

from mbcbench.encoders.nn import triton_attention
from tests.encoders.triton_checks import assert_equals_the_formula, draw
from tests.encoders.triton_interpreter import accept_scalar_bounds

pytestmark = pytest.mark.cuda
DRY = os.environ.get("MBCBENCH_TEST_DEVICE") == "cpu"
N = 40 if DRY else 20_000
SHAPES = [(1, 3), (16, 128)] if DRY else [(1, 3), (4, 64), (17, 20), (16, 128), (16, 256), (128, 128)]
PRECISIONS = {"highest": 1e-5, "high": 1e-5, "medium": 1e-2}  # and the largest difference by the largest value

if DRY:
    accept_scalar_bounds()


@pytest.fixture(params=PRECISIONS)
def tolerance(request: pytest.FixtureRequest) -> Iterator[float]:
    """Largest difference that is allowed, with products of each precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield PRECISIONS[request.param]
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(("slots", "width"), SHAPES)
def test_sum_and_gradients_are_those_of_the_formula(
    slots: int, width: int, tolerance: float, device: torch.device
) -> None:
    x, P = draw(2, N, width, device=device), draw(2, slots, width + 1, device=device) / width**0.5
    mask = torch.arange(N, device=device).expand(2, -1) % 3 > 0
    assert_equals_the_formula(x, P, SlotSoftmax() if slots % 2 else SlotSigmoid(), mask, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_elements_without_bias_and_mask_of_any_type_are_summed(
    dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    x, P = draw(2, N, 64, device=device).to(dtype), draw(2, 16, 64, device=device) / 8
    assert_equals_the_formula(x, P, SlotSigmoid(), None, tolerance)


def test_the_same_sum_is_the_same_bit_by_bit(device: torch.device) -> None:
    x, P = draw(1, N, 16, device=device), draw(1, 16, 16, device=device)
    first = triton_attention.weighted_sum(x, P, SlotSigmoid(), None)
    assert all(torch.equal(triton_attention.weighted_sum(x, P, SlotSigmoid(), None), first) for _ in range(3))


@pytest.mark.skipif(DRY, reason="nothing is chosen on the CPU")
def test_the_kernels_are_chosen_on_a_cuda_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    launches: list[str] = []
    launch = triton_attention._launch

    def note(kernel: str, *args: Any, **flags: Any) -> None:
        launches.append(kernel)
        launch(kernel, *args, **flags)

    monkeypatch.setattr(triton_attention, "_launch", note)
    x, P = draw(1, N, 64, device=device).requires_grad_(), draw(1, 16, 64, device=device)
    fused_attention.fused_weighted_sum(x, P, SlotSigmoid()).sum().backward()
    assert launches == ["forward", "backward"]
