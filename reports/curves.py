"""Speed of convergence, computed from the recorded curve of a training, which has pairs of step and loss."""

import math
from collections.abc import Sequence

import pandas as pd

LOW_LOSS = 0.15  # nats: about half way from the baseline of the large images to the loss of trained models
Curve = Sequence[tuple[int, float]]


def with_speed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `detail.curve_mean` and `detail.log2_seconds`, both missing without a curve.

    table: records with the columns `detail.curve` and `detail.train_seconds`.
    """
    curves = table["detail.curve"].map(lambda curve: curve if isinstance(curve, list | tuple) and curve else None)
    known = curves.notna()
    means = curves[known].map(mean_loss)
    seconds = pd.to_numeric(table["detail.train_seconds"], errors="coerce")[known]
    times = [seconds_until(curve, total) for curve, total in zip(curves[known], seconds, strict=True)]
    logs = [math.log2(time) if time > 0 else math.nan for time in times]
    log2_seconds = pd.Series(logs, index=means.index, dtype=float)
    return table.assign(**{"detail.curve_mean": means.astype(float), "detail.log2_seconds": log2_seconds})


def mean_loss(curve: Curve) -> float:
    """Return the mean loss over all steps: the area under the curve divided by their number."""
    steps = [0, *(step for step, _ in curve)]
    areas = [(step - before) * loss for (step, loss), before in zip(curve, steps, strict=False)]
    return sum(areas) / steps[-1]


def seconds_until(curve: Curve, seconds: float, loss: float = LOW_LOSS) -> float:
    """Return the seconds of training until the loss was as low as `loss`, or NaN if it never was."""
    reached = next((step for step, value in curve if value <= loss), math.nan)
    return reached / curve[-1][0] * seconds
