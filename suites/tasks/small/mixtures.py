"""Task: fit a mixture of four Gaussians in the plane to a set of points, which are streamed in four orders."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EvaluationDetail, ScoreDetail
from mbcbench.records.record import Record

from ...metrics import NLL
from ...training import Seeds, device_of, fit, to_device
from ...training_cells import TrainingSettings, run_training, training_cells
from ..classifier import SetClassifier

TEST_SEED = 60
K, D = 4, 2
OUTPUTS = K * (1 + 2 * D)  # logits, means and log standard deviations
SPREAD, SCALE = 4.0, 0.3  # centres lie within +-SPREAD, points within about SCALE of them
CHUNK = 64


class Points(NamedTuple):
    """Points of mixtures, `B x n x 2`, and the component of each, `B x n`."""

    x: Tensor
    component: Tensor


@dataclass(frozen=True, kw_only=True)
class MixtureSettings(TrainingSettings):
    """Settings of a training on mixtures.

    Parameters
    ----------
    batch_size
        Sets of a step, all of the same random size.
    sizes
        Smallest and largest number of points in a training set.
    test_sets, test_sizes, test_seed
        The number of sets of each test, their points, and their seed.
    """

    batch_size: int = 16
    sizes: tuple[int, int] = (300, 600)
    test_sets: int = 200
    test_sizes: tuple[int, ...] = (300, 600)
    test_seed: int = TEST_SEED


PROFILES: dict[Profile, MixtureSettings] = {
    "smoke": MixtureSettings(seeds=1, steps=5, batch_size=4, test_sets=4, test_sizes=(300,)),
    "quick": MixtureSettings(seeds=1, steps=200, batch_size=8, test_sets=16, test_sizes=(300,)),
    "thorough": MixtureSettings(seeds=3, steps=3000),
    "paper": MixtureSettings(seeds=5, steps=50_000, lr=1e-3),
}


def cells(request: Request) -> list[Cell]:
    """Return one cell per encoder and seed."""
    return training_cells("mixture-of-gaussians", "plane", request, PROFILES[request.profile])


def run(cell: Cell) -> Iterable[Record]:
    """Train one model and test it; one record per size, in one piece and for each order of the stream."""
    return run_training(cell, lambda seeds: _train_and_test(cell, seeds), NLL)


def draw_points(count: int, n: int, generator: torch.Generator) -> Points:
    """Draw `n` points of each of `count` mixtures.

    Centres are uniform, weights Dirichlet(1), standard deviations 0.5 to 1.5 times SCALE.
    """
    centre = SPREAD * (2 * torch.rand(count, K, D, generator=generator) - 1)
    weight = -torch.rand(count, K, generator=generator).clamp_min(1e-9).log()  # exponential, so Dirichlet if normalized
    component = torch.multinomial(weight, n, replacement=True, generator=generator)
    deviation = SCALE * (0.5 + torch.rand(count, K, D, generator=generator))
    index = component[..., None].expand(-1, -1, D)
    noise = torch.randn(count, n, D, generator=generator)
    return Points(centre.gather(1, index) + deviation.gather(1, index) * noise, component)


def mixture_nll(outputs: Tensor, x: Tensor) -> Tensor:
    """Return -log sum_k pi_k N(x; mu_k, diag(sigma_k^2)), averaged over points, for outputs `B x OUTPUTS`."""
    logits, mean, log_scale = torch.split(outputs, [K, K * D, K * D], dim=1)
    mean = SPREAD * mean.reshape(-1, 1, K, D)
    log_scale = log_scale.reshape(-1, 1, K, D).clamp(-5, 5)
    z = (x[:, :, None] - mean) / log_scale.exp()
    log_density = -(0.5 * z.square() + log_scale + 0.5 * math.log(2 * math.pi)).sum(dim=3)
    log_likelihood: Tensor = (logits.log_softmax(dim=1)[:, None] + log_density).logsumexp(dim=2)
    return -log_likelihood.mean()


def streams(points: Points) -> dict[str, list[Tensor]]:
    """Return the four streams by the name of their order.

    If components have unequal sizes, `one of each component` ends with points of the larger ones.
    """
    by_component = points.component.argsort(dim=1, stable=True)
    by_rank = _rank_within_component(points.component).argsort(dim=1, stable=True)
    return {
        "single points": list(torch.split(points.x, 1, dim=1)),
        "component by component": list(torch.split(_reorder(points.x, by_component), CHUNK, dim=1)),
        "one of each component": list(torch.split(_reorder(points.x, by_rank), K, dim=1)),
        "chunks": list(torch.split(points.x, CHUNK, dim=1)),
    }


def _rank_within_component(component: Tensor) -> Tensor:
    """Return for each point how many points before it belong to its component, `B x n`."""
    member = torch.nn.functional.one_hot(component, K)
    return ((member.cumsum(dim=1) - 1) * member).sum(dim=2)


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order[..., None].expand(-1, -1, D))


def single_gaussian_nll(x: Tensor) -> float:
    """Return the NLL under one Gaussian with the mean and deviations of each set: the baseline."""
    scale = x.std(dim=1, keepdim=True, correction=0).clamp_min(1e-3)
    return float((0.5 + scale.log() + 0.5 * math.log(2 * math.pi)).sum(dim=2).mean())


def _train_and_test(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = MixtureSettings(**cell.params)
    spec = get_spec(cell.encoder)
    model = SetClassifier(spec, dim_in=D, width=64, outputs=OUTPUTS, seed=seeds.init, hyper=settings.hyper)
    model = model.to(cell.device)
    training = fit(model, _batches(settings, seeds.data), mixture_nll, steps=settings.steps, lr=settings.lr)
    training_detail = training.detail(model, data="drawn", train_size=settings.sizes[1])
    for test, nll in _evaluate(model, settings):
        yield NLL.record(cell, nll, ScoreDetail(test=test, training=training_detail))


def _batches(settings: MixtureSettings, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    fewest, most = settings.sizes
    for _ in range(settings.steps):
        n = int(torch.randint(fewest, most + 1, (), generator=generator))
        x = draw_points(settings.batch_size, n, generator).x
        yield x, x


@torch.inference_mode()
def _evaluate(model: SetClassifier, settings: MixtureSettings) -> Iterator[tuple[EvaluationDetail, float]]:
    """Yield every test with its NLL."""
    model.eval()
    for n in settings.test_sizes:
        generator = torch.Generator().manual_seed(settings.test_seed)
        points = to_device(device_of(model), draw_points(settings.test_sets, n, generator))
        baseline = single_gaussian_nll(points.x)
        test = EvaluationDetail(mode="one piece", test_size=n, chunk_size=n, baseline=baseline)
        yield test, float(mixture_nll(model(points.x), points.x))
        for order, chunks in streams(points).items():
            outputs = list(model.stream(chunks))[-1]
            test = EvaluationDetail(
                mode="streamed", test_size=n, chunk_size=chunks[0].shape[1], order=order, baseline=baseline
            )
            yield test, float(mixture_nll(outputs, points.x))


SUITE = Suite(
    name="mixture-of-gaussians",
    summary="fit mixtures of four Gaussians in the plane in one pass: NLL of the points, streamed in four orders",
    cells=cells,
    run=run,
    seconds={"smoke": 60, "quick": 300, "thorough": 3600, "paper": 24 * 3600},
)
