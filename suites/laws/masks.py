"""Masks in streams: sets may have absent elements in every chunk."""

from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.types import State
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, masks, streams
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import add_part, no_gap, unless_refused

PADDING_SCALE = 1e3
_ORDINARY_SIZES = (2, 3)


class Padded(NamedTuple):
    """Sets with padding between their elements (`B x (n + p) x d`), and which elements are present (`B x (n + p)`)."""

    x: Tensor
    present: Tensor


def pad_sets(x: Tensor, num_padding: int, data: ExampleData, domain: Domain, first: float | None = None) -> Padded:
    """Return `x` with padding at random places; `first` is the value of one padded element, the others are large."""
    batch_size, n, dim = x.shape
    padding = torch.from_numpy(data.rng.standard_normal((batch_size, num_padding, dim))) * PADDING_SCALE
    padding = domain.admit(padding)
    if first is not None:
        padding[:, 0] = first
    positions = torch.arange(n + num_padding).expand(batch_size, -1).numpy()
    shuffled = torch.from_numpy(data.rng.permuted(positions, axis=1))
    # Present elements take the first n indices in order; padding takes the others.
    present = shuffled < n
    sources = torch.where(present, present.cumsum(1) - 1, n + (~present).cumsum(1) - 1)
    everything = torch.cat([x, padding.to(x.dtype)], 1)
    return Padded(everything.gather(1, sources[:, :, None].expand(-1, -1, dim)), present)


def first_padding(subject: Subject, data: ExampleData) -> float | None:
    """Return the value of one masked element, which is not finite in most examples, or None for any finite value."""
    return (torch.nan, torch.inf, 0.0)[data.example.seed % 3] if subject.domain.admits_nonfinite else None


def check_mask(subject: Subject, data: ExampleData) -> Comparison:
    """Masked elements have no influence in any chunk of a stream, even if all elements of a set are masked.

    Source: streams of sets of unequal sizes are padded chunk by chunk; the mask (`B x n_c`) marks what is present.

    Why it matters: a mask that is applied in the first chunk only, a running count that adds the padded size, and a set
    that ends while its neighbours continue are faults that show only in mid-stream. Some padding is NaN or infinity: to
    multiply features by the mask does not hide it, because zero times NaN is NaN.

    How to fix a failure: replace masked entries (`torch.where`) in update, in every chunk, before anything is
    accumulated or counted. Mask logits with `torch.finfo(dtype).min`, at which a running maximum starts too (-inf minus
    -inf is NaN), and multiply the weights by the mask, since exp(0) is 1.
    """
    start = subject.init_state(len(data.x))
    padded = _pad_chunks(subject, data)
    expected = subject.stream(data.chunks, start)
    streamed = unless_refused(lambda: _stream_masked(subject, padded, start))
    if streamed is None:
        # The encoder refuses padding that is not finite with a message. Finite padding must still have no influence.
        padded = [with_finite_padding(chunk) for chunk in padded]
        streamed = _stream_masked(subject, padded, start)
    comparison = subject.compare(streamed, expected, data.x)
    if comparison.is_broken and not all(bool(chunk.x.isfinite().all()) for chunk in padded):
        comparison = comparison._replace(note=_describe_leak(subject, data, padded))
    return add_part(comparison, data, lambda: _compare_with_ended_sets(subject, data, padded, start, expected))


def _pad_chunks(subject: Subject, data: ExampleData) -> list[Padded]:
    """Return the chunks with padding, which is not finite in most examples if the encoder admits that."""
    first = first_padding(subject, data)
    padded = [pad_sets(chunk, int(data.rng.integers(1, 4)), data, subject.domain, first) for chunk in data.chunks]
    data.choices["positions of the padding"] = torch.cat([~chunk.present for chunk in padded], 1)
    if first is not None:
        data.choices["padding"] = f"one {first:g} in each chunk, others of size {PADDING_SCALE:g}"
    return padded


def with_finite_padding(chunk: Padded) -> Padded:
    """Return the same sets with finite padding."""
    return Padded(torch.where(chunk.present[:, :, None], chunk.x, chunk.x.nan_to_num(1.0, 1.0, 1.0)), chunk.present)


def _describe_leak(subject: Subject, data: ExampleData, padded: list[Padded]) -> str:
    """Describe whether finite padding changes the encoding too, of this set or of ordinary ones."""
    example = subject.domain.fit(Example(sizes=_ORDINARY_SIZES, kinds=(0, 0), seed=1))
    other = ExampleData(example, data.x.shape[2], dtype=data.x.dtype)
    ordinary = [pad_sets(chunk, 2, other, subject.domain) for chunk in other.chunks]
    finite = [with_finite_padding(chunk) for chunk in padded]
    return describe_padding(is_finite_fine=not (_changes(subject, data, finite) or _changes(subject, other, ordinary)))


def describe_padding(*, is_finite_fine: bool) -> str:
    """Return the note on padding that changes an encoding if some of it is NaN or infinity."""
    if is_finite_fine:
        return "finite padding is fine, but NaN or infinity in padding reaches the encoding (0 x NaN is NaN)"
    return "padding changes the encoding, with finite values too"


def _changes(subject: Subject, data: ExampleData, padded: list[Padded]) -> bool:
    """Return True if padding changes the encoding of a stream."""
    start = subject.init_state(len(data.x))
    streamed = unless_refused(lambda: _stream_masked(subject, padded, start))
    if streamed is None:
        return False
    return subject.compare(streamed, subject.stream(data.chunks, start), data.x).is_broken


def _stream_masked(subject: Subject, chunks: list[Padded], state: State) -> Tensor:
    for chunk in chunks:
        state = subject.update(state, chunk.x, chunk.present)
    return subject.readout(state)


def _compare_with_ended_sets(
    subject: Subject, data: ExampleData, padded: list[Padded], start: State, expected: Tensor
) -> Comparison:
    """Compare a stream in which one chunk has no elements of some sets with streams without that chunk."""
    position = int(data.rng.integers(len(data.chunks)))
    ended = torch.from_numpy(data.rng.random(len(data.x)) < 0.5)
    others = [*data.chunks[:position], *data.chunks[position + 1 :]]
    if not others or sum(chunk.shape[1] for chunk in others) < subject.domain.min_size:
        return no_gap(data)
    data.choices["chunk that some sets lack"], data.choices["sets that lack it"] = position, ended
    chunk = padded[position]
    cut = [*padded]
    cut[position] = Padded(chunk.x, chunk.present & ~ended[:, None])
    actual = unless_refused(lambda: _stream_masked(subject, cut, start))
    if actual is None:
        return no_gap(data)
    without = subject.stream(others, start)
    is_ended = ended.reshape(-1, *[1] * (expected.dim() - 1))
    comparison = subject.compare(actual, torch.where(is_ended, without, expected), data.x)
    if bool((actual.isnan() & is_ended).any()):
        return comparison._replace(note="a set whose elements are all masked in a chunk encodes to NaN")
    return comparison


MASK = Law(
    id="mbc.mask",
    check=check_mask,
    requires=(streams, masks),
    budget_fraction=0.5,
    max_size=64,
    locate=locate_state(check_mask),
)
