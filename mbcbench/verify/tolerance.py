"""Gap and bound of two encodings that should be equal, to tell errors in the algebra from rounding.

The gap of a set is the largest absolute difference of its two encodings (max-norm). The bound adapts to the problem in
four steps; each is taken only if the gap exceeds half of the bound so far.

1. `4 eps sqrt(n) max|f|` covers the rounding of a well-conditioned sum.
2. The condition of the encoding is measured: input and every parameter are perturbed by about 2 eps, up to eight
   times, and 30 times the spread of the encoding is added (`Subject.compare`).
3. The law is tried again in float32 (`LawRun`). Rounding grows with the machine epsilon, an error in the algebra does
   not; so 30 times the float32 gap, scaled back to float64, is added.
4. The law is tried again in noisy arithmetic (`NoisyArithmetic`), where every operation has a random relative error of
   up to 2 eps; 30 times the change of the gap is added. This follows intermediate results that cancel.

The bound is at most 1e-4 of the scale of the encoding: beyond that, rounding excuses nothing. A gap of less than a
millionth of an epsilon of the scale needs no excuse (`LawRun`). A larger gap at a discontinuity is undecided.

An ill-conditioned set therefore raises no false alarm, and a leak of 1e-6 is not hidden. docs/tolerance.md has the
derivation.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING_FACTOR = 4.0
SPREAD_FACTOR = 30.0  # eight random signs miss the worst direction, and an accumulation rounds more than once per input
PERTURBATION = 2 * torch.finfo(torch.float64).eps  # relative, of input and parameters
COARSE_PERTURBATION = 1e-10  # hides rounding in the encoder's own steps, but shows a condition of up to 1e10
NUM_PERTURBATIONS = 8
MAX_RELATIVE_BOUND = 1e-4  # of the scale of an encoding: a larger bound would excuse errors, not rounding
JITTER = 1e-6  # moves equal elements apart, and is large against any perturbation
NEGLIGIBLE = 1e-6 * torch.finfo(torch.float64).eps  # of the scale of an encoding: a smaller gap is no error
COVERED = 0.5  # a gap above this fraction of the bound calls for the next, more expensive step
EPS_RATIO = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps


class Comparison(NamedTuple):
    """Result of one evaluation of a law: for each set of the batch, the gap and the bound that it must not exceed.

    Attributes
    ----------
    gap
        Differences, `B`.
    bound
        Bounds, `B`.
    note
        Explanation for the reader of a counterexample.
    scale
        Magnitudes of the encodings, `B`; None if no encodings were compared.
    """

    gap: Tensor
    bound: Tensor
    note: str = ""
    scale: Tensor | None = None

    @property
    def ratio(self) -> Tensor:
        """Ratio of gap and bound, `B`, with 0/0 = 0; above 1, the law is broken."""
        return torch.where(self.gap > 0, self.gap / self.bound, torch.zeros_like(self.gap))

    @property
    def is_broken(self) -> bool:
        """True if the gap of a set exceeds its bound."""
        return bool((self.gap > self.bound).any())


def gaps(a: Tensor, b: Tensor) -> Tensor:
    """Return the max-norm of the difference of each pair of encodings (`B x ...` -> `B`).

    Equal infinities and NaN in the same place count as equal; a NaN or infinity on one side only is an infinite gap.
    """
    a, b = a.flatten(1), b.flatten(1)
    same = (a == b) | (a.isnan() & b.isnan())
    difference = torch.where(same, torch.zeros_like(a), (a - b).abs())
    return difference.nan_to_num(nan=math.inf, posinf=math.inf).amax(1)


def max_norms(encoding: Tensor) -> Tensor:
    """Return the max-norm of each encoding (`B x ...` -> `B`), ignoring entries that are not finite."""
    return encoding.flatten(1).abs().nan_to_num(nan=0.0, posinf=0.0).amax(1)


def rounding_bound(encoding: Tensor, n: int) -> Tensor:
    """Return the bound for a well-conditioned encoding of `n` elements, `4 eps sqrt(n) max|f|` (`B`).

    Summing n terms in another order changes the sum by a random walk of n roundings, each of relative size eps.
    """
    return ROUNDING_FACTOR * torch.finfo(encoding.dtype).eps * math.sqrt(max(n, 1)) * max_norms(encoding)


def perturb(tensor: Tensor, generator: torch.Generator, relative: float = PERTURBATION) -> Tensor:
    """Return `tensor` with each entry changed by a `relative` amount, up or down at random."""
    if not tensor.is_floating_point():
        return tensor
    signs = torch.randint(0, 2, tensor.shape, generator=generator, dtype=torch.int8).to(tensor.dtype) * 2 - 1
    return tensor * (1 + relative * signs)


def rescale(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return `tensor` with each entry scaled by 0.9 to 1.1, so that other digits of the same magnitude are rounded."""
    if not tensor.is_floating_point():
        return tensor
    return tensor * (0.9 + 0.2 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))


def jitter(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return `tensor` with each entry changed by at most 1e-6 of its size, so that no two elements are equal.

    An entry smaller than 1, the size of ordinary data, is changed by at most 1e-6: elements of zeros move apart too.
    """
    change = 2 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) - 1
    return tensor + JITTER * change * tensor.abs().clamp(min=1)
