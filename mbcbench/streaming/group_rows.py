"""Rows of many sets in any order, and batches of sets that have equally many of them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mbcbench.errors import UsageError
from mbcbench.streaming.sources.base import Array

SetId: TypeAlias = int | str
MAX_ID = 2**63 - 1
BATCH_BYTES = 2**20  # of the elements in a batch: the encoder's intermediate results stay in cache
STATE_BYTES = 2**22  # of the states in a batch


class GroupRows(NamedTuple):
    """Elements of several sets, in any order.

    ids: the sets, each once.
    codes: position in `ids` of the set of each element (`n`).
    x: the elements (`n x d`).
    """

    ids: Sequence[SetId]
    codes: Array
    x: Array

    def select(self, sets: Array) -> "GroupRows":
        """Return the rows of the sets for which a mask is True."""
        present = sets[self.codes]
        ids = [set_id for set_id, is_selected in zip(self.ids, sets, strict=True) if is_selected]
        return GroupRows(ids, (np.cumsum(sets) - 1)[self.codes[present]], self.x[present])


class Batch(NamedTuple):
    """Sets with equally many elements.

    sets: their positions in the ids of the rows (`B`).
    x: their elements (`B x n x d`), each set's in the order of the rows.
    """

    sets: Array
    x: Tensor


def group_rows(ids: Any, x: Any, where: str) -> GroupRows:
    """Return rows for an id per row (`n`) and the elements (`n x d`); `where` names them in an error.

    Raises UsageError if an id is missing, or neither a whole number nor text.
    """
    column = np.asarray(ids)
    if column.ndim != 1 or np.ndim(x) != 2 or len(column) != len(x) or not x.shape[1]:
        raise UsageError(
            f"{where}: ids {column.shape} and elements {tuple(np.shape(x))}; give n ids and n x d elements"
        )
    codes, unique = pd.factorize(column)
    return GroupRows(check_ids(unique.tolist(), codes, where), codes, np.asarray(x))


def check_ids(ids: list[Any], codes: Array, where: str, first_row: int = 0) -> list[SetId]:
    """Return the ids; raise UsageError if one is missing (code -1), or neither a whole number nor text."""
    if len(codes) and codes.min() < 0:
        row = first_row + int(codes.argmin())
        raise UsageError(f"{where}: row {row} (counted from 0) has no id of a set; give it one, or drop it")
    for value in ids:
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise UsageError(f"{where}: the id {value!r} is a {type(value).__name__}; use whole numbers or text")
        if isinstance(value, int) and value > MAX_ID:
            raise UsageError(f"{where}: the id {value} does not fit into int64; use text")
    return ids


def equal_size_batches(rows: GroupRows, order_of_sets: Array, bytes_per_set: int) -> Iterator[Batch]:
    """Yield all rows in batches of sets with equally many rows.

    There are at most sqrt(2 n) different numbers of rows, and no batch has padding, so an encoder needs no masks.

    order_of_sets: for each set, a number by which the sets of a batch are ordered.
    bytes_per_set: size of a state.
    """
    counts = np.bincount(rows.codes, minlength=len(rows.ids))
    sets = np.lexsort((order_of_sets, counts))
    rank = np.empty(len(sets), np.int32)
    rank[sets] = np.arange(len(sets), dtype=np.int32)
    x, order = torch.from_numpy(rows.x), torch.from_numpy(_stable_order(rank[rows.codes], len(sets)))
    row_bytes, counts = rows.x.strides[0], counts[sets]
    first_row = np.concatenate([[0], np.cumsum(counts)])
    starts = np.flatnonzero(np.diff(counts, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(sets)], strict=True):
        n = int(counts[start])
        size = max(1, min(BATCH_BYTES // max(1, n * row_bytes), STATE_BYTES // bytes_per_set))
        for first in range(start, stop, size):
            last = min(first + size, stop)
            elements = x.index_select(0, order[first_row[first] : first_row[last]])
            yield Batch(sets[first:last], elements.view(last - first, n, x.shape[1]))


def _stable_order(keys: Array, number: int) -> Array:
    """Return the order that sorts keys below `number`; equal keys stay in their order.

    SciPy converts coordinates to rows by counting, which takes an eighth of the time of a stable sort.
    """
    from scipy.sparse import coo_array

    if not len(keys):
        return keys
    positions = np.arange(len(keys), dtype=np.int32)
    ones = np.ones(len(keys), np.int8)
    order: Array = coo_array((ones, (keys, positions)), shape=(number, len(keys))).tocsr().indices
    return order
