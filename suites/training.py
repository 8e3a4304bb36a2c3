"""Training: a fixed number of steps, seeds apart for what must be alike and what may differ."""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.state import map_state

X = TypeVar("X")

CLIP = 5.0  # largest norm of the gradient
LAST = 50  # steps whose losses are averaged in the report
POINTS = 25  # of a curve that is kept

Schedule = Literal["warm-cosine", "milestones"]


class Seeds(NamedTuple):
    """Independent seeds of one run: batches are alike for every encoder that shares the run's seed."""

    data: int
    init: int
    noise: int

    @classmethod
    def of(cls, seed: int) -> Self:
        return cls(*(int(s) for s in np.random.SeedSequence(seed).generate_state(3)))


class Trained(NamedTuple):
    """How a training went: seconds, and the loss of each step."""

    seconds: float
    losses: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def loss(self) -> float:
        """The mean loss of the last steps."""
        return statistics.fmean(self.losses[-LAST:])

    def curve(self, points: int = POINTS) -> list[tuple[int, float]]:
        """The mean losses of at most `points` stretches of equal length, each with the step it ends with."""
        length = max(1, math.ceil(self.steps / points))
        ends = [*range(length, self.steps + 1, length)]
        return [(end, statistics.fmean(self.losses[end - length : end])) for end in ends]

    def detail(self, model: nn.Module) -> dict[str, Any]:
        """What a record says of the training of `model`."""
        return {
            "steps": self.steps,
            "train_seconds": self.seconds,
            "ms_per_step": 1000 * self.seconds / self.steps,
            "train_loss": self.loss,
            "parameters": sum(weight.numel() for weight in model.parameters()),
        }


def on(device: torch.device, value: X) -> X:
    """A tensor, or a tuple of tensors and tuples, on a device."""
    return map_state(lambda tensor: tensor.to(device), value)


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters of `model` are."""
    return next(model.parameters()).device


class DivergedError(Exception):
    """The loss is no finite number any more."""


def fit(
    model: nn.Module,
    batches: Iterable[tuple[X, Tensor]],
    loss_of: Callable[[Any, Tensor], Tensor],
    *,
    steps: int,
    lr: float,
    weight_decay: float = 0.0,
    schedule: Schedule = "warm-cosine",
) -> Trained:
    """Train `model`, where it is, on `steps` batches (x, y) by Adam.

    schedule: `lr` is scaled by `warm_cosine` or by `milestones`.
    Raises DivergedError when a loss is not finite.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    factor = warm_cosine if schedule == "warm-cosine" else milestones
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps))
    losses, device = [], device_of(model)
    began = time.perf_counter()
    model.train()
    for step, batch in enumerate(batches, 1):
        x, y = on(device, batch)
        loss = loss_of(model(x), y)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise DivergedError(f"the loss was {losses[-1]} at step {step} of {steps}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        rate.step()
    return Trained(time.perf_counter() - began, tuple(losses))


def warm_cosine(step: int, steps: int) -> float:
    """The factor of the learning rate: up to one in a tenth of the steps, and down to zero along a cosine.

    Without the rise, wide encodings are lost in Adam's first, full-sized steps.
    """
    rise = (step + 1) / max(1, steps // 10)
    return min(1.0, rise) * (1 + math.cos(math.pi * step / steps)) / 2


def milestones(step: int, steps: int) -> float:
    """The factor of the learning rate in the paper's appendix A: a tenth after 0.2, 0.6 and 0.8 of the steps each."""
    return float(0.1 ** sum(step >= share * steps for share in (0.2, 0.6, 0.8)))
