"""Experiment: bias and deviation of the gradients of training on partitions (Section 2.5 of the paper).

Models are in eval mode, so that slots and dropout add no noise: a gradient differs from that of the full set only
because it flows through a part of the set.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.records.cell import Cell
from mbcbench.records.detail import GradientDetail
from mbcbench.records.record import Record, Status

from .metrics import Metric
from .tasks.image_completion.neural_process import NeuralProcess, mean_nll
from .tasks.image_completion.settings import ImageSettings
from .tasks.image_completion.suite import Batch, batches, images_needed, load_images
from .tasks.partitions import Sampling, encode_each_chunk
from .training import Seeds, device_of, fit, to_device
from .training_cells import choose_dataset, run_training, training_cells

ESTIMATORS: tuple[Literal["partition", "unbiased"], ...] = ("partition", "unbiased")
BIAS, DEVIATION = Metric(name="gradient_bias"), Metric(name="gradient_deviation")


@dataclass(frozen=True, kw_only=True)
class GradientSettings(ImageSettings):
    """Settings of a comparison of gradients, after `steps` of training on full sets.

    Parameters
    ----------
    gradient_sizes
        Elements that a gradient flows through.
    partitions
        Random partitions for each size; the gradients of all their chunks are taken.
    """

    partitions: int
    gradient_sizes: tuple[int, ...] = (10, 50, 100)
    test_images: int = 16


PROFILES: dict[Profile, GradientSettings] = {
    "smoke": GradientSettings(seeds=1, steps=2, partitions=1, gradient_sizes=(50,), batch_size=4, train_images=50),
    "quick": GradientSettings(seeds=1, steps=50, partitions=2, gradient_sizes=(20, 100), batch_size=8, targets=64),
    "thorough": GradientSettings(seeds=3, steps=600, partitions=20),
    "paper": GradientSettings(seeds=5, steps=3000, partitions=100),
}


def cells(request: Request) -> list[Cell]:
    """Return one cell per encoder and seed."""
    return gradient_cells(request, PROFILES[request.profile])


def gradient_cells(request: Request, settings: GradientSettings) -> list[Cell]:
    """Return the cells of the given settings."""
    dataset = choose_dataset("patches", request.data, settings.data)
    settings = replace(settings, data=dataset.name, data_sha256=dataset.sha256)
    return training_cells("gradients", dataset.case("patches-32"), request, settings)


def run(cell: Cell) -> Iterable[Record]:
    """Train one model and compare its gradients; two records per estimator and size."""
    return run_training(cell, lambda seeds: _train_and_compare(cell, seeds), BIAS)


def _train_and_compare(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = GradientSettings(**cell.params)
    model, batch, source = _train(cell, settings, seeds)
    full = flat_gradient(model, mean_nll(model(batch[0]), batch[1]))
    generator = torch.Generator().manual_seed(seeds.noise)
    for estimator in ESTIMATORS:
        if estimator == "unbiased" and isinstance(model.encoder, ChunkAggregation):
            message = "a plain encoder has no state, so the rest of a set cannot be encoded without a gradient"
            detail = GradientDetail(estimator=estimator)
            yield cell.record(Status.SKIP, metric=BIAS.name, message=message, detail=detail)
            continue
        for size in settings.gradient_sizes:
            gradients = estimate_gradients(model, batch, Sampling(estimator, size, generator), settings.partitions)
            detail = GradientDetail(
                estimator=estimator,
                gradient_size=size,
                train_size=settings.train_size,
                steps=settings.steps,
                draws=len(gradients),
                data=source,
                full_norm=float(full.norm()),
            )
            bias, deviation = bias_and_deviation(gradients, full)
            yield BIAS.record(cell, bias, detail)
            yield DEVIATION.record(cell, deviation, detail)


def _train(cell: Cell, settings: GradientSettings, seeds: Seeds) -> tuple[NeuralProcess, Batch, str]:
    """Train a model on full sets. Return the model in eval mode, the next batch, and the name of the data set."""
    images, _, source = load_images(settings, cell.seed)
    model = NeuralProcess(get_spec(cell.encoder), seed=seeds.init, hyper=settings.hyper).to(cell.device)
    *training_batches, next_batch = batches(images, replace(settings, steps=settings.steps + 1), seeds.data)
    fit(model, training_batches, mean_nll, steps=settings.steps, lr=settings.lr)
    return model.eval(), to_device(device_of(model), next_batch), source


def estimate_gradients(model: NeuralProcess, batch: Batch, sampling: Sampling, partitions: int) -> Tensor:
    """Return the estimator's gradients for all chunks of random partitions, one gradient per row, in float64."""
    (x, places), y = batch
    gradients = []
    for _ in range(partitions):
        for encoding in encode_each_chunk(model.encoder, model.element, x, sampling):
            loss = mean_nll(model.decode(model.vector(encoding), places), y)
            gradients.append(flat_gradient(model, loss))
    return torch.stack(gradients)


def flat_gradient(model: NeuralProcess, loss: Tensor) -> Tensor:
    """Return the gradient of a loss for all parameters as one vector, in float64."""
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    filled = [torch.zeros_like(weight) if gradient is None else gradient for weight, gradient in pairs]
    return torch.cat([gradient.flatten() for gradient in filled]).double()


def bias_and_deviation(gradients: Tensor, full: Tensor) -> tuple[float, float]:
    """Return |E g - full| / |full| and sqrt(E |g - E g|^2) / |full|, over the rows of `gradients`.

    If chunks have equal sizes, each partition contributes all its outcomes, so the bias of an unbiased estimator is
    only rounding error.
    """
    mean, norm = gradients.mean(dim=0), full.norm()
    deviation = (gradients - mean).square().sum(dim=1).mean().sqrt()
    return float((mean - full).norm() / norm), float(deviation / norm)


SUITE = Suite(
    name="gradients",
    summary="bias and deviation of the gradients of training on partitions, against the gradient of the full set",
    cells=cells,
    run=run,
    needs=images_needed,
    seconds={"smoke": 120, "quick": 300, "thorough": 3600, "paper": 24 * 3600},
)
