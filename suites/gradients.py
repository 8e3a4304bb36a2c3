"""Experiment: bias and variance of the gradients that training on partitions takes (Section 2.5 of the paper).

In eval(), so that slots and dropout add no noise of their own: what differs from the full set's gradient is due to
the part of the set alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from .tasks.image_completion.neural_process import NeuralProcess, nll
from .tasks.image_completion.pixels import Coordinates
from .tasks.image_completion.suite import batches, load
from .tasks.partitions import Sampling, each_chunk
from .training import Seeds, device_of, fit, on
from .training_cells import repeated, trial, which_data

ESTIMATORS: tuple[Literal["partition", "unbiased"], ...] = ("partition", "unbiased")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses. steps: trained on full sets before gradients are compared.

    train_size: elements of the full set. gradient_sizes: of the part that a gradient is taken through; `partitions`
    random partitions of each are gone through whole.
    """

    seeds: int
    steps: int
    partitions: int
    gradient_sizes: tuple[int, ...] = (10, 50, 100)
    size: int = 32
    train_size: int = 200
    targets: int = 128
    batch_size: int = 16
    lr: float = 2e-3
    coordinates: Coordinates = "centred"
    train_images: int = 8000
    test_images: int = 16
    hyper: Mapping[str, Any] = field(default_factory=dict)


PROFILES: dict[Profile, Settings] = {
    "smoke": Settings(seeds=1, steps=2, partitions=1, gradient_sizes=(50,), batch_size=4, train_images=50),
    "quick": Settings(seeds=1, steps=50, partitions=2, gradient_sizes=(20, 100), batch_size=8, targets=64),
    "thorough": Settings(seeds=3, steps=600, partitions=20),
    "paper": Settings(seeds=5, steps=3000, partitions=100),
}


def cells(request: Request) -> list[Cell]:
    """One cell per encoder and seed."""
    return compared(request, PROFILES[request.profile])


def compared(request: Request, settings: Settings) -> list[Cell]:
    """The cells of any settings."""
    return repeated("gradients", "patches-32", request, settings, **which_data("patches", request.data))


def run(cell: Cell) -> Iterable[Record]:
    """A record of bias and one of variance for each estimator and size of the part."""
    return trial(cell, lambda seeds: _records(cell, seeds), metric="gradient_bias", higher_is_better=False)


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p = cell.params
    model, batch, source = _trained(cell, seeds)
    full = flat_gradient(model, nll(model(batch[0]), batch[1]))
    generator = torch.Generator().manual_seed(seeds.noise)
    for how in ESTIMATORS:
        if how == "unbiased" and isinstance(model.encoder, ChunkAggregation):
            message = "a plain encoder has no state: the rest of a set cannot be encoded apart from its gradient"
            yield cell.record(Status.SKIP, metric="gradient_bias", message=message, detail={"estimator": how})
            continue
        for size in p["gradient_sizes"]:
            sampling = Sampling(how, size, generator)
            drawn = gradients(model, batch, sampling, p["partitions"])
            told = {"estimator": how, "gradient_size": size, "train_size": p["train_size"], "steps": p["steps"]}
            for metric, value in errors(drawn, full).items():
                detail = told | {"draws": len(drawn), "data": source, "full_norm": float(full.norm())}
                yield cell.record(Status.OK, metric=metric, value=value, higher_is_better=False, detail=detail)


def _trained(cell: Cell, seeds: Seeds) -> tuple[NeuralProcess, Any, str]:
    """A model trained on full sets, in eval(), and the batch after its last."""
    p = cell.params
    images, _, source = load(p)
    model = NeuralProcess(get_spec(cell.encoder), seed=seeds.init, hyper=p["hyper"]).to(cell.device)
    steps = list(batches(images, {**p, "steps": p["steps"] + 1}, seeds.data))
    fit(model, steps[:-1], nll, steps=p["steps"], lr=p["lr"])
    return model.eval(), on(device_of(model), steps[-1]), source


def gradients(model: NeuralProcess, batch: Any, sampling: Sampling, partitions: int) -> Tensor:
    """The gradients of an estimator, one row for each chunk of each of so many partitions, in float64."""
    (x, places), y = batch
    encodings = (e for _ in range(partitions) for e in each_chunk(model.encoder, model.element, x, sampling))
    losses = (nll(model.decode(model.vector(encoding), places), y) for encoding in encodings)
    return torch.stack([flat_gradient(model, loss) for loss in losses])


def flat_gradient(model: NeuralProcess, loss: Tensor) -> Tensor:
    """The gradient for all parameters, in float64."""
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    filled = (torch.zeros_like(w) if g is None else g for w, g in zip(parameters, found, strict=True))
    return torch.cat([g.flatten() for g in filled]).double()


def errors(drawn: Tensor, full: Tensor) -> dict[str, float]:
    """Bias |E g - full| / |full|, and deviation sqrt(E |g - E g|^2) / |full|, over all draws.

    For equal chunks all outcomes of each partition are there: an unbiased estimator's bias is rounding alone.
    """
    mean, norm = drawn.mean(dim=0), full.norm()
    spread = (drawn - mean).square().sum(dim=1).mean().sqrt()
    return {"gradient_bias": float((mean - full).norm() / norm), "gradient_deviation": float(spread / norm)}


SUITE = Suite(
    name="gradients",
    summary="bias and deviation of the gradients of training on partitions, against the gradient of the full set",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 300, "thorough": 3600, "paper": 24 * 3600},
)
