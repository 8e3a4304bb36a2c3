"""Comparison of the Triton kernels with the formula: by the interpreter on the CPU, or on a device."""

from typing import Any

import torch
from torch import Tensor

from mbcbench.encoders.nn import fused_attention, triton_attention

FLOAT32 = 3e-6  # largest difference by the largest value: rounding in float32, a few times
HALF = {torch.float32: 0.0, torch.float16: 2**-10, torch.bfloat16: 2**-7}  # of what is stored; the interpreter cuts off


def draw(*shape: int, seed: int = 0, device: str | torch.device = "cpu") -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def difference(a: Tensor, b: Tensor) -> float:
    """Return the largest difference by the largest value of `b`."""
    return float((a.detach().double() - b.detach()).abs().max() / b.detach().abs().max().clamp(min=1e-6))


def assert_equals_the_formula(x: Tensor, P: Tensor, rule: Any, mask: Tensor | None, tolerance: float = FLOAT32) -> None:
    """Compare the sum and both gradients with autograd's of the formula in float64."""
    X, Q = x.double().requires_grad_(), P.double().requires_grad_()
    U = fused_attention._weighted_sum_at_once(X, Q, rule, mask)
    dU = draw(*U.shape, seed=1, device=x.device)
    dX, dQ = torch.autograd.grad(U, [X, Q], dU.double())
    assert difference(triton_attention.weighted_sum(x, P, rule, mask), U) <= tolerance
    if not triton_attention.supports("backward", x, P, rule):
        return
    dx, dP = triton_attention.weighted_sum_backward(x, P, rule, mask, dU, needs_dx=True)
    assert dx is not None
    assert dx.dtype is x.dtype
    assert difference(dx, dX) <= tolerance + HALF[x.dtype]
    assert difference(dP, dQ) <= tolerance
    assert triton_attention.weighted_sum_backward(x, P, rule, mask, dU, needs_dx=False)[0] is None
