"""Checks of an encoder on the first elements of a set."""

import functools
from collections.abc import Sequence

from torch import Tensor

from mbcbench.errors import BrokenPluginError
from mbcbench.protocol.encoder import has_merge
from mbcbench.protocol.state import clone
from mbcbench.streaming.encoder import GuardedEncoder

MAX_ELEMENTS = 1000
TOLERANCE = 1e-3  # relative; rounding in float32 stays far below


def partition_gap(encoder: GuardedEncoder, empty_state: object, x: Tensor) -> float:
    """Return the relative change of the encoding of `x` (`1 x n x d`) when its first element is a chunk of its own."""
    encoding = _encode(encoder, empty_state, [x])
    return relative_gap(encoding, _encode(encoder, empty_state, [x[:, :1], x[:, 1:]]))


def merges_correctly(encoder: GuardedEncoder, empty_state: object, x: Tensor) -> bool:
    """Return True if merging the states of the two halves of `x` gives the encoding of the stream."""
    if not has_merge(encoder.module):
        return False
    middle = x.shape[1] // 2
    halves = [x[:, :middle], x[:, middle:]]
    try:
        encoding = _encode(encoder, empty_state, halves)
        states = [encoder.update(clone(empty_state), [half]) for half in halves]
        merged = encoder.readout(functools.reduce(encoder.merge, states))
    except BrokenPluginError:
        return False
    return relative_gap(encoding, merged) <= TOLERANCE


def _encode(encoder: GuardedEncoder, empty_state: object, chunks: Sequence[Tensor]) -> Tensor:
    return encoder.readout(encoder.update(clone(empty_state), chunks))


def relative_gap(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of two encodings, relative to the first."""
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-30))
