"""Sets in blocks that stay in cache: their elements, and products with them in memory that is used again.

[X 1] are the elements and a column of ones: with a bias `b`, W x + b is [W b] [x 1].
"""

import itertools
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .pooling import zero_absent

BLOCK_SCALARS = 2**19  # numbers: a block's elements and weights stay in cache
COLUMNS_UP_TO_WIDTH = 4  # numbers of an element: with no more, products are faster on elements that lie in columns


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Autocast set aside, under which blocks would be added up in sixteen bits."""
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if on else nullcontext()


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type that numbers of `dtype` are summed in: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def augmented_weight(linear: nn.Linear) -> Tensor:
    """The matrix that [X 1] is multiplied with, `out x d` or, with a bias, `out x (d+1)`."""
    weight = linear.weight if linear.bias is None else torch.cat([linear.weight, linear.bias.unsqueeze(1)], 1)
    return weight.to(accumulation_dtype(weight.dtype))


def augmented_elements(x: Tensor, mask: Tensor | None, P: Tensor) -> Tensor:
    """`x` in the type of `P`, zeros where absent, with a column of ones where `P` has one more column than `x`."""
    x = x.to(P.dtype)
    return zero_absent(x if x.shape[2] == P.shape[2] else pad(x, (0, 1), value=1.0), mask)


def block_shape(x: Tensor, numbers: int) -> tuple[int, int]:
    """Return how many sets and how many elements of each make a block of `BLOCK_SCALARS`, `numbers` per element.

    As many elements of a set as fit, and then as many sets: a power of two, as chunks often are.
    """
    fit = 2 ** round(math.log2(max(1, BLOCK_SCALARS // numbers)))
    m = max(1, min(x.shape[1], fit))
    return max(1, min(x.shape[0], fit // m)), m


def iter_blocks(
    x: Tensor, mask: Tensor | None, dtype: torch.dtype, size: tuple[int, int]
) -> Iterator[tuple[slice, Iterator[tuple[Tensor, Tensor | None, slice]]]]:
    """Sets, and of these block after block: elements in `dtype`, their part of the mask, their place.

    A pass in their order brings elements into cache: the products read with strides, for which they would wait longer.
    Points are laid in columns by it.
    """
    b, m = size
    for i in range(0, x.shape[0], b):
        sets = slice(i, i + b)
        yield sets, _of(x[sets], None if mask is None else mask[sets], dtype, m)


def _of(x: Tensor, mask: Tensor | None, dtype: torch.dtype, m: int) -> Iterator[tuple[Tensor, Tensor | None, slice]]:
    masks = itertools.repeat(None) if mask is None else torch.split(mask, m, 1)
    for j, found, present in zip(range(0, x.shape[1], m), torch.split(x, m, 1), masks, strict=False):
        X = zero_absent(found.to(dtype), present)
        if X.shape[2] <= COLUMNS_UP_TO_WIDTH:
            X = X.transpose(1, 2).contiguous().transpose(1, 2)
        elif not X.is_cuda:
            X.sum()
        yield X, present, slice(j, j + m)


def split_bias(P: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """What X alone is multiplied with, `B x K x d`, and what is added for each element, `B x K x (0 or 1)`."""
    return P[..., :d], P[..., d:]


def reuse(workspace: Tensor, *shape: int) -> Tensor:
    """The first of the memory of `workspace` as a tensor of another shape."""
    return workspace[: math.prod(shape)].view(shape)


def affine_product(Q: Tensor, b: Tensor, X: Tensor, out: Tensor) -> Tensor:
    """Q X^T + b, where there is one, in the place of `out`; b has one column or one row."""
    Xt = X.transpose(1, 2)
    return torch.baddbmm(b, Q, Xt, out=out) if b.numel() else torch.bmm(Q, Xt, out=out)
