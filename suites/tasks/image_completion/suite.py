"""Task: complete an image from some of its pixels, by a Conditional Neural Process around the set encoder."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from mbcbench.datasets import choose
from mbcbench.errors import UsageError
from mbcbench.execution.suite import DataNeed, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.detail import CompletionTrainingDetail, ScoreDetail
from mbcbench.records.record import Record

from ...metrics import NLL, Metric
from ...training import Seeds, TrainingResult, fit
from ...training_cells import choose_dataset, run_training, training_cells, with_rates
from ..partitions import Sampling
from ..standard.plan import add_standard
from .neural_process import NeuralProcess, mean_nll
from .pixels import Images, as_images, baseline_nlls, make_context, random_orders, random_subsets
from .protocol import complete_images, score_tests
from .settings import PROFILES, RATES, CompletionSettings, ImageSettings
from .standard import TASK

COMPLETIONS = Metric(name="completions", higher_is_better=None)
BASELINE_IMAGES = 1000  # of the training set: enough for the baseline's mean
Batch = tuple[tuple[Tensor, Tensor], Tensor]  # (context, places of the targets), colours of the targets


def cells(request: Request) -> list[Cell]:
    """Return one cell per encoder and seed."""
    return completion_cells(request, PROFILES[request.profile])


def completion_cells(request: Request, settings: CompletionSettings) -> list[Cell]:
    """Return the cells of the given settings. Images of 32 and of 64 pixels are two cases.

    Raises UsageError if the data set has no images of that size.
    """
    dataset = choose_dataset("patches", request.data, settings.data)
    if not dataset.has_images(settings.size):
        sizes = " or ".join(map(str, dataset.sizes))
        raise UsageError(f"{dataset.name} has images of {sizes} pixels, not of {settings.size}; use another data set")
    tests = tuple(test for test in settings.tests if test.size <= settings.size**2)
    settings = replace(settings, data=dataset.name, data_sha256=dataset.sha256, tests=tests)
    case = dataset.case("-".join(filter(None, ("patches", str(settings.size), settings.arm))))
    all_cells = training_cells("image-completion", case, request, settings)
    if request.profile == "thorough" and not settings.arm:
        all_cells = with_rates(all_cells, RATES)
    return [
        cell if cell.seed == request.seed else replace(cell, params={**cell.params, "kept": 0}) for cell in all_cells
    ]


def images_needed(cell: Cell) -> list[DataNeed]:
    """Return the data needed by a cell that calls `load_images`."""
    arguments = {"size": cell.params["size"], "split": cell.seed}
    return [DataNeed(name=cell.params["data"], loader="load_split", arguments=arguments)]


def run(cell: Cell) -> Iterable[Record]:
    """Train one model and test it; one record per test."""
    return run_training(cell, lambda seeds: _train_and_test(cell, seeds), NLL)


def _train_and_test(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = CompletionSettings(**cell.params)
    train_images, test_images, source = load_images(settings, cell.seed)
    model = _build_model(cell, settings, seeds)
    training = _train(model, train_images, settings, seeds.data)
    training_detail = _training_detail(model, training, settings, train_images, source)
    for score in score_tests(model, test_images, settings.tests, settings.test_seed):
        yield NLL.record(cell, score.value, ScoreDetail(test=score.detail, training=training_detail))
    if settings.kept:
        detail, error = complete_images(model, test_images, settings.kept, settings.test_seed, training_detail)
        yield COMPLETIONS.record(cell, error, detail)


def _build_model(cell: Cell, settings: CompletionSettings, seeds: Seeds) -> NeuralProcess:
    noise = torch.Generator().manual_seed(seeds.noise)
    return NeuralProcess(
        get_spec(cell.encoder),
        seed=seeds.init,
        decoder=settings.decoder,
        layer_norm=settings.layer_norm,
        hyper=settings.hyper,
        readout=settings.readout,
        sampling=Sampling(settings.estimator, settings.gradient_size, noise),
    ).to(cell.device)


def load_images(settings: ImageSettings, split: int) -> tuple[Images, Images, str]:
    """Load the images for training and for tests, and the name of the data set; see `PatchDataSet.load_split`."""
    data = choose("patches", settings.data).load_split(settings.size, split)
    train = as_images(torch.tensor(data.train[: settings.train_images]), settings.coordinates)
    test = as_images(torch.tensor(data.test[: settings.test_images]), settings.coordinates)
    return train, test, data.source


def batches(images: Images, settings: ImageSettings, seed: int) -> Iterator[Batch]:
    """Yield random contexts, and random targets in the same images, for each step."""
    generator = torch.Generator().manual_seed(seed)
    count = images.pixels.shape[1]
    for _ in range(settings.steps):
        indices = torch.randint(len(images.pixels), (settings.batch_size,), generator=generator)
        colours = images.colours(indices)
        pixels = random_subsets(len(indices), count, settings.train_size, generator)
        targets = torch.randperm(count, generator=generator)[: settings.targets]
        yield (make_context(colours, images.places, pixels), images.places[targets]), colours[:, targets]


def _train(model: NeuralProcess, images: Images, settings: CompletionSettings, seed: int) -> TrainingResult:
    return fit(
        model,
        batches(images, settings, seed),
        mean_nll,
        steps=settings.steps,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        schedule=settings.schedule,
    )


def _training_detail(
    model: NeuralProcess,
    training: TrainingResult,
    settings: CompletionSettings,
    images: Images,
    source: str,
) -> CompletionTrainingDetail:
    """Return the facts of a training, including whether and when the model left the plateau.

    On the plateau, a model predicts no better than the mean and deviation of each channel over the context. The
    training loss decides this, compared with the baseline on training images: a model that has learnt may generalize
    badly.
    """
    baseline = _training_baseline(images, settings)
    detail = training.detail(model, data=source, train_size=settings.train_size, baseline=baseline)
    return CompletionTrainingDetail(
        **vars(detail),
        plateau=training.loss >= baseline,
        beats_baseline_at=next((step for step, loss in detail.curve if loss < baseline), None),
    )


def _training_baseline(images: Images, settings: CompletionSettings) -> float:
    """Return the baseline's NLL on training images, with contexts of the training size."""
    count = min(BASELINE_IMAGES, len(images.pixels))
    orders = random_orders(count, images.pixels.shape[1], torch.Generator().manual_seed(settings.test_seed))
    colours, context = images.colours(torch.arange(count)), orders[:, : settings.train_size]
    return baseline_nlls(colours, context, unit_variance=settings.decoder == "paper")[0]


_SUITE = Suite(
    name="image-completion",
    summary="complete images from some of their pixels (NLL): contexts in one piece and streamed, larger and smaller",
    cells=cells,
    run=run,
    needs=images_needed,
    seconds={"smoke": 120, "quick": 600, "thorough": 3600, "paper": 7 * 24 * 3600},
)
SUITE = add_standard(_SUITE, TASK)
