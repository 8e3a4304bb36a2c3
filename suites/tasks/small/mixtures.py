"""Task: fit a mixture of four Gaussians in the plane to a set of points at once, the points streamed in four orders."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from ...training import Seeds, device_of, fit, on
from ...training_cells import repeated, trial
from ..classifier import SetClassifier

TEST_SEED = 60
K, D = 4, 2
OUTPUTS = K * (1 + 2 * D)
SPREAD, SCALE = 4.0, 0.3  # centres lie within +-SPREAD, points about SCALE around them
CHUNK = 64
MEASURED = {"metric": "nll", "unit": "nats", "higher_is_better": False}


class Points(NamedTuple):
    """Points of mixtures, `B x n x 2`, and the component of each, `B x n`."""

    x: Tensor
    component: Tensor


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses. sizes: the fewest and the most points of a set. hyper: of the encoder."""

    seeds: int
    steps: int
    lr: float = 3e-3
    batch_size: int = 16
    sizes: tuple[int, int] = (300, 600)
    test_sets: int = 200
    test_sizes: tuple[int, ...] = (300, 600)
    hyper: Mapping[str, Any] = field(default_factory=dict)


PROFILES: dict[Profile, Settings] = {
    "smoke": Settings(seeds=1, steps=5, batch_size=4, test_sets=4, test_sizes=(300,)),
    "quick": Settings(seeds=1, steps=200, batch_size=8, test_sets=16, test_sizes=(300,)),
    "thorough": Settings(seeds=3, steps=3000),
    "paper": Settings(seeds=5, steps=50_000, lr=1e-3),
}


def cells(request: Request) -> list[Cell]:
    """One cell per encoder and seed."""
    return repeated("mixture-of-gaussians", "plane", request, PROFILES[request.profile], test_seed=TEST_SEED)


def run(cell: Cell) -> Iterable[Record]:
    """Train one model and test it: a record per size, in one piece and for each order of the stream."""
    return trial(cell, lambda seeds: _records(cell, seeds), **MEASURED)


def draw(count: int, n: int, generator: torch.Generator) -> Points:
    """n points of each of `count` mixtures: centres uniform, shares Dirichlet(1), deviations 0.5 to 1.5 of SCALE."""
    centre = SPREAD * (2 * torch.rand(count, K, D, generator=generator) - 1)
    share = -torch.rand(count, K, generator=generator).clamp_min(1e-9).log()
    component = torch.multinomial(share, n, replacement=True, generator=generator)
    deviation = SCALE * (0.5 + torch.rand(count, K, D, generator=generator))
    at = component[..., None].expand(-1, -1, D)
    noise = torch.randn(count, n, D, generator=generator)
    return Points(centre.gather(1, at) + deviation.gather(1, at) * noise, component)


def mixture_nll(outputs: Tensor, x: Tensor) -> Tensor:
    """-mean over points of log sum_k pi_k N(x; mu_k, diag(sigma_k^2)), for outputs `B x OUTPUTS`."""
    logits, mean, log_scale = torch.split(outputs, [K, K * D, K * D], dim=1)
    mean = SPREAD * mean.reshape(-1, 1, K, D)
    log_scale = log_scale.reshape(-1, 1, K, D).clamp(-5, 5)
    z = (x[:, :, None] - mean) / log_scale.exp()
    log_density = -(0.5 * z.square() + log_scale + 0.5 * math.log(2 * math.pi)).sum(dim=3)
    out: Tensor = (logits.log_softmax(dim=1)[:, None] + log_density).logsumexp(dim=2)
    return -out.mean()


def orders(points: Points) -> dict[str, list[Tensor]]:
    """The four streams: single points, component by component, one of each component at a time, and plain chunks.

    The points of a set whose components are not equally large end with chunks of what is left.
    """
    by_component = points.component.argsort(dim=1, stable=True)
    turn = _turns(points.component).argsort(dim=1, stable=True)
    return {
        "single points": list(torch.split(points.x, 1, dim=1)),
        "component by component": list(torch.split(_arranged(points.x, by_component), CHUNK, dim=1)),
        "one of each component": list(torch.split(_arranged(points.x, turn), K, dim=1)),
        "chunks": list(torch.split(points.x, CHUNK, dim=1)),
    }


def _turns(component: Tensor) -> Tensor:
    """For each point how many of its component stand before it, `B x n`."""
    member = torch.nn.functional.one_hot(component, K)
    return ((member.cumsum(dim=1) - 1) * member).sum(dim=2)


def _arranged(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order[..., None].expand(-1, -1, D))


def single_gaussian(x: Tensor) -> float:
    """The NLL under one Gaussian with each set's own mean and deviations: the baseline."""
    scale = x.std(dim=1, keepdim=True, correction=0).clamp_min(1e-3)
    return float((0.5 + scale.log() + 0.5 * math.log(2 * math.pi)).sum(dim=2).mean())


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p = cell.params
    how = {"dim_in": D, "width": 64, "classes": OUTPUTS, "seed": seeds.init, "hyper": p["hyper"]}
    model = SetClassifier(get_spec(cell.encoder), **how).to(cell.device)
    trained = fit(model, _batches(p, seeds.data), mixture_nll, steps=p["steps"], lr=p["lr"])
    detail = {"data": "drawn", "train_size": p["sizes"][1], **trained.detail(model)}
    for test, value in _tests(model, p):
        yield cell.record(Status.OK, value=value, detail=test | detail, **MEASURED)


def _batches(p: Mapping[str, Any], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    fewest, most = p["sizes"]
    for _ in range(p["steps"]):
        n = int(torch.randint(fewest, most + 1, (), generator=generator))
        x = draw(p["batch_size"], n, generator).x
        yield x, x


@torch.inference_mode()
def _tests(model: SetClassifier, p: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
    model.eval()
    for n in p["test_sizes"]:
        points = on(device_of(model), draw(p["test_sets"], n, torch.Generator().manual_seed(p["test_seed"])))
        told = {"test_size": n, "baseline": single_gaussian(points.x)}
        yield told | {"mode": "one piece", "chunk_size": n}, float(mixture_nll(model(points.x), points.x))
        for order, chunks in orders(points).items():
            outputs = list(model.stream(chunks))[-1]
            test = {"mode": "streamed", "order": order, "chunk_size": chunks[0].shape[1]}
            yield told | test, float(mixture_nll(outputs, points.x))


SUITE = Suite(
    name="mixture-of-gaussians",
    summary="fit mixtures of four Gaussians in the plane in one go: NLL of the points, streamed in four orders",
    cells=cells,
    run=run,
    seconds={"smoke": 60, "quick": 300, "thorough": 3600, "paper": 24 * 3600},
)
