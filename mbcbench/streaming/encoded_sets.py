"""Encodings of many sets, and of sets for which the encoder raises."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mbcbench.errors import BrokenPluginError
from mbcbench.streaming.group_rows import SetId
from mbcbench.streaming.sources.base import Array

logger = logging.getLogger(__name__)


class EncodedSets(NamedTuple):
    """Encodings of consecutive sets: their ids, and `B x ...` numbers."""

    ids: Sequence[SetId]
    encodings: Array


class EncodingFailures:
    """Sets for which the encoder raises. They are encoded as NaN, with a warning."""

    def __init__(self) -> None:
        self.count = 0
        self._shape: tuple[int, ...] | None = None

    def encode_or_nan(self, encode: Callable[[slice], Array], ids: Sequence[SetId]) -> Array:
        """Return the encodings of sets, together or, if that fails, one by one.

        encode: function of a slice of the sets that returns their encodings.
        Raises BrokenPluginError if none of the first sets can be encoded.
        """
        results = _encode_all_or_each(encode, len(ids))
        errors = [(place, result) for place, result in enumerate(results) if isinstance(result, BrokenPluginError)]
        if errors and not self.count:
            place, error = errors[0]
            logger.warning("warning: set %r has no encoding: %s", ids[place], error)
        self.count += len(errors)
        encodings = [result for result in results if not isinstance(result, BrokenPluginError)]
        if not errors:
            self._shape = encodings[0].shape[1:]
            return encodings[0]
        if self._shape is None and not encodings:
            raise errors[0][1]
        self._shape = encodings[0].shape[1:] if encodings else self._shape
        missing = np.full((1, *(self._shape or ())), np.nan, np.float32)
        return np.concatenate([missing if isinstance(result, BrokenPluginError) else result for result in results])

    def warn(self) -> None:
        """Warn of the number of sets without an encoding, unless the one that was named is the only one."""
        if self.count > 1:
            logger.warning("warning: %d sets have no encoding: their numbers are NaN", self.count)


def _encode_all_or_each(encode: Callable[[slice], Array], count: int) -> list[Array | BrokenPluginError]:
    try:
        return [encode(slice(0, count))]
    except BrokenPluginError as error:
        if count == 1:
            return [error]
    results = list[Array | BrokenPluginError]()
    for place in range(count):
        try:
            results.append(encode(slice(place, place + 1)))
        except BrokenPluginError as error:
            results.append(error)
    return results
