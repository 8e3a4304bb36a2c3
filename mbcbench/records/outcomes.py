"""Outcomes of single test items, packed as text so that a record can hold one for every item of a test.

The text is `KIND:LENGTH:DATA`: `b` for booleans, one bit each, or `f` for numbers of half precision; the data are
compressed by zlib and written in base64.
"""

import base64
import binascii
import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOOLEANS, FLOATS = "b", "f"
HALF = np.dtype("<f2")  # the byte order is part of the format
MAX_BYTES = 2**29  # of the outcomes of a test
LARGEST = 60_000.0  # writers clip larger values: half precision ends at 65,504

Outcomes = NDArray[np.bool_] | NDArray[np.float16]


def pack(array: ArrayLike) -> str:
    """Return the outcomes of a test as text.

    array: one value per item, a boolean (right or wrong) or a number (stored in half precision).
    Raises ValueError for values of another kind, for more than one dimension, and for numbers beyond half precision.
    """
    values = np.asarray(array)
    if values.ndim != 1:
        raise ValueError(f"outcomes have shape {values.shape}; give one value per item")
    if values.dtype == np.bool_:
        return _text(BOOLEANS, len(values), np.packbits(values).tobytes())
    if values.dtype.kind not in "fiu":
        raise ValueError(f"outcomes have dtype {values.dtype}; give booleans or real numbers")
    with np.errstate(over="ignore"):
        halves = values.astype(HALF)
    beyond = np.isinf(halves) & np.isfinite(values)
    if beyond.any():
        raise ValueError(f"outcome {values[beyond][0]:g} is beyond half precision (largest: 65504)")
    return _text(FLOATS, len(values), halves.tobytes())


def unpack(text: str) -> Outcomes:
    """Return the array that `pack` has written: of bool or float16. Raises ValueError for any other text."""
    kind, _, rest = text.partition(":")
    length, _, encoded = rest.partition(":")
    if kind not in (BOOLEANS, FLOATS) or not (length.isascii() and length.isdigit()):
        raise ValueError(f"packed outcomes begin with {text[:20]!r}; expected 'b:LENGTH:' or 'f:LENGTH:'")
    count = int(length)
    size = (count + 7) // 8 if kind == BOOLEANS else count * HALF.itemsize
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(encoded, validate=True), min(size, MAX_BYTES) + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"packed outcomes are damaged: {error}") from error
    if len(data) != size:
        raise ValueError(f"packed outcomes are damaged: {len(data)} bytes for {count} items, expected {size}")
    if not unpacking.eof:
        raise ValueError("packed outcomes are damaged: they are cut off")
    if kind == BOOLEANS:
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)
    return np.frombuffer(data, HALF).astype(np.float16)


def _text(kind: str, count: int, data: bytes) -> str:
    return f"{kind}:{count}:{base64.b64encode(zlib.compress(data, 9)).decode()}"
