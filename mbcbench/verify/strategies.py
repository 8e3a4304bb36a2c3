"""Hypothesis strategies: sets, partitions, permutations, and the cases of the laws."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from mbcbench.verify.example import ARRANGEMENTS, LANES, Case, Drawn

BOUNDARIES = (63, 64, 65, 127, 128, 129, 255, 256, 257, 513)


def cardinalities(*, min_size: int = 1, max_size: int = 513) -> st.SearchStrategy[int]:
    """Set sizes: mostly small, and around the powers of two where blockwise code changes course."""
    edges = [n for n in BOUNDARIES if min_size <= n <= max_size]
    small = st.integers(min_size, min(max_size, max(min_size, 8)))
    middle = st.integers(min_size, min(max_size, max(min_size, 40)))
    return st.one_of(small, middle, small, st.sampled_from(edges)) if edges else st.one_of(small, middle)


@st.composite
def partitions(draw: st.DrawFn, n: int, *, max_parts: int = 8) -> tuple[int, ...]:
    """Chunk sizes that sum to `n`: uneven cuts, singletons, one element apart from the rest."""
    if n == 1:
        return (1,)
    if n <= 2 * max_parts and draw(st.integers(0, 4)) == 4:
        return (1,) * n
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), min_size=1, max_size=min(max_parts, n) - 1)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, n], strict=True))


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    lanes: tuple[int, ...] = LANES,
    variants: int = 1,
    side_by_side: bool = True,
    min_size: int = 1,
    max_size: int = 513,
) -> Case:
    """Cases for the laws: a cardinality, a partition, an arrangement, and data of every kind side by side (or one)."""
    n = draw(cardinalities(min_size=min_size, max_size=max_size))
    return Case(
        sizes=draw(partitions(n)),
        lanes=lanes if side_by_side else (draw(st.sampled_from(lanes)),),
        arrangement=draw(st.sampled_from(ARRANGEMENTS)),
        seed=draw(st.integers(0, 2**20)),
        variant=draw(st.integers(0, variants - 1)),
    )


@st.composite
def sets(
    draw: st.DrawFn, dim: int, *, batch_size: int = 1, min_size: int = 1, max_size: int = 40,
    dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Batches of sets, `batch_size x n x dim`: normal, tied, constant, sorted, with zero rows, outliers, offsets..."""
    n = draw(st.integers(min_size, max_size))
    kinds = draw(st.lists(st.sampled_from(LANES), min_size=batch_size, max_size=batch_size))
    case = Case(sizes=(n,), lanes=tuple(kinds), seed=draw(st.integers(0, 2**20)))
    return Drawn(case, dim, dtype=dtype).x


def permutations(n: int) -> st.SearchStrategy[list[int]]:
    """Orders of `n` elements."""
    return st.permutations(range(n))
