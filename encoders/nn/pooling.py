"""Pooling over elements: the words that every aggregation g in {sum, mean, max, min} is made of.

Each g is exact under mini-batches with the state (value, count): the sum for `sum` and `mean`, the elementwise
extremum for `max` and `min`, and the number of elements. A mask (`B x n`) is True where an element is present.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mbcbench.protocol.encoder import Aggregation

_IDENTITY: dict[Aggregation, float] = {"sum": 0.0, "mean": 0.0, "max": -torch.inf, "min": torch.inf}


def check_choice(name: str, value: str, known: Sequence[str]) -> str:
    """`value`, which must be one of `known`. Raises ValueError otherwise."""
    if value not in known:
        raise ValueError(f"{name}={value!r} is none of {', '.join(known)}")
    return value


def zero_absent(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` (`B x n x d`) with zeros in place of absent elements; chosen, not multiplied, so that a NaN is hidden too."""
    return x if mask is None else torch.where(mask.unsqueeze(-1), x, torch.zeros_like(x))


def count_present(x: Tensor, mask: Tensor | None) -> Tensor:
    """The number of elements present in each set, `B`."""
    if mask is None:
        return torch.full((x.shape[0],), x.shape[1], dtype=torch.int64, device=x.device)
    return mask.sum(1)


def identity(g: Aggregation) -> float:
    """What `g` gives for no elements: the identity of `combine`."""
    return _IDENTITY[g]


def pool(g: Aggregation, features: Tensor, mask: Tensor | None) -> Tensor:
    """The sum or extremum of `features` (`B x n x d`, n > 0) over the elements present, `B x d`."""
    if g in ("sum", "mean"):
        return zero_absent(features, mask).sum(1)
    if mask is not None:
        features = features.masked_fill(~mask.unsqueeze(-1), identity(g))
    return features.max(1).values if g == "max" else features.min(1).values


def combine(g: Aggregation, a: Tensor, b: Tensor) -> Tensor:
    """The value of two disjoint parts. On a tie the gradient goes to `a` alone, as it goes to the first of a set."""
    if g in ("sum", "mean"):
        return a + b
    better = b > a if g == "max" else b < a
    return torch.where(better | b.isnan(), b, a)


def finalize(g: Aggregation, value: Tensor, number: Tensor) -> Tensor:
    """The encoding, `B x ...`, from the state; an empty set encodes as zeros."""
    number = number.reshape(-1, *[1] * (value.dim() - 1))
    if g == "mean":
        return value / number.clamp(min=1)
    return value if g == "sum" else torch.where(number > 0, value, torch.zeros_like(value))
