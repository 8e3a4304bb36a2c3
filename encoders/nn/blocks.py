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

# Scalars of a block's elements, logits and weights together: 2 MiB in float32, about the second-level cache of a core.
# Several products use a block, and should read it from memory only once. From 2**17 to 2**20, times vary by 10 %;
# 2**15 takes 10 to 70 % longer, because calls take a share of it, and 2**22 takes 5 to 30 % longer, because a block
# leaves the cache between products (Intel Xeon with 2 MiB per core, one thread).
BLOCK_SCALARS = 2**19
# Several threads share a block, so that it has as many scalars for each of them. The library divides products of two
# sets among two threads much better than one large product: a set is split into as many parts as there are threads
# (`split_among_threads`). On two threads, the forward pass over one set then takes 13 to 38 % less time than with
# blocks twice as large of one part (AMD EPYC). Python threads with blocks of their own wait for Python's lock.
MAX_SHARING_THREADS = 16  # above, a block takes more memory than it saves time
# Up to this width, store the elements of a block by columns: with 16 slots, the products then take 3 to 7 % less time.
COLUMNS_UP_TO_WIDTH = 4
# From this number of slots, read a block once before its products (see `_bring_into_cache`).
PREFETCH_FROM_SLOTS = 16


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


class Split(NamedTuple):
    """Consecutive elements of each set, as `parts` sets.

    Attributes
    ----------
    place : slice
        Positions of the elements in their sets.
    parts : int
        Number of parts of equal length.
    """

    place: slice
    parts: int

    def view(self, t: Tensor) -> Tensor:
        """Return these elements of `t`, `B x n x ...`, as `(B * parts) x length x ...`, without a copy."""
        elements = t[:, self.place]
        return elements.reshape(len(t) * self.parts, elements.shape[1] // self.parts, *t.shape[2:])

    def view_mask(self, mask: Tensor | None) -> Tensor | None:
        """Return `view` of a mask, `B x n`, if there is one."""
        return None if mask is None else self.view(mask)

    def repeat(self, t: Tensor) -> Tensor:
        """Return what belongs to each set, `B x ...`, once for each part: `(B * parts) x ...`."""
        return t.repeat_interleave(self.parts, 0)

    def sum(self, t: Tensor) -> Tensor:
        """Return the sum over the parts of each set, `B x ...`, of `(B * parts) x ...`."""
        return t.view(-1, self.parts, *t.shape[1:]).sum(1)


def split_among_threads(x: Tensor) -> Iterator[Split]:
    """Yield all elements of fewer sets than threads, `B x n x d`, in parts such that each thread has a product."""
    n = x.shape[1]
    parts = max(1, min(sharing_threads(x.device) // max(1, len(x)), n))
    if len(x) > 1 and (n % parts or not x.is_contiguous()):  # the parts could not be viewed as sets
        parts = 1
    whole = n - n % parts
    yield Split(slice(0, whole), parts)
    if whole < n:
        yield Split(slice(whole, n), 1)


def sharing_threads(device: torch.device) -> int:
    """Return how many threads share a block: torch's, up to `MAX_SHARING_THREADS`."""
    return 1 if device.type == "cuda" else min(torch.get_num_threads(), MAX_SHARING_THREADS)


def block_scalars(device: torch.device) -> int:
    """Return the number of scalars of a block for the current number of torch's threads."""
    return sharing_threads(device) * BLOCK_SCALARS


def block_shape(x: Tensor, scalars_per_element: int) -> tuple[int, int]:
    """Return how many sets, and how many elements of each, fill a block of `block_scalars`.

    Each thread gets a set, if there are so many. Take as many elements of a set as fit before more sets: long products
    are faster than many short ones. The number of elements is a power of two, as chunk sizes often are, so that chunks
    leave no short last block.
    """
    threads = sharing_threads(x.device)
    capacity = threads * 2 ** round(math.log2(max(1, BLOCK_SCALARS // scalars_per_element)))
    elements = max(1, min(x.shape[1], capacity // max(1, min(len(x), threads))))
    return max(1, min(len(x), capacity // elements)), elements


def iter_blocks(
    x: Tensor, mask: Tensor | None, P: Tensor, shape: tuple[int, int]
) -> Iterator[tuple[slice, Iterator[Block]]]:
    """Yield slices of sets, each with an iterator over the blocks of their elements.

    Parameters
    ----------
    x : Tensor
        Elements, `B x n x d`.
    mask : Tensor or None
        `B x n`, True where an element is present.
    P : Tensor
        Matrix to multiply the blocks with, `B x K x ...`: they get its dtype.
    shape : tuple of int
        Result of `block_shape`.
    """
    sets_per_block, elements_per_block = shape
    for start in range(0, x.shape[0], sets_per_block):
        sets = slice(start, start + sets_per_block)
        yield sets, _iter_elements(x[sets], None if mask is None else mask[sets], P, elements_per_block)


def _iter_elements(x: Tensor, mask: Tensor | None, P: Tensor, size: int) -> Iterator[Block]:
    masks = itertools.repeat(None) if mask is None else torch.split(mask, size, 1)
    for start, part, present in zip(range(0, x.shape[1], size), torch.split(x, size, 1), masks, strict=False):
        X = zero_absent(part.to(P.dtype), present)
        if X.shape[2] <= COLUMNS_UP_TO_WIDTH:
            X = X.transpose(1, 2).contiguous().transpose(1, 2)
        elif P.shape[1] >= PREFETCH_FROM_SLOTS and not X.is_cuda:
            _bring_into_cache(X)
        yield Block(X, present, slice(start, start + size))


def _bring_into_cache(X: Tensor) -> None:
    """Read all of `X` once, in the order in which it lies in memory, so that products find it in cache.

    Products read `X` with strides, and wait longer for memory than a sequential pass does. For d = 64, the pass saves
    2 to 7 % of the time with 16 to 128 slots; for other widths it gains nothing or costs up to 8 %. With one slot,
    there is so little other work that it would take 10 to 25 % of the time (Intel Xeon, 50,000 to 400,000 elements,
    one thread).
    """
    X.sum()  # the result is not needed


def reuse(workspace: Tensor, *shape: int) -> Tensor:
    """Return the beginning of `workspace` (one-dimensional) as a tensor of `shape`.

    One workspace for all blocks stays in cache, and a last block that is smaller still gets a contiguous tensor.
    """
    return workspace[: math.prod(shape)].view(shape)


def affine_product(Q: Tensor, b: Tensor, X: Tensor, out: Tensor) -> Tensor:
    """Write Q X^T + b to `out`; `b` is a column, a row, or empty for no bias."""
    Xt = X.transpose(1, 2)
    return torch.baddbmm(b, Q, Xt, out=out) if b.numel() else torch.bmm(Q, Xt, out=out)
