"""Task: classify point clouds, with training on small sets and tests on large ones, in one piece and streamed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from mbcbench.datasets import MNIST_5K
from mbcbench.execution.suite import DataNeed, Profile, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EvaluationDetail, ScoreDetail
from mbcbench.records.record import Record

from ...metrics import ACCURACY
from ...training import Seeds, TrainingResult, device_of, fit, to_device
from ...training_cells import choose_dataset, run_training, training_cells
from ..classifier import SetClassifier
from ..standard.plan import add_standard
from .data import PointCloudTask, load
from .sampling import LabelledClouds
from .settings import DIGIT_PROFILES, SHAPE_PROFILES, DigitCloudSettings, PointCloudSettings, ShapeCloudSettings
from .standard import TASK

SECONDS: dict[Profile, float] = {"smoke": 120, "quick": 600, "thorough": 1800, "paper": 24 * 3600}
POINTS_AT_A_TIME = 5_000  # in tests, to bound their memory


def cells(request: Request) -> list[Cell]:
    """Return the cells of the digits and, in the longer profiles, of the shapes."""
    digits = digit_cells(request, DIGIT_PROFILES[request.profile])
    return digits if request.profile == "smoke" else digits + _shape_cells_of_profile(request)


def digit_cells(request: Request, settings: DigitCloudSettings) -> list[Cell]:
    """Return the cells of the case `mnist-points`."""
    return training_cells("point-clouds", "mnist-points", request, replace(settings, data=MNIST_5K.sha256[:12]))


def shape_cells(request: Request, settings: ShapeCloudSettings) -> list[Cell]:
    """Return the cells of the case `cad-points`."""
    dataset = choose_dataset("clouds", request.data, settings.data)
    settings = replace(settings, data=dataset.name, data_sha256=dataset.sha256)
    return training_cells("point-clouds", dataset.case("cad-points"), request, settings)


def settings_of(cell: Cell) -> PointCloudSettings:
    """Return the settings of a cell; only shapes have points that are drawn beforehand."""
    if "points" in cell.params:
        return ShapeCloudSettings(**cell.params)
    return DigitCloudSettings(**cell.params)


def _shape_cells_of_profile(request: Request) -> list[Cell]:
    return shape_cells(request, SHAPE_PROFILES[request.profile])


def needs(cell: Cell) -> list[DataNeed]:
    """Return the data set of a cell: of digits, the built-in one."""
    if "points" in cell.params:
        return [DataNeed(name=cell.params["data"], arguments={"points": cell.params["points"]})]
    return [DataNeed(name=MNIST_5K.name)]


def run(cell: Cell) -> Iterable[Record]:
    """Train one classifier and test it; one record per test size and mode."""
    return run_training(cell, lambda seeds: _train_and_test(cell, seeds), ACCURACY)


def _train_and_test(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = settings_of(cell)
    task = load(settings, split=cell.seed)
    model = SetClassifier(
        get_spec(cell.encoder),
        dim_in=task.dim,
        width=settings.width,
        outputs=task.classes,
        seed=seeds.init,
        architecture=settings.architecture,
        hyper=settings.hyper,
        readout=settings.readout,
    ).to(cell.device)
    training = train(model, task, settings, seeds.data)
    training_detail = training.detail(model, data=task.source, train_size=settings.train_size)
    for test, accuracy in _evaluate(model, task.test, settings):
        yield ACCURACY.record(cell, accuracy, ScoreDetail(test=test, training=training_detail))


def train(model: nn.Module, task: PointCloudTask, settings: PointCloudSettings, seed: int) -> TrainingResult:
    """Train a classifier of point clouds in place."""
    return fit(
        model,
        batches(task, settings, seed),
        nn.functional.cross_entropy,
        steps=settings.steps,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        schedule=settings.schedule,
    )


def batches(task: PointCloudTask, settings: PointCloudSettings, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random clouds, `batch_size x train_size x dim`, and their labels for each step."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(settings.steps):
        indices = torch.randint(len(task.labels), (settings.batch_size,), generator=generator)
        yield task.draw(indices, settings.train_size, generator), task.labels[indices]


def _evaluate(
    model: SetClassifier, clouds: LabelledClouds, settings: PointCloudSettings
) -> Iterator[tuple[EvaluationDetail, float]]:
    """Yield every test with its accuracy."""
    for size in settings.test_sizes:
        test = EvaluationDetail(mode="one piece", test_size=size, chunk_size=size)
        yield test, accuracy_one_piece(model, clouds, size)
    by_size = accuracies_streamed(model, clouds, settings.chunk_size, max(settings.streamed_sizes))
    for size in settings.streamed_sizes:
        yield EvaluationDetail(mode="streamed", test_size=size, chunk_size=settings.chunk_size), by_size[size]


@torch.inference_mode()
def accuracy_one_piece(model: SetClassifier, clouds: LabelledClouds, size: int) -> float:
    """Return the accuracy on the first `size` points of each cloud, encoded in one piece."""
    model.eval()
    test_batches = _test_batches(model, clouds, size)
    return sum(_count_correct(model(points[:, :size]), labels) for points, labels in test_batches) / len(clouds.labels)


@torch.inference_mode()
def accuracies_streamed(
    model: SetClassifier, clouds: LabelledClouds, chunk_size: int, largest: int
) -> dict[int, float]:
    """Return the accuracy after each chunk of `chunk_size` points, by the number of points seen, up to `largest`."""
    model.eval()
    correct: Counter[int] = Counter()
    for points, labels in _test_batches(model, clouds, chunk_size):
        chunks = torch.split(points[:, :largest], chunk_size, dim=1)
        for count, scores in enumerate(model.stream(chunks), 1):
            correct[min(count * chunk_size, largest)] += _count_correct(scores, labels)
    return {size: number / len(clouds.labels) for size, number in correct.items()}


def _test_batches(model: SetClassifier, clouds: LabelledClouds, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield so many clouds at a time that the first `size` points of each are `POINTS_AT_A_TIME` together."""
    count = max(1, POINTS_AT_A_TIME // size)
    for batch in zip(torch.split(clouds.points, count), torch.split(clouds.labels, count), strict=True):
        yield to_device(device_of(model), batch)


def _count_correct(scores: Tensor, labels: Tensor) -> int:
    return int((scores.argmax(dim=1) == labels).sum())


_SUITE = Suite(
    name="point-clouds",
    summary="classify digits and CAD shapes as clouds of points: trained on 100, tested on more, whole and streamed",
    cells=cells,
    run=run,
    needs=needs,
    seconds=SECONDS,
)
SUITE = add_standard(_SUITE, TASK)

CAD_SUITE = Suite(
    name="cad-points",
    summary="classify CAD shapes as clouds of points: the part of point-clouds that the short profiles leave out",
    cells=_shape_cells_of_profile,
    run=run,
    needs=needs,
    seconds=SECONDS,
)
