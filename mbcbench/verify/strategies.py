"""Hypothesis strategies: sets, partitions, permutations, and examples for the laws.

Hypothesis mixes constants of 100 and more into the integers it draws; which ones depends on its version. So that a seed
always gives the same examples, large integers are made of two or more digits here.
"""

import torch
from hypothesis import strategies as st
from torch import Tensor

from mbcbench.verify.example import ALL_KINDS, ARRANGEMENTS, Example, ExampleData

BOUNDARIES = (63, 64, 65, 127, 128, 129, 255, 256, 257, 513)
BASE = 64  # of the digits of large integers
_DIGITS = st.integers(0, BASE - 1)


def cardinalities(*, min_size: int = 1, max_size: int = 513) -> st.SearchStrategy[int]:
    """Draw set sizes: mostly small, and around the powers of two at which blockwise code switches paths.

    Parameters
    ----------
    min_size, max_size
        Bounds, both included.

    Returns
    -------
    SearchStrategy
        A strategy for the number of elements `n`.
    """
    edges = [n for n in BOUNDARIES if min_size <= n <= max_size]
    small = st.integers(min_size, min(max_size, max(min_size, 8)))
    middle = st.integers(min_size, min(max_size, max(5 * min_size, 40)))
    return st.one_of(small, middle, small, st.sampled_from(edges)) if edges else st.one_of(small, middle)


def _draw_seed(draw: st.DrawFn) -> int:
    """Draw a seed of three digits."""
    return (draw(_DIGITS) * BASE + draw(_DIGITS)) * BASE + draw(_DIGITS)


@st.composite
def partitions(draw: st.DrawFn, n: int, *, max_parts: int = 8) -> tuple[int, ...]:
    """Draw chunk sizes that sum to `n`: uneven cuts, single elements, one element split off.

    Parameters
    ----------
    n
        Number of elements, at least 1.
    max_parts
        Largest number of chunks, unless every chunk is a single element (for `n` up to `2 max_parts`).

    Returns
    -------
    SearchStrategy
        A strategy for tuples of positive chunk sizes.
    """
    if n == 1 or max_parts == 1:
        return (n,)
    shape = draw(st.integers(0, 4))
    if shape == 4 and n <= 2 * max_parts:
        return (1,) * n
    if shape == 3:
        return draw(st.sampled_from([(1, n - 1), (n - 1, 1)]))
    cuts = sorted(draw(st.sets(_cuts(n), min_size=1, max_size=min(max_parts, n) - 1)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, n], strict=True))


def _cuts(n: int) -> st.SearchStrategy[int]:
    """Draw one of the places between `n` elements."""
    if n <= BASE:
        return st.integers(1, n - 1)
    digits = st.tuples(st.integers(0, (n - 1) // BASE), _DIGITS)
    return digits.map(lambda pair: min(max(pair[0] * BASE + pair[1], 1), n - 1))


@st.composite
def examples(
    draw: st.DrawFn,
    *,
    kinds: tuple[int, ...] = ALL_KINDS,
    variants: int = 1,
    all_kinds: bool = True,
    min_size: int = 1,
    max_size: int = 513,
) -> Example:
    """Draw examples for the laws: a set size, a partition, an arrangement and kinds of data.

    Parameters
    ----------
    kinds
        Kinds of data, as indices into `mbcbench.verify.example.KINDS`.
    variants
        Number of parameter sets of the encoder.
    all_kinds
        If True, an example is a batch with one set of each kind; otherwise a single set of a drawn kind.
    min_size, max_size
        Bounds of the set size, both included.

    Returns
    -------
    SearchStrategy
        A strategy for `Example`.
    """
    n = draw(cardinalities(min_size=min_size, max_size=max_size))
    return Example(
        sizes=draw(partitions(n)),
        kinds=kinds if all_kinds else (draw(st.sampled_from(kinds)),),
        arrangement=draw(st.sampled_from(ARRANGEMENTS)),
        seed=_draw_seed(draw),
        variant=draw(st.integers(0, variants - 1)),
    )


@st.composite
def sets(
    draw: st.DrawFn, dim: int, *, batch_size: int = 1, min_size: int = 1, max_size: int = 40,
    dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Draw batches of sets: normal, tied, constant, sorted, with zero rows, outliers, offsets and more.

    Parameters
    ----------
    dim
        Element width `d`.
    batch_size
        Number of sets `B`; each has its own kind of data.
    min_size, max_size
        Bounds of the set size `n`, both included.
    dtype
        Type of the elements.

    Returns
    -------
    SearchStrategy
        A strategy for tensors `B x n x d`.
    """
    n = draw(st.integers(min_size, max_size))
    kinds = draw(st.lists(st.sampled_from(ALL_KINDS), min_size=batch_size, max_size=batch_size))
    example = Example(sizes=(n,), kinds=tuple(kinds), seed=_draw_seed(draw))
    return ExampleData(example, dim, dtype=dtype).x


def permutations(n: int) -> st.SearchStrategy[list[int]]:
    """Draw permutations of `n` elements.

    Parameters
    ----------
    n
        Number of elements.

    Returns
    -------
    SearchStrategy
        A strategy for lists of the indices 0 to `n - 1`.
    """
    return st.permutations(range(n))
