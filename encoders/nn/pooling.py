"""Pooling over elements for every aggregation g in {sum, mean, max, min}, as a state of value and number.

The value is the sum for `sum` and `mean`, and the elementwise extremum for `max` and `min`; the number is that of
elements. Each g is then exact for any partition into chunks. A mask (`B x n`) is True where an element is present.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mbcbench.protocol.encoder import Aggregation

_IDENTITY: dict[Aggregation, float] = {"sum": 0.0, "mean": 0.0, "max": -torch.inf, "min": torch.inf}


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Check that the argument `name` is one of `choices`.

    Raises
    ------
    ValueError
        If it is not.
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(choices)}")


def zero_absent(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return `x` (`B x n x d`) with zeros in place of absent elements.

    Absent elements are replaced, not multiplied by 0, because 0 times NaN or infinity is NaN.
    """
    return x if mask is None else torch.where(mask.unsqueeze(-1), x, torch.zeros_like(x))


def count_present(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the number of elements present in each set, `B`."""
    if mask is None:
        return torch.full((x.shape[0],), x.shape[1], dtype=torch.int64, device=x.device)
    return mask.sum(1)


def identity(g: Aggregation) -> float:
    """Return the value of an empty set: the identity of `combine`."""
    return _IDENTITY[g]


def pool(g: Aggregation, features: Tensor, mask: Tensor | None) -> Tensor:
    """Return the sum or extremum of `features` (`B x n x d`, n > 0) over the elements present, `B x d`."""
    if g in ("sum", "mean"):
        return zero_absent(features, mask).sum(1)
    if mask is not None:
        features = features.masked_fill(~mask.unsqueeze(-1), identity(g))
    return features.max(1).values if g == "max" else features.min(1).values


def combine(g: Aggregation, a: Tensor, b: Tensor) -> Tensor:
    """Return the value of the union of two disjoint parts.

    On a tie, only `a` receives the gradient, as the first of equal elements does within a set; `torch.maximum` would
    share it. A NaN in either part reaches the result.
    """
    if g in ("sum", "mean"):
        return a + b
    better = b > a if g == "max" else b < a
    return torch.where(better | b.isnan(), b, a)


def finalize(g: Aggregation, value: Tensor, number: Tensor) -> Tensor:
    """Return the encoding, `B x ...`, from a value and the number of elements; zeros for an empty set."""
    number = number.reshape(-1, *[1] * (value.dim() - 1))
    if g == "mean":
        return value / number.clamp(min=1)
    return value if g == "sum" else torch.where(number > 0, value, torch.zeros_like(value))
