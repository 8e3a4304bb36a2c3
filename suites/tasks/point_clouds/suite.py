"""Task: say what a cloud of points shows, trained on few points, tested on many, whole and streamed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.datasets import MNIST_5K
from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.spec import SlotReadout
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from ...training import Schedule, Seeds, Trained, device_of, fit, on
from ...training_cells import repeated, trial, which_data
from ..classifier import Architecture, SetClassifier
from .data import Task, load
from .sampling import Clouds

TEST_SEED = 20  # of the points that are tested on: the same for every encoder and seed
ELEMENTS = 5_000  # points encoded at a time in a test: bounds its memory
MEASURED = {"metric": "accuracy", "higher_is_better": True}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses: training is the same number of steps, not of seconds, for every encoder.

    architecture, schedule: see `SetClassifier` and `fit`. hyper, readout: the encoder's.
    test_sizes: of sets encoded in one piece; streamed_sizes: of sets streamed in chunks of `chunk_size`.
    """

    seeds: int
    steps: int
    width: int = 64
    architecture: Architecture = "small"
    hyper: Mapping[str, Any] = field(default_factory=dict)
    readout: SlotReadout | None = None
    lr: float = 3e-3
    weight_decay: float = 0.0
    schedule: Schedule = "warm-cosine"
    batch_size: int = 64
    train_size: int = 100
    test_sizes: tuple[int, ...] = (50, 100, 200, 500, 1000)
    streamed_sizes: tuple[int, ...] = (200, 500, 1000)
    chunk_size: int = 100


@dataclass(frozen=True, kw_only=True)
class Digits(Settings):
    """MNIST digits: how many of the images."""

    train_images: int = 4000
    test_images: int = 1000


@dataclass(frozen=True, kw_only=True)
class Shapes(Settings):
    """Shapes of forty classes: how many points of each are drawn beforehand, and how the clouds of a batch are varied.

    augment: turned about the vertical axis by U(-0.1, 0.1) pi and scaled by U(0.8, 1.25) along each (arXiv 1703.06114).
    """

    points: int = 2000
    augment: bool = False
    test_sizes: tuple[int, ...] = (100, 200, 300, 400, 500, 2000)
    streamed_sizes: tuple[int, ...] = (200, 300, 400, 500)


MNIST: dict[Profile, Digits] = {
    "smoke": Digits(seeds=1, steps=5, batch_size=8, train_images=100, test_images=20),
    "quick": Digits(
        seeds=3,
        steps=120,
        lr=5e-3,
        batch_size=16,
        test_images=128,
        test_sizes=(100, 500),
        streamed_sizes=(500,),
    ),
    "thorough": Digits(seeds=5, steps=2000),
    "paper": Digits(seeds=5, steps=12_500, width=256, lr=1e-3),  # 200 epochs
}
CAD: dict[Profile, Shapes] = {
    "smoke": Shapes(seeds=1, steps=5, batch_size=8, test_sizes=(100,), streamed_sizes=(200,)),
    "quick": Shapes(seeds=1, steps=200, lr=5e-3, batch_size=32, test_sizes=(100, 500), streamed_sizes=(500,)),
    "thorough": Shapes(seeds=3, steps=700, batch_size=32, lr=2e-3, test_sizes=(100, 200, 300, 400, 500)),
    "paper": Shapes(
        seeds=5,
        steps=30_800,  # 200 epochs of 9,843 shapes
        width=256,
        architecture="deepsets",
        lr=1e-3,
        weight_decay=5e-4,
        schedule="milestones",
        points=10_000,
        augment=True,
    ),
}


def cells(request: Request) -> list[Cell]:
    """One cell per data set, encoder and seed; the shapes are left out where there is little time."""
    found = digits(request, MNIST[request.profile])
    return found if request.profile in ("smoke", "quick") else found + shapes(request, CAD[request.profile])


def digits(request: Request, settings: Digits) -> list[Cell]:
    """The cells of the case `mnist-points`."""
    more = {"data": MNIST_5K.sha256[:12], "test_seed": TEST_SEED}
    return repeated("point-clouds", "mnist-points", request, settings, **more)


def shapes(request: Request, settings: Shapes) -> list[Cell]:
    """The cells of the case `cad-points`."""
    more = which_data("clouds", request.data)
    return repeated("point-clouds", "cad-points", request, settings, **more, test_seed=TEST_SEED)


def run(cell: Cell) -> Iterable[Record]:
    """Train one classifier and test it: a record per test size and mode."""
    return trial(cell, lambda seeds: _records(cell, seeds), **MEASURED)


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p, task = cell.params, load(cell.case, cell.params)
    model = SetClassifier(
        get_spec(cell.encoder),
        dim_in=task.dim,
        width=p["width"],
        classes=task.classes,
        seed=seeds.init,
        architecture=p["architecture"],
        hyper=p["hyper"],
        readout=p["readout"],
    ).to(cell.device)
    trained = _train(model, task, p, seeds.data)
    detail = {"data": task.source, "train_size": p["train_size"], **trained.detail(model)}
    for test, accuracy in _tests(model, task.test, p):
        yield cell.record(Status.OK, value=accuracy, detail=test | detail, **MEASURED)


def _train(model: nn.Module, task: Task, p: Mapping[str, Any], seed: int) -> Trained:
    generator = torch.Generator().manual_seed(seed)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(p["steps"]):
            which = torch.randint(len(task.labels), (p["batch_size"],), generator=generator)
            yield task.draw(which, p["train_size"], generator), task.labels[which]

    how = {name: p[name] for name in ("steps", "lr", "weight_decay", "schedule")}
    return fit(model, batches(), nn.functional.cross_entropy, **how)


def _tests(model: SetClassifier, clouds: Clouds, p: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
    """What each test was, and the accuracy it gave."""
    for size in p["test_sizes"]:
        yield {"mode": "one piece", "test_size": size, "chunk_size": size}, whole(model, clouds, size)
    chunk = p["chunk_size"]
    streamed_at = streamed(model, clouds, chunk, max(p["streamed_sizes"]))
    for size in p["streamed_sizes"]:
        yield {"mode": "streamed", "test_size": size, "chunk_size": chunk}, streamed_at[size]


@torch.inference_mode()
def whole(model: SetClassifier, clouds: Clouds, size: int) -> float:
    """The accuracy on the first `size` points of each cloud, encoded in one piece."""
    model.eval()
    batches = _batches(model, clouds, size)
    return sum(_correct(model(points[:, :size]), labels) for points, labels in batches) / len(clouds.labels)


@torch.inference_mode()
def streamed(model: SetClassifier, clouds: Clouds, chunk_size: int, largest: int) -> dict[int, float]:
    """The accuracy after each chunk of `chunk_size` points, by the number of points seen, up to `largest`."""
    model.eval()
    correct: Counter[int] = Counter()
    for points, labels in _batches(model, clouds, chunk_size):
        chunks = torch.split(points[:, :largest], chunk_size, dim=1)
        for seen, scores in enumerate(model.stream(chunks), 1):
            correct[min(seen * chunk_size, largest)] += _correct(scores, labels)
    return {seen: count / len(clouds.labels) for seen, count in correct.items()}


def _batches(model: SetClassifier, clouds: Clouds, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The clouds in batches of which `ELEMENTS` points are encoded at a time, `size` from each cloud."""
    count = max(1, ELEMENTS // size)
    for batch in zip(torch.split(clouds.points, count), torch.split(clouds.labels, count), strict=True):
        yield on(device_of(model), batch)


def _correct(scores: Tensor, labels: Tensor) -> int:
    return int((scores.argmax(dim=1) == labels).sum())


SUITE = Suite(
    name="point-clouds",
    summary="classify digits and CAD shapes as clouds of points: trained on 100, tested on more, whole and streamed",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "thorough": 1800, "paper": 24 * 3600},
)

CAD_SUITE = Suite(
    name="cad-points",
    summary="classify shapes as clouds of points: the part of point-clouds that is left out where there is little time",
    cells=lambda request: shapes(request, CAD[request.profile]),
    run=run,
    seconds=SUITE.seconds,
)
