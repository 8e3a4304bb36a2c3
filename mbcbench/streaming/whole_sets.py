"""Encode many sets, each in one piece, from rows that are sorted by set: for encoders that do not stream."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from torch import Tensor

from mbcbench.errors import UsageError
from mbcbench.streaming.encoded_sets import EncodedSets, EncodingFailures
from mbcbench.streaming.encoder import GuardedEncoder
from mbcbench.streaming.group_rows import GroupRows, SetId, equal_size_batches
from mbcbench.streaming.sources.base import Array


def encode_whole_sets(
    encoder: GuardedEncoder, rows: Iterable[GroupRows], progress: Callable[[int], None] = lambda rows: None
) -> Iterator[EncodedSets]:
    """Yield the encodings of sets, each held in memory as a whole. The rows of a set must be adjacent.

    progress: called with the number of rows read so far.
    Raises UsageError if a set continues after another has begun, and BrokenPluginError as `EncodingFailures` does.
    """
    ended, failures, done = set[SetId](), EncodingFailures(), 0
    for complete in _complete_sets(rows):
        if not ended.isdisjoint(complete.ids):
            set_id = next(set_id for set_id in complete.ids if set_id in ended)
            raise UsageError(f"the rows of set {set_id!r} do not follow one another; sort the table by set")
        ended.update(complete.ids)
        yield EncodedSets(complete.ids, _encode(encoder, complete, failures))
        done += len(complete.x)
        progress(done)
    failures.warn()


def _complete_sets(rows: Iterable[GroupRows]) -> Iterator[GroupRows]:
    """Yield all rows in parts that do not cut a set, unless its rows are not adjacent."""
    open_rows = list[GroupRows]()  # rows of the last set, which may continue
    for part in rows:
        if not len(part.ids):
            continue
        if (np.diff(part.codes) < 0).any():
            set_id = part.ids[int(part.codes[int((np.diff(part.codes) < 0).argmax()) + 1])]
            raise UsageError(f"the rows of set {set_id!r} do not follow one another; sort the table by set")
        if open_rows and part.ids[0] != open_rows[0].ids[0]:
            yield _join(open_rows)
            open_rows = []
        last = len(part.ids) - 1
        row = int(np.searchsorted(part.codes, last))
        if last:
            yield _join([*open_rows, GroupRows(part.ids[:last], part.codes[:row], part.x[:row])])
            open_rows = []
        open_rows.append(GroupRows(part.ids[last:], part.codes[row:] - last, part.x[row:]))
    if open_rows:
        yield _join(open_rows)


def _join(parts: list[GroupRows]) -> GroupRows:
    """Return the rows of several parts, of which all but the last belong to the first set of the last part."""
    if len(parts) == 1:
        return parts[0]
    before = sum(len(part.codes) for part in parts[:-1])
    codes = np.concatenate([np.zeros(before, parts[-1].codes.dtype), parts[-1].codes])
    return GroupRows(parts[-1].ids, codes, np.concatenate([part.x for part in parts]))


def _encode(encoder: GuardedEncoder, rows: GroupRows, failures: EncodingFailures) -> Array:
    """Return the encodings of complete sets; sets of the same size are encoded together."""
    encodings = list[Array]()
    order = list[Array]()
    for sets, x in equal_size_batches(rows, np.arange(len(rows.ids)), 1):

        def encode(part: slice, x: Tensor = x) -> Array:
            return encoder.encode(x[part].to(encoder.device)).cpu().numpy()

        encodings.append(failures.encode_or_nan(encode, [rows.ids[number] for number in sets]))
        order.append(sets)
    result: Array = np.concatenate(encodings)[np.argsort(np.concatenate(order))]
    return result
