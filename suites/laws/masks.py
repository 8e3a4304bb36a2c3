"""Masks in streams: sets may have absent elements in every chunk."""

from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.types import State
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Law, masks, streams
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import add_part, no_gap, unless_refused

PADDING_SCALE = 1e3


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


def check_mask(subject: Subject, data: ExampleData) -> Comparison:
    """Masked elements have no influence in any chunk of a stream, even if all elements of a set are masked.

    Source: streams of sets of unequal sizes are padded chunk by chunk; the mask (`B x n_c`) marks what is present.

    Why it matters: a mask that is applied in the first chunk only, a running count that adds the padded size, and a set
    that ends while its neighbours continue are faults that show only in mid-stream.

    How to fix a failure: apply the mask in update, to every chunk, before anything is accumulated or counted. Mask
    logits with `torch.finfo(dtype).min`, at which a running maximum starts too (-inf minus -inf is NaN), and multiply
    the weights by the mask, since exp(0) is 1.
    """
    start = subject.init_state(len(data.x))
    padded = [pad_sets(chunk, int(data.rng.integers(1, 4)), data, subject.domain) for chunk in data.chunks]
    data.choices["positions of the padding"] = torch.cat([~chunk.present for chunk in padded], 1)
    expected = subject.stream(data.chunks, start)
    comparison = subject.compare(_stream_masked(subject, padded, start), expected, data.x)
    return add_part(comparison, data, lambda: _compare_with_ended_sets(subject, data, padded, start, expected))


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
