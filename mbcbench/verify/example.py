"""Examples: inputs of a law, described by a few numbers that can be drawn, shrunk, printed and replayed.

An example holds a batch of sets, each of a different kind (normal, sorted, with duplicates, ...). All sets are cut into
chunks of the same sizes, but each has its own order of elements.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbcbench.types import JsonDict, JsonObject

Array = NDArray[np.float64]
Arrangement = Literal["contiguous", "reversed", "interleaved", "shuffled"]
ARRANGEMENTS: tuple[Arrangement, ...] = ("contiguous", "reversed", "interleaved", "shuffled")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One input on which a law is tried.

    Parameters
    ----------
    sizes
        Chunk sizes, the same for every set of the batch; their sum is `n`.
    kinds
        Kind of data of each set, as indices into `KINDS`; their number is the batch size.
    arrangement
        Order in which the elements of a set arrive.
    seed
        Seed of the data, of a shuffled arrangement and of the choices that a law makes.
    variant
        Number of the parameter set; 0 stands for the parameters as built.
    values, order
        Explicit elements (`n x d`) and their order of arrival, for a single set. The search fills them in when it
        simplifies a counterexample.
    vocabulary
        Number of tokens if the elements are integers from 0 to `vocabulary - 1`, else 0.
    program
        Steps of a program on states, for the law `mbc.program`.
    """

    sizes: tuple[int, ...]
    kinds: tuple[int, ...] = (0,)
    arrangement: Arrangement = "contiguous"
    seed: int = 0
    variant: int = 0
    values: tuple[tuple[float, ...], ...] | None = None
    order: tuple[int, ...] | None = None
    vocabulary: int = 0
    program: tuple[tuple[str | int, ...], ...] = ()

    @property
    def n(self) -> int:
        """Number of elements of each set."""
        return sum(self.sizes)

    def to_json(self) -> JsonDict:
        """Return the example as plain data, without fields that do not apply."""
        row: JsonDict = {"sizes": list(self.sizes)}
        if self.program:
            row |= {"program": [list(step) for step in self.program]}
        elif self.values is not None:
            row |= {"x": [list(element) for element in self.values], "order": list(self.order or range(self.n))}
        else:
            row |= {"kinds": list(self.kinds), "arrangement": self.arrangement}
            row |= {"vocabulary": self.vocabulary} if self.vocabulary else {}
        return row | {"seed": self.seed, "variant": self.variant}

    @classmethod
    def from_json(cls, row: JsonObject) -> "Example":
        """Return the example that `to_json` wrote; `kinds` was called `lanes` in earlier versions."""
        fields: JsonDict = {"seed": row.get("seed", 0), "variant": row.get("variant", 0)}
        if "program" in row:
            fields |= {"program": tuple(map(tuple, row["program"]))}
        elif "x" in row:
            fields |= {"values": tuple(map(tuple, row["x"])), "order": tuple(row["order"])}
        else:
            kinds = row["kinds"] if "kinds" in row else row["lanes"]
            fields |= {"kinds": tuple(kinds), "arrangement": row["arrangement"]}
            fields |= {"vocabulary": row.get("vocabulary", 0)}
        return cls(sizes=tuple(row["sizes"]), **fields)


class ExampleData:
    """The tensors of an example.

    Parameters
    ----------
    example
        The example.
    dim
        Element width `d`.
    dtype
        Type of the elements.

    Attributes
    ----------
    x : Tensor
        The sets, `B x n x d`.
    order : Tensor
        Order in which the elements of each set arrive, `B x n`.
    chunks : tuple of Tensor
        Chunks of the stream in this order, `B x n_c x d` each.
    rng : numpy.random.Generator
        Generator for random choices of the law, independent of the data.
    choices : dict
        Random choices of the law (a permutation, a merge tree) by name, shown with a counterexample. The law adds them.
    """

    def __init__(self, example: Example, dim: int, *, dtype: torch.dtype = torch.float64) -> None:
        self.example = example
        self.choices: JsonDict = {}
        if example.values is not None:
            x = torch.from_numpy(np.array(example.values, dtype=np.float64).reshape(1, example.n, dim))
        else:
            x = torch.from_numpy(_draw_values(example, dim))
            x = to_tokens(x, example.vocabulary) if example.vocabulary else x
        self.x = x.to(dtype)

    @cached_property
    def order(self) -> Tensor:
        """Order in which the elements of each set arrive, `B x n`."""
        if self.example.order is not None:
            return torch.tensor([self.example.order])
        return torch.from_numpy(_draw_order(self.example))

    @cached_property
    def chunks(self) -> tuple[Tensor, ...]:
        """Chunks of the stream, `B x n_c x d` each."""
        return self.cut(self.x)

    def cut(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut other values of the elements (`B x n x d`) into chunks, in their order of arrival.

        Each chunk has memory of its own; the law `hygiene.inputs` tries chunks that are views of a larger tensor.

        Parameters
        ----------
        x
            Values of the elements, `B x n x d`.

        Returns
        -------
        tuple of Tensor
            The chunks, `B x n_c x d` each.
        """
        arranged = x.gather(1, self.order[:, :, None].expand_as(x))
        return tuple(
            chunk.clone(memory_format=torch.contiguous_format)
            for chunk in torch.split(arranged, list(self.example.sizes), dim=1)
        )

    @cached_property
    def rng(self) -> np.random.Generator:
        """Generator for the choices of a law; independent of the data."""
        return np.random.default_rng([self.example.seed, 1])


def _draw_values(example: Example, dim: int) -> Array:
    rng = np.random.Generator(np.random.PCG64(example.seed))
    batch = rng.standard_normal((len(example.kinds), example.n, dim))
    for row, kind in enumerate(example.kinds):
        batch[row] = KINDS[kind % len(KINDS)][1](batch[row])
    return batch


def to_tokens(values: Tensor, vocabulary: int) -> Tensor:
    """Return integers of a vocabulary in place of real numbers; equal and sorted numbers stay so."""
    return ((values + 2) * (vocabulary - 1) / 4).round().clamp(0, vocabulary - 1)


def _draw_order(example: Example) -> NDArray[np.int64]:
    n, batch_size = example.n, len(example.kinds)
    order = np.arange(n)
    if example.arrangement == "shuffled":
        rng = np.random.default_rng([example.seed, 2])
        return rng.permuted(np.tile(order, (batch_size, 1)), axis=1)
    if example.arrangement == "reversed":
        order = order[::-1]
    if example.arrangement == "interleaved":
        parts = len(example.sizes)
        order = np.concatenate([order[first::parts] for first in range(parts)])
    return np.tile(order, (batch_size, 1))


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


# Name of each kind, and the function that makes it from normal data (`n x d`).
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
ALL_KINDS = tuple(range(len(KINDS)))
_TIED = ("small integers", "constant", "zero rows", "duplicates", "sparse")
TIE_FREE_KINDS = tuple(kind for kind in ALL_KINDS if KINDS[kind][0] not in _TIED)
NORMAL_KINDS = (0,) * 8  # a batch of eight sets of normal data

SMALLEST_SIZES: tuple[tuple[int, ...], ...] = (
    (1,), (1, 1), (2,), (1, 2), (2, 1), (1, 1, 1), (2, 2), (1, 3), (3, 1), (1, 2, 1), (1, 1, 1, 1), (2, 3), (1, 1, 3),
    (3, 3), (1, 6),
)  # fmt: skip


def smallest_examples(
    variants: int, kinds: tuple[int, ...] = ALL_KINDS, *, all_kinds: bool = True
) -> Iterator[Example]:
    """Yield the smallest examples, in order of size.

    Most faults show on a handful of elements, and a counterexample found here needs no shrinking. With `all_kinds` each
    example is a batch of one set per kind, otherwise a single set of the next kind.
    """
    arrangements: tuple[Arrangement, ...] = ("contiguous", "reversed", "shuffled")
    for number, (sizes, arrangement) in enumerate(product(SMALLEST_SIZES, arrangements)):
        batch = kinds if all_kinds else (kinds[number % len(kinds)],)
        yield Example(sizes=sizes, kinds=batch, arrangement=arrangement, seed=number, variant=number % variants)
