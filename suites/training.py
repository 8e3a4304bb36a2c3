"""Training: a fixed number of steps, seeds apart for what must be alike and what may differ."""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

CLIP = 5.0  # largest norm of the gradient
LAST = 50  # steps whose losses are averaged in the report


class Seeds(NamedTuple):
    """Independent seeds of one run: batches are alike for every encoder that shares the run's seed."""

    data: int
    init: int
    noise: int

    @classmethod
    def of(cls, seed: int) -> Self:
        return cls(*(int(s) for s in np.random.SeedSequence(seed).generate_state(3)))


class Trained(NamedTuple):
    """How a training went: steps, seconds, and the mean loss of its last steps."""

    steps: int
    seconds: float
    loss: float


class DivergedError(Exception):
    """The loss is no finite number any more."""


def fit(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    lr: float,
) -> Trained:
    """Train `model` on `steps` batches (x, y) by Adam, with `lr` scaled by `warm_cosine`.

    Raises DivergedError when a loss is not finite.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, steps))
    losses = []
    began = time.perf_counter()
    model.train()
    for step, (x, y) in enumerate(batches, 1):
        loss = loss_of(model(x), y)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise DivergedError(f"the loss was {losses[-1]} at step {step} of {steps}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
    return Trained(len(losses), time.perf_counter() - began, statistics.fmean(losses[-LAST:]))


def warm_cosine(step: int, steps: int) -> float:
    """The factor of the learning rate: up to one in a tenth of the steps, and down to zero along a cosine.

    Without the rise, wide encodings are lost in Adam's first, full-sized steps.
    """
    rise = (step + 1) / max(1, steps // 10)
    return min(1.0, rise) * (1 + math.cos(math.pi * step / steps)) / 2
