"""Encode many sets in one pass over rows in any order, with one state per set."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mbcbench import system
from mbcbench.errors import STREAMS_GUIDE, UsageError
from mbcbench.protocol.encoder import is_streaming
from mbcbench.protocol.state import map_state
from mbcbench.streaming import probe
from mbcbench.streaming.admission import check_consistent
from mbcbench.streaming.encoded_sets import EncodedSets, EncodingFailures
from mbcbench.streaming.encoder import GuardedEncoder
from mbcbench.streaming.group_rows import BATCH_BYTES, GroupRows, SetId, equal_size_batches, group_rows
from mbcbench.streaming.set_states import BatchedStates, NotBatchableError, SetStates, StateLayout, choose_layout
from mbcbench.streaming.sources.base import Array
from mbcbench.types import State

logger = logging.getLogger(__name__)

MEMORY_FRACTION = 0.5  # of the memory of the machine, for states
Progress = Callable[[int, int, int], None]  # rows read in this pass, number of the pass, passes needed so far


def encode_groups(module: nn.Module, batches: Iterable[tuple[Any, Any]], *, memory: int | None = None) -> pd.DataFrame:
    """Encode many sets in one pass over their elements, which may come in any order.

    Memory holds the states of all sets, not their elements. If the states need more than `memory`, the batches are read
    several times, each time for a part of the sets.

    Parameters
    ----------
    module
        A streaming encoder that keeps `mbc.partition`, in the mode and on the device to use.
    batches
        Pairs of set ids (`n`, whole numbers or strings) and elements (`n x d`), as arrays or tensors.
    memory
        Bytes for the states of the sets; by default half of the memory of the machine.

    Returns
    -------
    DataFrame
        One row per set, in the order in which the sets first appear, with the columns `id` and `encoding` (an array,
        the encoding of one set without a batch dimension).

    Raises
    ------
    UsageError
        If the module is not a streaming encoder or breaks `mbc.partition`, the batches are not as described, or they
        are an iterator and would have to be read again.
    BrokenPluginError
        If the code of the encoder raises. Sets for which only `readout` raises are encoded as NaN, with a warning,
        unless these are all of the first sets that are read out together.
    """
    if not is_streaming(module):
        raise UsageError(
            f"{type(module).__name__} is a plain module, which needs each set whole; make it a stream ({STREAMS_GUIDE})"
        )
    encoder = GuardedEncoder(module, type(module).__name__)
    rows = _Batches(batches, encoder.dtype)
    encoding = GroupedEncoding(encoder, memory=memory)
    parts = list(encoding.run(rows))
    if not parts:
        raise UsageError("batches have no rows; give at least one pair of ids and elements")
    encodings = [row for part in parts for row in part.encodings]
    return pd.DataFrame({"id": [set_id for part in parts for set_id in part.ids], "encoding": encodings})


class _Batches:
    """Pairs of ids and elements as rows of sets."""

    def __init__(self, batches: Iterable[tuple[Any, Any]], dtype: np.dtype[Any]) -> None:
        self._batches, self._dtype = batches, dtype
        self._is_read = False

    def __iter__(self) -> Iterator[GroupRows]:
        if self._is_read and iter(self._batches) is self._batches:
            raise UsageError(
                "there are more states than memory holds, and an iterator cannot be read again; give the batches as a "
                "list, or as an object with __iter__"
            )
        self._is_read = True
        for number, (ids, x) in enumerate(self._batches):
            elements = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
            yield group_rows(ids, np.ascontiguousarray(elements, self._dtype), f"batch {number}")


@dataclass
class GroupedEncoding:
    """An encoding of many sets in progress.

    encoder: a streaming encoder.
    memory: bytes for states; None for half of the memory of the machine.
    progress: called with the number of rows read in this pass, the number of the pass, and how many are needed so far.
    is_single_pass: raise UsageError if the states of all sets do not fit into memory.
    ids: position of each set, in the order in which they first appeared.
    states: states of the sets of the current pass; None before any rows are read.
    """

    encoder: GuardedEncoder
    memory: int | None = None
    progress: Progress = lambda rows, number, passes: None
    is_single_pass: bool = False
    ids: dict[SetId, int] = field(default_factory=dict)
    states: SetStates | None = None
    _layout: StateLayout | None = None
    _capacity: int = 0

    def run(self, rows: Iterable[GroupRows]) -> Iterator[EncodedSets]:
        """Read all rows, once or several times, and yield the encodings of all sets in their order.

        Raises UsageError and BrokenPluginError.
        """
        first, number = 0, 1
        while number <= self._passes:
            self._read(rows, first, number)
            if self.states is None:  # there are no rows
                return
            yield from read_out(self.encoder, self.states, [*self.ids][first : first + self._capacity])
            first, number = first + self._capacity, number + 1
            self.states = self.states if number > self._passes else None

    def go_on(self, ids: Sequence[SetId], layout: StateLayout, states: SetStates) -> None:
        """Continue from existing states, to which rows will be added."""
        self.ids, self.states = {set_id: place for place, set_id in enumerate(ids)}, states
        self._use(layout)

    def result(self) -> tuple[StateLayout, SetStates]:
        """Return the states of all sets after a single pass."""
        assert self._layout is not None
        assert self.states is not None
        return self._layout, self.states

    def _choose_layout(self, x: Array) -> StateLayout:
        """Choose how states are kept, on the first elements, and how many fit into memory.

        Raises UsageError if the encoder breaks `mbc.partition`.
        """
        elements = torch.from_numpy(x[: probe.MAX_ELEMENTS]).to(self.encoder.device)
        check_consistent(self.encoder, elements)
        layout = choose_layout(self.encoder, elements)
        if layout.reason:
            self._warn_of_separate_states(layout.reason)
        return self._use(layout)

    def _use(self, layout: StateLayout) -> StateLayout:
        self._layout = layout
        self._capacity = max(1, self._memory // layout.bytes_per_set)
        return layout

    @property
    def _memory(self) -> int:
        return self.memory or int(MEMORY_FRACTION * system.available_bytes())

    @property
    def _passes(self) -> int:
        return max(1, -(-len(self.ids) // max(1, self._capacity)))

    def _read(self, rows: Iterable[GroupRows], first: int, number: int) -> None:
        """Update the states of the sets from `first` on with all their rows."""
        done = 0
        for part in rows:
            if len(part.codes):
                layout = self._layout or self._choose_layout(part.x)
                self.states = self.states or layout.new_states()
                self.progress(done, number, self._passes)  # after the law: the first call starts the clock
                self._add(part, first, self.states, layout.bytes_per_set)
            else:  # a set without elements
                self.ids.update({set_id: len(self.ids) for set_id in part.ids if set_id not in self.ids})
            done += len(part.codes)
            self.progress(done, number, self._passes)
        if self.states is not None:
            self.states.extend(min(len(self.ids) - first, self._capacity))

    def _add(self, rows: GroupRows, first: int, states: SetStates, bytes_per_set: int) -> None:
        ids = self.ids
        if ids and type(next(iter(ids))) is not type(rows.ids[0]):
            raise UsageError(f"set ids are numbers and text, {next(iter(ids))!r} and {rows.ids[0]!r}; use one of them")
        ids.update(zip((set_id for set_id in rows.ids if set_id not in ids), itertools.count(len(ids)), strict=False))
        sets = np.fromiter(map(ids.__getitem__, rows.ids), np.int64, len(rows.ids)) - first
        if self.is_single_pass and len(ids) > self._capacity:
            raise UsageError(
                f"the states of more than {self._capacity:,} sets do not fit into {self._memory / 2**30:.3g} GiB; give "
                "more with --memory GIB, or leave out --states and have the files read several times"
            )
        is_in_pass = (sets >= 0) & (sets < self._capacity)
        if not is_in_pass.all():
            rows, sets = rows.select(is_in_pass), sets[is_in_pass]
        if len(sets):
            states.extend(int(sets.max()) + 1)
            for batch in equal_size_batches(rows, sets, bytes_per_set):
                for x in batch.x.split(max(1, BATCH_BYTES // rows.x.strides[0]), dim=1):  # type: ignore[no-untyped-call]
                    self._update(sets[batch.sets], x.to(self.encoder.device))

    def _update(self, sets: Array, x: Tensor) -> None:
        assert self.states is not None
        try:
            self.states.update(sets, x)
        except NotBatchableError as error:
            assert isinstance(self.states, BatchedStates)
            self._warn_of_separate_states(str(error))
            self.states = self.states.separate()
            self.states.update(sets, x)

    def _warn_of_separate_states(self, reason: str) -> None:
        logger.warning("%s: %s; sets are encoded one at a time, which is slower", self.encoder.name, reason)


def read_out(encoder: GuardedEncoder, states: SetStates, ids: Sequence[SetId]) -> Iterator[EncodedSets]:
    """Yield the encodings of all states. Raises BrokenPluginError as `EncodingFailures` does."""
    first, failures = 0, EncodingFailures()
    for state, count in states.states():

        def encode(rows: slice, state: State = state, count: int = count) -> Array:
            part = state if count == 1 else map_state(lambda tensor: tensor[rows], state)
            return encoder.readout(part).cpu().numpy()

        part_ids = ids[first : first + count]
        yield EncodedSets(part_ids, failures.encode_or_nan(encode, part_ids))
        first += count
    failures.warn()
