"""Masks in streams: sets may have absent elements in every chunk."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.types import Encoder, State
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, masks, streams
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import add_part, no_gap, unless_raised, unless_refused
from .masked_gradients import compare_gradients
from .mbc import check_merge
from .padded import (
    PADDING_SCALE,
    Padded,
    cut_rows,
    describe_padding,
    first_padding,
    pad_sets,
    with_finite_padding,
)
from .train_mode import compare_padded, seeded_stream

_ORDINARY_SIZES = (2, 3)
_MERGE_LEAKS = "states of masked chunks do not merge to the state of all these chunks"


def check_mask(subject: Subject, data: ExampleData) -> Comparison:
    """Masked elements have no influence in any chunk of a stream, even if all elements of a set are masked.

    Source: streams of sets of unequal sizes are padded chunk by chunk; the mask (`B x n_c`) marks what is present.

    Why it matters: a mask that is applied in the first chunk only, a running count that adds the padded size, and a set
    that ends while its neighbours continue are faults that show only in mid-stream. Some padding is NaN or infinity: to
    multiply features by the mask does not hide it, because zero times NaN is NaN.

    Where the encoder merges, the states of two parts of a masked stream are merged too; one part may have no elements
    of some sets. A masked stream is also tried in train mode, unless the encoder draws random numbers for each chunk
    there or mixes the sets of a batch, and its gradient is compared with that of the stream without padding.

    How to fix a failure: replace masked entries (`torch.where`) in update, in every chunk, before anything is
    accumulated or counted. Mask logits with `torch.finfo(dtype).min`, at which a running maximum starts too (-inf minus
    -inf is NaN), and multiply the weights by the mask, since exp(0) is 1.
    """
    start = subject.init_state(len(data.x))
    padded = _pad_chunks(subject, data)
    expected = subject.stream(data.chunks, pytree.clone(start))
    streamed = unless_refused(lambda: stream_masked(subject, padded, start))
    if streamed is None:
        # The encoder refuses padding that is not finite with a message. Finite padding must still have no influence.
        padded = [with_finite_padding(chunk) for chunk in padded]
        streamed = stream_masked(subject, padded, start)
    comparison = subject.compare(streamed, expected, data.x)
    if comparison.is_broken and not all(bool(chunk.x.isfinite().all()) for chunk in padded):
        comparison = comparison._replace(note=_describe_leak(subject, data, padded))
    comparison = add_part(comparison, data, lambda: _compare_with_ended_sets(subject, data, padded, start, expected))
    if comparison.is_broken:
        return comparison
    with_parts = add_part(comparison, data, lambda: _compare_parts(subject, data, padded, start, expected))
    # A fault that shows in ordinary streams is better explained by one of them.
    return comparison if with_parts.is_broken and _changes_ordinary(subject, data) else with_parts


def _compare_parts(
    subject: Subject, data: ExampleData, padded: list[Padded], start: State, expected: Tensor
) -> Comparison:
    """Compare merged states, and the encodings in train mode or the gradients, with those without padding."""
    comparison = _compare_merged(subject, data, padded, start, expected)
    if not subject.deterministic or comparison.is_broken:
        return comparison
    if data.example.seed % 2:
        return add_part(comparison, data, lambda: _compare_in_train_mode(subject, data))
    return add_part(comparison, data, lambda: _compare_gradients(subject, data))


def _pad_chunks(subject: Subject, data: ExampleData) -> list[Padded]:
    """Return the chunks with padding, which is not finite in most examples if the encoder admits that."""
    first = first_padding(subject, data)
    padded = [pad_sets(chunk, int(data.rng.integers(1, 4)), data, subject.domain, first) for chunk in data.chunks]
    data.choices["positions of the padding"] = torch.cat([~chunk.present for chunk in padded], 1)
    if first is not None:
        data.choices["padding"] = f"one {first:g} in each chunk, others of size {PADDING_SCALE:g}"
    return padded


def _describe_leak(subject: Subject, data: ExampleData, padded: list[Padded]) -> str:
    """Describe whether finite padding changes the encoding too, of this set or of ordinary ones."""
    finite = [with_finite_padding(chunk) for chunk in padded]
    return describe_padding(is_finite_fine=not (_changes(subject, data, finite) or _changes_ordinary(subject, data)))


def _changes_ordinary(subject: Subject, data: ExampleData) -> bool:
    """Return True if finite padding changes the encoding of an ordinary stream."""
    example = subject.domain.fit(Example(sizes=_ORDINARY_SIZES, kinds=(0, 0), seed=1))
    other = ExampleData(example, data.x.shape[2], dtype=data.x.dtype)
    return _changes(subject, other, [pad_sets(chunk, 2, other, subject.domain) for chunk in other.chunks])


def _changes(subject: Subject, data: ExampleData, padded: list[Padded]) -> bool:
    """Return True if padding changes the encoding of a stream."""
    start = subject.init_state(len(data.x))
    streamed = unless_refused(lambda: stream_masked(subject, padded, start))
    if streamed is None:
        return False
    return subject.compare(streamed, subject.stream(data.chunks, pytree.clone(start)), data.x).is_broken


def stream_masked(subject: Subject, chunks: Sequence[Padded], start: State) -> Tensor:
    """Return the encoding of a masked stream."""
    return subject.readout(_masked_state(subject, chunks, start))


def _masked_state(subject: Subject, chunks: Sequence[Padded], start: State) -> State:
    """Return the state of a masked stream. It starts from a copy: mbc.fork judges whether update changes its state."""
    state = pytree.clone(start)
    for chunk in chunks:
        state = subject.update(state, chunk.x, chunk.present)
    return state


def _compare_with_ended_sets(
    subject: Subject, data: ExampleData, padded: list[Padded], start: State, expected: Tensor
) -> Comparison:
    """Compare a stream in which one chunk has no elements of some sets with streams without that chunk."""
    position = int(data.rng.integers(len(data.chunks)))
    ended = torch.from_numpy(data.rng.random(len(data.x)) < 0.5)
    others = [*data.chunks[:position], *data.chunks[position + 1 :]]
    if sum(chunk.shape[1] for chunk in others) < subject.domain.min_size:
        return no_gap(data)
    data.choices["chunk that some sets lack"], data.choices["sets that lack it"] = position, ended
    chunk = padded[position]
    cut = [*padded]
    cut[position] = Padded(chunk.x, chunk.present & ~ended[:, None])
    actual = unless_refused(lambda: stream_masked(subject, cut, start))
    if actual is None:
        return no_gap(data)
    without = subject.stream(others, pytree.clone(start))
    is_ended = ended.reshape(-1, *[1] * (expected.dim() - 1))
    comparison = subject.compare(actual, torch.where(is_ended, without, expected), data.x)
    if bool((actual.isnan() & is_ended).any()):
        return comparison._replace(note="a set whose elements are all masked in a chunk encodes to NaN")
    return comparison


def _compare_merged(
    subject: Subject, data: ExampleData, padded: list[Padded], start: State, expected: Tensor
) -> Comparison:
    """Compare two merged states, of which one lacks some sets, with the streams of the same chunks."""
    if not subject.mergeable or len(padded) < 2:
        return no_gap(data)
    position, side = int(data.rng.integers(1, len(padded))), int(data.rng.integers(2))
    lacking = torch.from_numpy(data.rng.random(len(data.x)) < 0.5)
    others = data.chunks[:position] if side else data.chunks[position:]
    if sum(chunk.shape[1] for chunk in others) < subject.domain.min_size:
        lacking = torch.zeros_like(lacking)
    parts = [padded[:position], padded[position:]]
    parts[side] = [Padded(chunk.x, chunk.present & ~lacking[:, None]) for chunk in parts[side]]
    data.choices["states that are merged"] = f"of {position} and {len(padded) - position} chunks"
    data.choices[f"sets without elements in the {('first', 'second')[side]}"] = lacking

    def merge() -> Tensor:
        return subject.readout(subject.module.merge(*(_masked_state(subject, part, start) for part in parts)))

    try:
        merged = unless_refused(merge)
    except Exception:
        if _merges_wrongly(subject, data):
            return no_gap(data)
        raise
    if merged is None:
        return no_gap(data)
    # The other chunks alone may be too few.
    without = subject.stream(others, pytree.clone(start)) if bool(lacking.any()) else expected
    is_lacking = lacking.reshape(-1, *[1] * (expected.dim() - 1))
    comparison = subject.compare(merged, torch.where(is_lacking, without, expected), data.x)
    if not comparison.is_broken:
        return comparison
    return no_gap(data) if _merges_wrongly(subject, data) else comparison._replace(note=_MERGE_LEAKS)


def _merges_wrongly(subject: Subject, data: ExampleData) -> bool:
    """Return True if states without masks do not merge either, or raise, which mbc.merge judges."""

    def is_refused_or_right(trial: Example) -> bool:
        fresh = ExampleData(trial, data.x.shape[2], dtype=data.x.dtype)
        comparison = unless_refused(partial(check_merge, subject, fresh))
        return comparison is None or not comparison.is_broken

    ordinary = subject.domain.fit(Example(sizes=_ORDINARY_SIZES, kinds=(0, 0), seed=1))
    return not all(unless_raised(partial(is_refused_or_right, trial)) for trial in (data.example, ordinary))


def _compare_in_train_mode(subject: Subject, data: ExampleData) -> Comparison:
    """Compare a masked stream with one that has no padding, in train mode."""
    rows = torch.arange(len(data.x))

    def encode(module: Encoder, x: Tensor, seed: int) -> Tensor:
        return seeded_stream(module, cut_rows(data, x, rows.repeat(len(x) // len(rows))), [], seed)

    def encode_padded(module: Encoder) -> Tensor:
        padded = [pad_sets(chunk, 2, data, subject.domain) for chunk in data.chunks]
        data.choices["positions of the padding in train mode"] = torch.cat([~chunk.present for chunk in padded], 1)
        return seeded_stream(module, [chunk.x for chunk in padded], [chunk.present for chunk in padded], 0)

    return compare_padded(subject, data, encode, encode_padded)


def _compare_gradients(subject: Subject, data: ExampleData) -> Comparison:
    """Compare the gradients of a masked stream with those of one that has no padding."""

    def encode(module: Encoder, chunks: Sequence[Tensor]) -> Tensor:
        state = module.init_state(len(chunks[0]))
        for chunk in chunks:
            state = module.update(state, chunk)
        out: Tensor = module.readout(state)
        return out

    def encode_padded(chunks: Sequence[Padded], like: Tensor) -> Tensor:
        state = subject.init_state(len(like))
        for chunk in chunks:
            state = subject.update(state, chunk.x, chunk.present)
        return subject.readout(state)

    return compare_gradients(subject, data, lambda x, rows: cut_rows(data, x, rows), encode, encode_padded)


MASK = Law(
    id="mbc.mask",
    check=check_mask,
    requires=(streams, masks),
    budget_fraction=0.5,
    max_size=64,
    locate=locate_state(check_mask),
)
