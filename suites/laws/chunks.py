"""Locate submodules that treat the elements of a chunk differently from those of the full set."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.types import Encoder, State
from mbcbench.verify.call_recording import CallKey, Calls
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.layout import Alignment, relative_gap
from mbcbench.verify.subject import Subject
from mbcbench.verify.whole_pass import DIFFER, WholePass, record

_MAX_CHUNKS = 16
_ORDINARY_SIZES = (2, 3)
_MAX_REPAIRS = 8


class _Stream(NamedTuple):
    """Calls of submodules for each chunk of a stream, and its encoding."""

    calls: Sequence[Calls]
    encoding: Tensor


class _Finding(NamedTuple):
    """The submodule that makes a stream differ from the full set, if any, and whether they differ at all."""

    culprit: str
    is_broken: bool


def locate_in_chunks(subject: Subject, data: ExampleData, fault: str) -> str:
    """Return the first submodule whose outputs for the elements of a chunk differ from those for the full set.

    A stream may have such a submodule and still be correct, since later steps can compensate. The submodule of a stream
    is therefore named only if the encoding is that of the full set once this submodule, and the next ones like it,
    return their outputs for the full set, also on normal data, where nothing agrees by chance. The chunks of a plain
    encoder are independent. On equal elements, a faulty submodule may have no effect, so normal data decide.
    """
    if not subject.deterministic:
        return ""
    ordinary = ExampleData(subject.domain.fit(Example(sizes=_ORDINARY_SIZES)), subject.dim_in)
    here, is_plain = _examine(subject, data, fault), isinstance(subject.module, ChunkAggregation)
    if is_plain and here.culprit:
        return here.culprit
    elsewhere = _examine(subject, ordinary, fault)
    if is_plain:
        return elsewhere.culprit
    return here.culprit if here.culprit == elsewhere.culprit or not elsewhere.is_broken else ""


def _examine(subject: Subject, data: ExampleData, fault: str) -> _Finding:
    if len(data.chunks) > _MAX_CHUNKS:
        return _Finding("", is_broken=True)
    batch_size, n = data.x.shape[:2]
    start = subject.init_state(batch_size)
    whole = WholePass(subject.module, _update(start, data.x), data.x, _encode)
    expected = subject.copy().readout(whole.calls.result)
    positions = torch.split(data.order.expand(batch_size, n), list(data.example.sizes), dim=1)
    alignments = [Alignment(torch.arange(batch_size), elements, batch_size, n) for elements in positions]
    # A submodule that sorts has as many outputs as elements, but no output belongs to an element.
    sorting = whole.ignoring_order(record(subject.module, _update(start, data.x.flip(1))))
    known: list[CallKey] = []
    while len(known) <= _MAX_REPAIRS:
        stream = _stream(subject, data, whole, alignments, start, known)
        if relative_gap(stream.encoding, expected) < DIFFER:
            return _Finding(whole.describe(known[0], fault) if known else "", is_broken=bool(known))
        keys = [
            whole.first_to_blame(calls, alignment, elements_only=True, known={*known, *sorting})
            for calls, alignment in zip(stream.calls, alignments, strict=True)
        ]
        key = whole.first(keys)
        if key is None:
            break
        known.append(key)
    is_plain = isinstance(subject.module, ChunkAggregation)  # a plain encoder need not agree under any aggregation
    return _Finding(whole.describe(known[0], fault) if known and is_plain else "", is_broken=True)


def _stream(
    subject: Subject,
    data: ExampleData,
    whole: WholePass,
    alignments: Sequence[Alignment],
    state: State,
    repaired: Sequence[CallKey],
) -> _Stream:
    """Stream the chunks, with some calls of submodules returning the outputs for the full set."""
    recorded = []
    for chunk, alignment in zip(data.chunks, alignments, strict=True):
        patch = whole.repairing(repaired, alignment, elements_only=True)
        calls = record(subject.module, _update(state, chunk), patch)
        recorded.append(calls)
        state = calls.result
    return _Stream(recorded, subject.copy().readout(state))


def _update(state: State, x: Tensor) -> Callable[[Encoder], State]:
    return lambda module: module.update(pytree.clone(state), x)


def _encode(module: Encoder, x: Tensor) -> State:
    return module.update(module.init_state(len(x)), x)
