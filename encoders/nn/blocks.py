"""Read sets in blocks that stay in cache, and reuse memory for products with them.

[X 1] are the elements with a column of ones appended: with a bias b, W x + b = [W b] [x 1]. Blocks never hold that
column, because appending it would copy X; `split_bias` separates the matrix instead.
"""

import itertools
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .pooling import zero_absent

# Scalars of a block's elements, logits and weights together. 2 MiB in float32: about the second-level cache of a core,
# so that a block is read from memory once although several products use it. Larger blocks also save calls, of which
# each costs microseconds; smaller ones would spend a share of the time that shows on them.
BLOCK_SCALARS = 2**19
# Up to this width, products are faster on elements stored by columns: rows of so few numbers leave vector units idle.
COLUMNS_UP_TO_WIDTH = 4


class Block(NamedTuple):
    """Some elements of some sets.

    Attributes
    ----------
    X : Tensor
        The elements, `b x m x d`, zeros where absent.
    present : Tensor or None
        Their part of the mask, `b x m`.
    place : slice
        Their positions in the set.
    """

    X: Tensor
    present: Tensor | None
    place: slice


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """Disable autocast, which would accumulate sums over elements in 16 bits."""
    enabled = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if enabled else nullcontext()


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which to sum numbers of `dtype`: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def augmented_weight(linear: nn.Linear) -> Tensor:
    """Return the matrix that multiplies [X 1]: [W b], `out x (d+1)`, or W, `out x d`, without a bias."""
    weight = linear.weight if linear.bias is None else torch.cat([linear.weight, linear.bias.unsqueeze(1)], 1)
    return weight.to(accumulation_dtype(weight.dtype))


def augmented_elements(x: Tensor, mask: Tensor | None, P: Tensor) -> Tensor:
    """Return [X 1] if `P` has a column more than `x`, else X; zeros where absent, in the dtype of `P`."""
    x = x.to(P.dtype)
    return zero_absent(x if x.shape[2] == P.shape[2] else pad(x, (0, 1), value=1.0), mask)


def split_bias(P: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Split [Q b] into the matrix that multiplies X, `B x K x d`, and the bias, `B x K x 1`, or `x 0` without one."""
    return P[..., :d], P[..., d:]


def block_shape(x: Tensor, scalars_per_element: int) -> tuple[int, int]:
    """Return how many sets, and how many elements of each, fill a block of `BLOCK_SCALARS`.

    Take as many elements of a set as fit before a second set: long products are faster than many short ones. The
    number of elements is a power of two, as chunk sizes often are, so that chunks leave no short last block.
    """
    capacity = 2 ** round(math.log2(max(1, BLOCK_SCALARS // scalars_per_element)))
    elements = max(1, min(x.shape[1], capacity))
    return max(1, min(x.shape[0], capacity // elements)), elements


def iter_blocks(
    x: Tensor, mask: Tensor | None, dtype: torch.dtype, shape: tuple[int, int]
) -> Iterator[tuple[slice, Iterator[Block]]]:
    """Yield sets, each with an iterator over the blocks of its elements, in order and converted to `dtype`."""
    sets_per_block, elements_per_block = shape
    for start in range(0, x.shape[0], sets_per_block):
        sets = slice(start, start + sets_per_block)
        yield sets, _iter_elements(x[sets], None if mask is None else mask[sets], dtype, elements_per_block)


def _iter_elements(x: Tensor, mask: Tensor | None, dtype: torch.dtype, size: int) -> Iterator[Block]:
    masks = itertools.repeat(None) if mask is None else torch.split(mask, size, 1)
    for start, part, present in zip(range(0, x.shape[1], size), torch.split(x, size, 1), masks, strict=False):
        X = zero_absent(part.to(dtype), present)
        if X.shape[2] <= COLUMNS_UP_TO_WIDTH:
            X = X.transpose(1, 2).contiguous().transpose(1, 2)
        elif not X.is_cuda:
            _bring_into_cache(X)
        yield Block(X, present, slice(start, start + size))


def _bring_into_cache(X: Tensor) -> None:
    """Read all of `X` once, in the order in which it lies in memory."""
    X.sum()


def reuse(workspace: Tensor, *shape: int) -> Tensor:
    """Return the beginning of `workspace` (one-dimensional) as a tensor of `shape`.

    One workspace for all blocks stays in cache, and a last block that is smaller still gets a contiguous tensor.
    """
    return workspace[: math.prod(shape)].view(shape)


def affine_product(Q: Tensor, b: Tensor, X: Tensor, out: Tensor) -> Tensor:
    """Write Q X^T + b to `out`; `b` is a column, a row, or empty for no bias."""
    Xt = X.transpose(1, 2)
    return torch.baddbmm(b, Q, Xt, out=out) if b.numel() else torch.bmm(Q, Xt, out=out)
