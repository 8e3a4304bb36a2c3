"""Cases: what a law is tried on, described by a few numbers that can be drawn, shrunk, printed and replayed.

A case carries several sets side by side (its *lanes*, the batch), each of a different kind; all are cut into chunks of
the same sizes, each by its own assignment of elements to chunks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Arrangement = Literal["contiguous", "reversed", "interleaved", "shuffled"]
ARRANGEMENTS: tuple[Arrangement, ...] = ("contiguous", "reversed", "interleaved", "shuffled")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to try.

    sizes: the chunk sizes, of every lane; their sum is n. lanes: which kinds of data (indices into KINDS), one a set.
    arrangement: how elements are assigned to chunks. variant: which parameters (0: as built). seed: of all else.
    values, index: explicit data (n x d) and stream order of a single lane, where a counterexample was simplified.
    program: steps on states, for the law that tries programs.
    """

    sizes: tuple[int, ...]
    lanes: tuple[int, ...] = (0,)
    arrangement: Arrangement = "contiguous"
    seed: int = 0
    variant: int = 0
    values: tuple[tuple[float, ...], ...] | None = None
    index: tuple[int, ...] | None = None
    program: tuple[tuple[str | int, ...], ...] = ()

    @property
    def n(self) -> int:
        return sum(self.sizes)

    def to_json(self) -> dict[str, Any]:
        """The case as plain data, only what differs from the defaults."""
        row: dict[str, Any] = {"sizes": list(self.sizes)}
        if self.program:
            row |= {"program": [list(step) for step in self.program]}
        elif self.values is not None:
            row |= {"x": [list(element) for element in self.values], "order": list(self.index or range(self.n))}
        else:
            row |= {"lanes": list(self.lanes), "arrangement": self.arrangement}
        return row | {"seed": self.seed, "variant": self.variant}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Case":
        """The case that `to_json` described."""
        more: dict[str, Any] = {"seed": row.get("seed", 0), "variant": row.get("variant", 0)}
        if "program" in row:
            more |= {"program": tuple(map(tuple, row["program"]))}
        elif "x" in row:
            more |= {"values": tuple(map(tuple, row["x"])), "index": tuple(row["order"])}
        else:
            more |= {"lanes": tuple(row["lanes"]), "arrangement": row["arrangement"]}
        return cls(sizes=tuple(row["sizes"]), **more)


class Drawn:
    """A case made real: `x` (`B x n x d`), the stream order `index` (`B x n`) and the `chunks` (`B x n_c x d` each).

    told: what a law decided of its own (a permutation, a tree), by name, to be shown with a counterexample.
    """

    def __init__(self, case: Case, dim: int, *, dtype: torch.dtype = torch.float64) -> None:
        self.case = case
        self.told: dict[str, Any] = {}
        if case.values is not None:
            values = np.array(case.values, dtype=np.float64).reshape(1, case.n, dim)
        else:
            values = _values(case, dim)
        self.x = torch.from_numpy(values).to(dtype)

    @cached_property
    def index(self) -> Tensor:
        """The order in which each set's elements arrive, `B x n`."""
        if self.case.index is not None:
            return torch.tensor([self.case.index])
        return torch.from_numpy(_index(self.case))

    @cached_property
    def arranged(self) -> Tensor:
        """The elements in the order in which they arrive, `B x n x d`."""
        return self.x.gather(1, self.index[:, :, None].expand_as(self.x))

    @cached_property
    def chunks(self) -> tuple[Tensor, ...]:
        return torch.split(self.arranged, list(self.case.sizes), dim=1)

    @cached_property
    def rng(self) -> np.random.Generator:
        """For the decisions that a law makes of its own; independent of the data."""
        return np.random.default_rng([self.case.seed, 1])


def _values(case: Case, dim: int) -> Array:
    rng = np.random.Generator(np.random.PCG64(case.seed))
    base = rng.standard_normal((len(case.lanes), case.n, dim))
    for row, lane in enumerate(case.lanes):
        base[row] = KINDS[lane % len(KINDS)][1](base[row])
    return base


def _index(case: Case) -> NDArray[np.int64]:
    n, lanes = case.n, len(case.lanes)
    index = np.arange(n)
    if case.arrangement == "shuffled":
        rng = np.random.default_rng([case.seed, 2])
        return rng.permuted(np.tile(index, (lanes, 1)), axis=1)
    if case.arrangement == "reversed":
        index = index[::-1]
    if case.arrangement == "interleaved":
        parts = len(case.sizes)
        index = np.concatenate([index[start::parts] for start in range(parts)])
    return np.tile(index, (lanes, 1))


def _zero_rows(x: Array) -> Array:
    x[::2] = 0
    return x


def _outlier(x: Array) -> Array:
    x[-1:] *= 100
    return x


def _duplicates(x: Array) -> Array:
    return x[np.arange(len(x)) % 2] if len(x) > 1 else x


def _by_class(x: Array) -> Array:
    x[: len(x) // 2] -= 5
    x[len(x) // 2 :] += 5
    return x


KINDS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("normal", lambda x: x),
    ("small integers", np.round),
    ("constant", lambda x: np.broadcast_to(x[:1], x.shape)),
    ("sorted", lambda x: np.sort(x, axis=0)),
    ("zero rows", _zero_rows),
    ("negative", lambda x: -np.abs(x)),
    ("outlier", _outlier),
    ("tiny", lambda x: x * 1e-3),
    ("large", lambda x: x * 1e2),
    ("offset 10", lambda x: x + 10),
    ("duplicates", _duplicates),
    ("sparse", lambda x: np.where(np.abs(x) > 1, x, 0)),
    ("heavy-tailed", lambda x: x**3),
    ("class by class", _by_class),
    ("descending", lambda x: -np.sort(-x, axis=0)),
    ("offset 1000", lambda x: x + 1e3),
)
LANES = tuple(range(len(KINDS)))
_TIED = ("small integers", "constant", "zero rows", "duplicates", "sparse")
TIE_FREE = tuple(lane for lane in LANES if KINDS[lane][0] not in _TIED)
PLAIN_DATA = (0,) * 8  # normal data, eight sets of it

SMALL_SIZES: tuple[tuple[int, ...], ...] = (
    (1,), (1, 1), (2,), (1, 2), (2, 1), (1, 1, 1), (2, 2), (1, 3), (3, 1), (1, 2, 1), (1, 1, 1, 1), (2, 3), (1, 1, 3),
    (3, 3), (1, 6),
)  # fmt: skip


def small_scope(variants: int, lanes: tuple[int, ...] = LANES, *, side_by_side: bool = True) -> Iterator[Case]:
    """The smallest cases first: most faults show on a handful of elements, and those found here need no shrinking."""
    orders: tuple[Arrangement, ...] = ("contiguous", "reversed", "shuffled")
    for number, (sizes, arrangement) in enumerate(product(SMALL_SIZES, orders)):
        kinds = lanes if side_by_side else (lanes[number % len(lanes)],)
        yield Case(sizes=sizes, lanes=kinds, arrangement=arrangement, seed=number, variant=number % variants)
