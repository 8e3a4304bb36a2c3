"""Evidence that is not the gap between two encodings."""

import torch

from mbcbench.verify.example import Drawn
from mbcbench.verify.tolerance import Evidence


def nothing(drawn: Drawn) -> Evidence:
    """No gap at all, for every set of the batch."""
    zero = torch.zeros(len(drawn.x), dtype=torch.float64)
    return Evidence(zero, zero)


def violated(drawn: Drawn, note: str) -> Evidence:
    """Broken, whatever the numbers: an infinite gap, with the reason."""
    zero = torch.zeros(len(drawn.x), dtype=torch.float64)
    return Evidence(zero + torch.inf, zero, note)


def worse(a: Evidence, b: Evidence) -> Evidence:
    """Per set, the evidence that weighs more."""
    take_b = b.ratio > a.ratio
    note = b.note if bool(take_b.any()) and b.note else a.note
    return Evidence(torch.where(take_b, b.gap, a.gap), torch.where(take_b, b.bound, a.bound), note)
