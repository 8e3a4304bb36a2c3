"""Algebra or rounding? The verdict on two encodings that ought to be equal.

The gap of a set is the largest absolute difference of its two encodings (max-norm). The bound follows the problem, in
three steps, each taken only where the last does not cover the gap twice over. `4 eps sqrt(n) max|f|` covers the
rounding of a well-conditioned sum. Then the condition of the encoding is measured, by moving the input and every
parameter by about 2 eps, eight times, and 30 times the spread of the encoding is added. At last the law is tried again
in float32 (`search`): rounding grows with the epsilon and an error in the algebra does not, so 30 times that
gap, scaled back, is added. An ill-conditioned set raises no false alarm, and a leak of 1e-6 cannot hide.
docs/tolerance.md derives it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 4.0
SPREAD = 30.0
PERTURBATION = 2.0  # in units of eps
MOVES = 8
COVERED = 0.5  # of the bound: a gap that is larger asks for the next, dearer part of it
PRECISION = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps


class Evidence(NamedTuple):
    """What one evaluation of a law showed: per set of the batch the gap and the bound it may not exceed."""

    gap: Tensor
    bound: Tensor
    note: str = ""

    @property
    def ratio(self) -> Tensor:
        """gap / bound, with 0/0 = 0; above 1 the law is broken."""
        return torch.where(self.gap > 0, self.gap / self.bound, torch.zeros_like(self.gap))


def gaps(a: Tensor, b: Tensor) -> Tensor:
    """The max-norm difference of each pair of encodings (`B x ...` -> `B`).

    Equal infinities and NaN in the same place count as equal; a NaN or infinity on one side only is an infinite gap.
    """
    a, b = a.flatten(1), b.flatten(1)
    same = (a == b) | (a.isnan() & b.isnan())
    difference = torch.where(same, torch.zeros_like(a), (a - b).abs())
    return difference.nan_to_num(nan=math.inf, posinf=math.inf).amax(1)


def sizes(encoding: Tensor) -> Tensor:
    """The max-norm of each encoding (`B x ...` -> `B`), what is not finite left out."""
    return encoding.flatten(1).abs().nan_to_num(nan=0.0, posinf=0.0).amax(1)


def rounding_bound(encoding: Tensor, n: int) -> Tensor:
    """The bound of a well-conditioned encoding of `n` elements."""
    return ROUNDING * torch.finfo(encoding.dtype).eps * math.sqrt(max(n, 1)) * sizes(encoding)


def perturbed(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """`tensor` with each entry moved by 2 eps of itself, up or down at random."""
    if not tensor.is_floating_point():
        return tensor
    eps = PERTURBATION * torch.finfo(tensor.dtype).eps
    signs = torch.randint(0, 2, tensor.shape, generator=generator, dtype=torch.int8).to(tensor.dtype) * 2 - 1
    return tensor * (1 + eps * signs)


def nearby(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """`tensor` with each entry moved by up to a tenth of itself: other digits to be rounded, of the same size."""
    if not tensor.is_floating_point():
        return tensor
    return tensor * (0.9 + 0.2 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
