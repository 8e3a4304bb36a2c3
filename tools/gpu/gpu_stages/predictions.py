"""Predictions before anything is measured: memory and operations by fake tensors, time by the roofline of an H100."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mbcbench.protocol.build import get_spec
from mbcbench.suites.resources.prediction import PredictionError, predict_one_piece

from .roofline import H100, Ceilings, Cost, fold_cost

DIM = 64
SIZES = (100_000, 1_000_000)
H100_MEMORY = 80e9
ITEMSIZES = {"float32": 4, "bfloat16": 2}
PRECISIONS = {"highest": "ieee", "high": "tf32x3", "medium": "tf32"}


@dataclass(frozen=True)
class Encoding:
    """Costs of one set in one piece: bytes beside the input, floating-point operations; or why that is unknown."""

    peak_bytes: float | None = None
    flops: float | None = None
    message: str = ""

    def seconds(self, n: int, ceilings: Ceilings = H100) -> float | None:
        """Return the shortest time: each element is read once."""
        if self.flops is None:
            return None
        return Cost(bytes=n * DIM * 4.0, flops=self.flops).seconds(ceilings, "ieee")


Encodings = Mapping[str, Mapping[int, Encoding]]


def predict_encodings(encoders: Iterable[str], sizes: Iterable[int] = SIZES) -> Encodings:
    """Return the predictions of encoders by the number of elements."""
    ns = tuple(sizes)
    return {encoder: {n: _predict(encoder, n) for n in ns} for encoder in encoders}


def _predict(encoder: str, n: int) -> Encoding:
    try:
        prediction = predict_one_piece(get_spec(encoder), n, dim=DIM)
    except PredictionError as error:
        return Encoding(message=str(error))
    return Encoding(peak_bytes=float(prediction.peak_bytes), flops=float(prediction.flops))


def largest_set(encodings: Mapping[int, Encoding], memory: float = H100_MEMORY) -> float | None:
    """Return about how many elements fit: memory grows from the last two sizes on as it does between them."""
    (small, a), (large, b) = sorted(encodings.items())[-2:]
    if a.peak_bytes is None or b.peak_bytes is None:
        return None
    totals = [p + n * DIM * 4 for n, p in ((small, a.peak_bytes), (large, b.peak_bytes))]
    growth = math.log(totals[1] / totals[0]) / math.log(large / small)
    extrapolated = float(large * (memory / totals[1]) ** (1 / growth))
    return min(memory / (DIM * 4), extrapolated)


def fold_seconds(shape: tuple[int, ...], step: str, dtype: str, precision: str, ceilings: Ceilings = H100) -> float:
    """Return the shortest time of a step of the weighted sum."""
    return fold_cost(shape, step, ITEMSIZES[dtype]).seconds(ceilings, PRECISIONS[precision])
