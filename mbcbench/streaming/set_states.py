"""States of many sets: one state with a row per set, or one state per set if an encoder has no such rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mbcbench.errors import BrokenPluginError
from mbcbench.protocol.state import clone, leaves, map_state, named_leaves, nbytes, replace_leaves, tensors
from mbcbench.streaming import probe
from mbcbench.streaming.encoder import GuardedEncoder
from mbcbench.streaming.row_table import RowTable
from mbcbench.streaming.sources.base import Array
from mbcbench.types import State

READOUT_BYTES = 2**23  # of the states that are read out together
OBJECT_BYTES = 1000  # of Python objects that a state of its own needs
MAX_PROBED_ROWS = 64  # per set


class NotBatchableError(Exception):
    """Raised for a state without one row per set. The message names the part at fault."""


class SetStates(Protocol):
    """The states of sets that are numbered in the order in which they were added."""

    @property
    def count(self) -> int:
        """Number of sets."""

    def extend(self, count: int) -> None:
        """Add empty sets, so that there are `count`."""

    def update(self, sets: Array, x: Tensor) -> None:
        """Add to each of the sets (`B`) its elements (`B x n x d`)."""

    def states(self) -> Iterator[tuple[State, int]]:
        """Yield states of one or more sets, in the order of the sets, each with the number of its sets."""

    def saved(self) -> list[State]:
        """Return all states as values that `load` restores."""

    def load(self, saved: list[State], count: int) -> None:
        """Restore `count` sets from the result of `saved`. Raises ValueError for anything else."""


class BatchedStates:
    """States as one state whose tensors have a row per set.

    shares_rows: pass a row that all sets share to the encoder as a view with stride 0, which not every encoder can
    read.
    Raises NotBatchableError if the state of an empty set has no such rows.
    """

    def __init__(self, encoder: GuardedEncoder, *, shares_rows: bool) -> None:
        self._encoder = encoder
        self._empty, two = encoder.init_state(), encoder.init_state(2)
        self._structure = _structure(self._empty, 1)
        _check_structure(self._structure, _structure(two, 2))
        self._positions = [position for position, leaf in enumerate(leaves(self._empty)) if isinstance(leaf, Tensor)]
        self._tables = [RowTable(row, shares_row=shares_rows) for row in tensors(self._empty)]
        if not all(torch.equal(pair, table.rows(0, 2)) for pair, table in zip(tensors(two), self._tables, strict=True)):
            raise NotBatchableError("init_state draws random numbers")
        self.count = 0

    @property
    def bytes_per_set(self) -> int:
        """Size of the state of a set, without rows that all sets share."""
        return sum(table.bytes_per_row for table in self._tables)

    def extend(self, count: int) -> None:
        self.count = max(count, self.count)
        for table in self._tables:
            table.extend(self.count)

    @torch.inference_mode()
    def update(self, sets: Array, x: Tensor) -> None:
        before = [table.gather(sets) for table in self._tables]
        after = self._encoder.update(self._as_state(before), [x])
        _check_structure(self._structure, _structure(after, len(sets)))
        for table, old, new in zip(self._tables, before, tensors(after), strict=True):
            # A row that is repeated without copies cannot have been written to.
            if new is not old or new.stride()[:1] != (0,):
                table.scatter(sets, new, self.count)

    def states(self) -> Iterator[tuple[State, int]]:
        size = max(1, READOUT_BYTES // max(1, self.bytes_per_set))
        for first in range(0, self.count, size):
            last = min(first + size, self.count)
            yield self._as_state([table.rows(first, last) for table in self._tables]), last - first

    def saved(self) -> list[State]:
        return [table.saved(self.count) for table in self._tables]

    def load(self, saved: list[State], count: int) -> None:
        self.count = count
        for table, segments in zip(self._tables, saved, strict=True):
            table.load(segments, count)

    def separate(self) -> "SeparateStates":
        """Return the same states as a state per set."""
        rows = ([table.rows(n, n + 1) for table in self._tables] for n in range(self.count))
        return SeparateStates(self._encoder, [clone(self._as_state(parts)) for parts in rows])

    def _as_state(self, parts: list[Tensor]) -> State:
        return replace_leaves(self._empty, dict(zip(self._positions, parts, strict=True)))


class SeparateStates:
    """One state per set, each updated on its own: works for states of any kind, but is slow for many sets."""

    def __init__(self, encoder: GuardedEncoder, states: list[State] | None = None) -> None:
        self._encoder = encoder
        self._states = states or []

    @property
    def count(self) -> int:
        """Number of sets."""
        return len(self._states)

    @property
    def bytes_per_set(self) -> int:
        """Size of the largest state."""
        return max(map(nbytes, self._states), default=0) + OBJECT_BYTES

    def extend(self, count: int) -> None:
        self._states += [self._encoder.init_state() for _ in range(count - self.count)]

    def update(self, sets: Array, x: Tensor) -> None:
        memory = x.untyped_storage().data_ptr()
        for number, elements in zip(sets.tolist(), x, strict=True):
            state = self._encoder.update(self._states[number], [elements[None]])
            # A view of the elements would keep all of them in memory.
            self._states[number] = map_state(
                lambda t: t.clone() if t.untyped_storage().data_ptr() == memory else t, state
            )

    def states(self) -> Iterator[tuple[State, int]]:
        yield from ((state, 1) for state in self._states)

    def saved(self) -> list[State]:
        return self._states

    def load(self, saved: list[State], count: int) -> None:
        if len(saved) != count:
            raise ValueError(f"it has {len(saved)} states for {count} sets")
        self._states = list(saved)


@dataclass(frozen=True)
class StateLayout:
    """Layout in which the states of an encoder are stored.

    shares_rows: of `BatchedStates`; None for `SeparateStates`.
    bytes_per_set: size of the state of a set.
    reason: why states are separate; empty if they are batched.
    """

    encoder: GuardedEncoder
    shares_rows: bool | None
    bytes_per_set: int
    reason: str = ""

    def new_states(self) -> SetStates:
        """Return empty states, to which sets can be added."""
        if self.shares_rows is None:
            return SeparateStates(self.encoder)
        return BatchedStates(self.encoder, shares_rows=self.shares_rows)


def choose_layout(encoder: GuardedEncoder, x: Tensor) -> StateLayout:
    """Return batched states, if they give the encodings of separate states on some elements, or else separate ones.

    x: the elements (`n x d`, n > 0).
    Raises BrokenPluginError if the encoder cannot encode them.
    """
    sample, separate = _sample(x), SeparateStates(encoder)
    expected, reason = _encode_sample(separate, encoder, sample), ""
    for shares_rows in (True, False):
        try:
            batched = BatchedStates(encoder, shares_rows=shares_rows)
            actual = _encode_sample(batched, encoder, sample)
        except (NotBatchableError, BrokenPluginError) as error:
            reason = str(error)
            continue
        if actual.shape == expected.shape and probe.relative_gap(expected, actual) <= probe.TOLERANCE:
            return StateLayout(encoder, shares_rows, max(1, batched.bytes_per_set))
        reason = "a set is encoded in another way beside others than on its own"
    return StateLayout(encoder, None, separate.bytes_per_set, reason)


def _sample(x: Tensor) -> Tensor:
    """Return `4 x n x d` elements with at least 4 per row."""
    rows = max(4, min(MAX_PROBED_ROWS, len(x) // 4))
    return x.repeat(-(-4 * rows // len(x)), 1)[: 4 * rows].view(4, rows, x.shape[1])


def _encode_sample(states: SetStates, encoder: GuardedEncoder, sample: Tensor) -> Tensor:
    """Return the encodings of four sets with different histories."""
    states.extend(3)
    states.update(np.array([0, 1]), sample[:2])
    states.update(np.array([2, 1]), sample[1:3])
    states.extend(4)
    states.update(np.array([3, 0, 2]), sample[[0, 2, 3]])
    states.update(np.array([1]), sample[:1, :1])
    return torch.cat([encoder.readout(clone(state)) for state, _ in states.states()])


def _structure(state: State, rows: int) -> dict[str, object]:
    """Return what batched states have in common: for each leaf its type and the shape of a row, or its value."""
    return {
        path: _row_type(leaf, rows) if isinstance(leaf, Tensor) else f"{leaf!r}" for path, leaf in named_leaves(state)
    }


def _row_type(leaf: Tensor, rows: int) -> object:
    return (leaf.dtype, leaf.shape[1:]) if leaf.dim() and len(leaf) == rows else None


def _check_structure(expected: dict[str, object], actual: dict[str, object]) -> None:
    """Raise NotBatchableError for the first leaf that is not the same in both, or has no row per set."""
    if list(expected) != list(actual):
        raise NotBatchableError("the state does not keep its structure")
    for path, row_type in expected.items():
        if row_type is None or actual[path] is None:
            raise NotBatchableError(f"{path} does not have a row per set")
        if row_type != actual[path]:
            raise NotBatchableError(f"{path} does not keep its value, type or shape")
