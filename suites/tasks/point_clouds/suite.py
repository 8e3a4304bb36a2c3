"""Task: classify point clouds, with training on small sets and tests on large ones, in one piece and streamed."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from mbcbench.datasets import MNIST_5K
from mbcbench.execution.suite import DataNeed, Profile, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records import outcomes
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EvaluationDetail, ScoreDetail
from mbcbench.records.record import Record

from ...metrics import ACCURACY
from ...training import Seeds, TrainingResult, device_of, fit, to_device
from ...training_cells import choose_dataset, run_training, training_cells, with_rates
from ..classifier import SetClassifier
from ..standard.plan import add_standard
from .data import PointCloudTask, load
from .sampling import LabelledClouds
from .settings import DIGIT_PROFILES, RATES, SHAPE_PROFILES, DigitCloudSettings, PointCloudSettings, ShapeCloudSettings
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
    all_cells = training_cells("point-clouds", dataset.case("cad-points"), request, settings)
    return with_rates(all_cells, RATES) if request.profile == "thorough" else all_cells


def settings_of(cell: Cell) -> PointCloudSettings:
    """Return the settings of a cell; only shapes have points that are drawn beforehand."""
    if "points" in cell.params:
        return ShapeCloudSettings(**cell.params)
    return DigitCloudSettings(**cell.params)


def _shape_cells_of_profile(request: Request) -> list[Cell]:
    return shape_cells(request, SHAPE_PROFILES[request.profile])


def needs(cell: Cell) -> list[DataNeed]:
    """Return the data of a cell, split by its seed. Digits are the built-in ones."""
    if "points" in cell.params:
        arguments = {"points": cell.params["points"], "split": cell.seed}
        return [DataNeed(name=cell.params["data"], loader="load_split", arguments=arguments)]
    return [DataNeed(name=MNIST_5K.name, loader="load_split", arguments={"split": cell.seed})]


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
    baseline = math.log(task.classes)
    detail = training.detail(model, data=task.source, train_size=settings.train_size, baseline=baseline)
    for test, is_correct in _evaluate(model, task.test, settings):
        with_outcomes = replace(test, outcomes=outcomes.pack(is_correct))
        score = ScoreDetail(test=with_outcomes, training=detail)
        yield ACCURACY.record(cell, float(is_correct.float().mean()), score)


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
) -> Iterator[tuple[EvaluationDetail, Tensor]]:
    """Yield every test with the correctness of each cloud, `N`."""
    for size in settings.test_sizes:
        test = EvaluationDetail(mode="one piece", test_size=size, chunk_size=size)
        yield test, correct_in_one_piece(model, clouds, size)
    by_size = correct_streamed(model, clouds, settings.chunk_size, max(settings.streamed_sizes))
    for size in settings.streamed_sizes:
        yield EvaluationDetail(mode="streamed", test_size=size, chunk_size=settings.chunk_size), by_size[size]


@torch.inference_mode()
def correct_in_one_piece(model: SetClassifier, clouds: LabelledClouds, size: int) -> Tensor:
    """Return for each cloud whether its first `size` points, encoded in one piece, are classified correctly, `N`."""
    model.eval()
    test_batches = _test_batches(model, clouds, size)
    return torch.cat([_is_correct(model(points[:, :size]), labels) for points, labels in test_batches])


@torch.inference_mode()
def correct_streamed(model: SetClassifier, clouds: LabelledClouds, chunk_size: int, largest: int) -> dict[int, Tensor]:
    """Return the same after each chunk of `chunk_size` points, by the number of points seen, up to `largest`."""
    model.eval()
    correct: dict[int, list[Tensor]] = defaultdict(list)
    for points, labels in _test_batches(model, clouds, chunk_size):
        chunks = torch.split(points[:, :largest], chunk_size, dim=1)
        for count, scores in enumerate(model.stream(chunks), 1):
            correct[min(count * chunk_size, largest)].append(_is_correct(scores, labels))
    return {size: torch.cat(parts) for size, parts in correct.items()}


def _test_batches(model: SetClassifier, clouds: LabelledClouds, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of clouds whose first `size` points are about `POINTS_AT_A_TIME` together."""
    count = max(1, POINTS_AT_A_TIME // size)
    for batch in zip(torch.split(clouds.points, count), torch.split(clouds.labels, count), strict=True):
        yield to_device(device_of(model), batch)


def _is_correct(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(dim=1) == labels).cpu()


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
