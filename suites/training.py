"""Training: a fixed number of optimizer steps under independent seeds for data, weights and noise."""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.state import map_state
from mbcbench.records.detail import TrainingDetail
from mbcbench.types import Encoder

X = TypeVar("X")

MAX_GRADIENT_NORM = 5.0
FINAL_STEPS = 50  # steps whose losses `TrainingResult.loss` averages
CURVE_POINTS, CURVE_DIGITS = 25, 4

Schedule = Literal["warm-cosine", "milestones"]


class Seeds(NamedTuple):
    """Independent seeds of one training. Encoders that share a cell's seed see the same batches."""

    data: int
    init: int
    noise: int

    @classmethod
    def of(cls, seed: int) -> Self:
        """Derive the seeds from the cell's seed."""
        return cls(*(int(s) for s in np.random.SeedSequence(seed).generate_state(3)))


class TrainingResult(NamedTuple):
    """Duration of a training in seconds, and the loss of each step."""

    seconds: float
    losses: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def loss(self) -> float:
        """Mean loss of the last `FINAL_STEPS` steps."""
        return statistics.fmean(self.losses[-FINAL_STEPS:])

    def curve(self, points: int = CURVE_POINTS) -> list[tuple[int, float]]:
        """Return at most `points` pairs (step, mean loss of the steps since the previous pair)."""
        length = max(1, math.ceil(self.steps / points))
        ends = range(length, self.steps + 1, length)
        return [(end, round(statistics.fmean(self.losses[end - length : end]), CURVE_DIGITS)) for end in ends]

    def detail(self, model: nn.Module, *, data: str, train_size: int, baseline: float | None = None) -> TrainingDetail:
        """Return the detail of records of the training of `model` on sets of `train_size` elements.

        baseline: the training loss of the best prediction that ignores the set.
        """
        return TrainingDetail(
            data=data,
            train_size=train_size,
            steps=self.steps,
            train_seconds=self.seconds,
            ms_per_step=1000 * self.seconds / self.steps,
            train_loss=self.loss,
            parameters=sum(weight.numel() for weight in model.parameters()),
            curve=self.curve(),
            train_baseline=baseline,
        )


def to_device(device: torch.device, value: X) -> X:
    """Move a tensor, or all tensors in nested tuples, to a device."""
    return map_state(lambda tensor: tensor.to(device), value)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the parameters of `model`."""
    return next(model.parameters()).device


class DivergedError(Exception):
    """Raised when a loss is not finite."""


def fit(
    model: nn.Module,
    batches: Iterable[tuple[X, Tensor]],
    loss_of: Callable[[Encoder, Tensor], Tensor],
    *,
    steps: int,
    lr: float,
    weight_decay: float = 0.0,
    schedule: Schedule = "warm-cosine",
) -> TrainingResult:
    """Train a model in place with Adam, on its device.

    Parameters
    ----------
    model
        Model, which is called with the `x` of each batch.
    batches
        `steps` pairs (x, y) on any device; `x` is a tensor or a tuple of tensors.
    loss_of
        Function of `model(x)` and `y` that returns the loss.
    steps
        Number of batches; also the length of the schedule.
    lr, weight_decay
        Largest learning rate, and weight decay, of Adam.
    schedule
        Factor of the learning rate: "warm-cosine" (`warm_cosine`) or "milestones" (`milestones`).

    Returns
    -------
    TrainingResult
        The loss of each step, and the seconds that the training took (see `clock`).

    Raises
    ------
    DivergedError
        If a loss is not finite.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    factor = warm_cosine if schedule == "warm-cosine" else milestones
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps))
    losses, device = [], device_of(model)
    start = clock(device)
    model.train()
    for step, batch in enumerate(batches, 1):
        x, y = to_device(device, batch)
        loss = loss_of(model(x), y)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise DivergedError(f"the loss was {losses[-1]} at step {step} of {steps}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        scheduler.step()
    return TrainingResult(clock(device) - start, tuple(losses))


def clock(device: torch.device) -> float:
    """Return seconds of processor time, which other programs hardly change, or seconds of real time for a GPU."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def warm_cosine(step: int, steps: int) -> float:
    """Return a cosine that falls from 1 to 0, times a factor that rises to 1 over a tenth of the steps.

    Without the warm-up, models of wide encodings do not recover from Adam's first steps, which have full size.
    """
    rise = (step + 1) / max(1, steps // 10)
    return min(1.0, rise) * (1 + math.cos(math.pi * step / steps)) / 2


def milestones(step: int, steps: int) -> float:
    """Return the factor of the paper's appendix A: divided by 10 after 20, 60 and 80 % of the steps."""
    return float(0.1 ** sum(step >= fraction * steps for fraction in (0.2, 0.6, 0.8)))
