"""Cells of the tables and figures of the Slot Set Encoder paper (arXiv 2103.01615): the models that each one trains.

An experiment is a list of cells of the task suites. Cells do not depend on the experiment, so figures with the same
model share its training, and an encoder that a user adds to an experiment is trained like the others.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mbcbench.execution.suite import Cells, Experiment, Profile, Request, Suite
from mbcbench.paper import (
    ADDED_TO_FIG3,
    ADDED_TO_FIG8,
    ADDED_TO_TABLE1,
    CENTROIDS,
    CLOUD_SIZES,
    CLOUDS,
    COMPARED_IN_FIG3,
    COMPARED_IN_FIG5,
    COMPARED_IN_FIG8,
    COMPARED_IN_TABLE1,
    COMPLETION,
    COMPLETION_OWN_STATE,
    COMPLETION_TRAINED_SLOTS,
    DEEPSETS_MAX,
    DEEPSETS_MAX_NETWORK,
    DEEPSETS_MEAN,
    DEEPSETS_ORIGINAL,
    EMBEDDINGS,
    GRADIENT_SIZE,
    LARGE_TRAIN_SIZE,
    ONE_PIECE,
    PMA,
    POOLINGS,
    RANDOM_ORDER,
    SET_TRANSFORMER,
    SMALL_TRAIN_SIZE,
    SSE_1,
    SSE_16,
    SSE_32,
    SSE_DETERMINISTIC_16,
    Model,
    hierarchy,
    sse,
)
from mbcbench.protocol.spec import SlotReadout
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record
from mbcbench.types import JsonDict, JsonObject

from . import gradients, laws
from .identities import identities
from .tasks.centroids import settings as centroid_settings
from .tasks.centroids import suite as centroids
from .tasks.image_completion import settings as completion_settings
from .tasks.image_completion import suite as image_completion
from .tasks.image_completion.protocol import QUICK_TESTS, TESTS_64, one_piece_tests
from .tasks.partitions import Estimator
from .tasks.point_clouds import settings as cloud_settings
from .tasks.point_clouds import suite as point_clouds
from .training_cells import choose_dataset

CentroidSettings = TypeVar("CentroidSettings", bound=centroid_settings.CentroidSettings)

PICTURED = (DEEPSETS_MEAN, SSE_32)  # models whose completions are recorded
PICTURES = 4
LARGE_SIZE = 64  # pixels
# The paper chooses g = max for clouds. Over encodings of chunks, as eq. (1) is written, it equals the sum where a set
# is one chunk. Over elements it is a model of its own, which takes twice as long to train.
EXACT_MAXIMA = (sse("deterministic", 16, g="max"), sse("random", 16, g="max"))
# quick: a look at every experiment in a few minutes. It trains for less than what a verdict takes.
IMAGE_PROFILES: dict[Profile, completion_settings.CompletionSettings] = {
    **completion_settings.PROFILES,
    "quick": completion_settings.CompletionSettings(
        seeds=2,
        steps=400,
        lr=5e-3,
        targets=32,
        batch_size=8,
        test_images=32,
        tests=(*QUICK_TESTS, *one_piece_tests(SMALL_TRAIN_SIZE)),
    ),
}
DIGIT_PROFILES: dict[Profile, centroid_settings.DigitCentroidSettings] = {
    **centroid_settings.DIGIT_PROFILES,
    "quick": centroid_settings.DigitCentroidSettings(
        seeds=2, steps=100, lr=3e-3, train_support=5, channels=(8, 16, 32), supports=(1, 5, 10, 50), repeats=5
    ),
}
EXEMPLAR_PROFILES: dict[Profile, centroid_settings.ExemplarCentroidSettings] = {
    **centroid_settings.EXEMPLAR_PROFILES,
    "quick": centroid_settings.ExemplarCentroidSettings(seeds=1, steps=100, supports=(1, 2, 5), repeats=1),
}
TABLE1_SIZES: dict[Profile, Sequence[int]] = {
    "smoke": (100,),
    "quick": (100,),
    "thorough": (100, 200, 500, 1000),
    "paper": CLOUD_SIZES,
}


def with_user_encoders(request: Request, models: Iterable[Model]) -> list[Model]:
    """Return the models of the paper, and the requested encoders with their default hyper-parameters."""
    return [*models, *(Model(encoder, {}) for encoder in request.encoders)]


# Image completion


def small_images(request: Request, models: Iterable[Model], train_size: int = SMALL_TRAIN_SIZE) -> list[Cell]:
    """Return the cells of models of 32 x 32 images."""
    settings = replace(IMAGE_PROFILES[request.profile], train_size=train_size)
    return _completions(request, models, settings, pictures=PICTURES if train_size == SMALL_TRAIN_SIZE else 0)


def large_images(
    request: Request, models: Iterable[Model], estimator: Estimator = "full", gradient_size: int = 0
) -> list[Cell]:
    """Return the cells of models of 64 x 64 images, trained on 1,000 pixels."""
    settings = IMAGE_PROFILES[request.profile]
    if request.profile == "thorough":
        settings = replace(settings, steps=1500)
    settings = replace(settings, size=LARGE_SIZE, train_size=LARGE_TRAIN_SIZE, tests=TESTS_64)
    return _completions(request, models, replace(settings, estimator=estimator, gradient_size=gradient_size))


def _completions(
    request: Request, models: Iterable[Model], settings: completion_settings.CompletionSettings, pictures: int = 0
) -> list[Cell]:
    cells = []
    for model in models:
        model_settings = replace(settings, hyper=model.hyper, kept=pictures if model in PICTURED else 0)
        cells += image_completion.completion_cells(replace(request, encoders=[model.encoder]), model_settings)
    return cells


def ablation(request: Request, models: Iterable[Model]) -> list[Cell]:
    """Return the cells of an ablation: 1,000 pixels as in the paper, or 200 in the shorter profiles."""
    return large_images(request, models) if request.profile == "paper" else small_images(request, models)


def fig2(request: Request) -> list[Cell]:
    return small_images(request, with_user_encoders(request, [SET_TRANSFORMER, PMA]))


def fig3a(request: Request) -> list[Cell]:
    """Return the cells of full sets; the deeper baselines are trained on small images only."""
    models = with_user_encoders(request, COMPARED_IN_FIG3)
    cells = _small_of_all_sizes(request, [*models, *ADDED_TO_FIG3])
    return cells + _large_images_if_any(request, models)


def _small_of_all_sizes(request: Request, models: Sequence[Model]) -> list[Cell]:
    sizes = (200, 400, 500) if request.profile == "paper" else (SMALL_TRAIN_SIZE,)
    return [cell for size in sizes for cell in small_images(request, models, size)]


def _large_images_if_any(request: Request, models: Sequence[Model]) -> list[Cell]:
    """Return the cells of models of 64 x 64 images, or none where the data set has no such images."""
    return large_images(request, models) if choose_dataset("patches", request.data).has_images(LARGE_SIZE) else []


def fig3b(request: Request) -> list[Cell]:
    return large_images(request, with_user_encoders(request, COMPARED_IN_FIG3))


def fig3d(request: Request) -> list[Cell]:
    """Return the cells of training on full sets, on partitions (Section 2.5), and by its unbiased form."""
    estimators: tuple[Estimator, ...] = ("partition", "unbiased")
    cells = fig3b(request)
    for estimator in estimators:
        cells += large_images(request, [SSE_32], estimator, GRADIENT_SIZE)
    return cells


def fig4a(request: Request) -> list[Cell]:
    """Return the cells of both readings of g.

    Over chunks, g is a test of the models trained with the sum. Over elements, max and min are models of their own.
    """
    numbers = (1, 8) if request.profile == "paper" else (1,)
    exact = [sse("random", k, g=g) for k in numbers for g in ("max", "min")]
    return ablation(request, with_user_encoders(request, [SSE_1, SSE_32, *exact]))


def fig4b(request: Request) -> list[Cell]:
    models = [sse(slots, k) for slots in ("random", "deterministic") for k in (1, 32)]
    return ablation(request, with_user_encoders(request, models))


def fig4c(request: Request) -> list[Cell]:
    """Return the cells of hierarchies with one slot per level and with 32.

    The paper has one slot per level, and wider ones with every level. That changes nothing, as one slot gets all
    attention; with 32 slots attention does not cancel.
    """
    one_slot = [hierarchy((1,) * levels, 32 * 2 ** (levels - 1)) for levels in (2, 3, 4, 5)]
    many_slots = [hierarchy((32,) * levels) for levels in (2, 3)]
    return ablation(request, with_user_encoders(request, [SSE_1, SSE_32, *one_slot, *many_slots]))


def fig7_slots(request: Request) -> list[Cell]:
    deterministic = (1, 32, 64, 128, 256) if request.profile == "paper" else (1, 32, 128)
    models = [sse("random", k) for k in (1, 32, 64, 128, 256)] + [sse("deterministic", k) for k in deterministic]
    return ablation(request, with_user_encoders(request, models))


def fig7_dim(request: Request) -> list[Cell]:
    """Return the cells of several widths of slots.

    The paper varies the width of a single slot, on which no output depends; the shorter profiles vary that of 32 slots.
    """
    k, widths = (1, (32, 64, 128, 256)) if request.profile == "paper" else (32, (32, 64, 256))
    models = [sse(slots, k, h) for slots in ("random", "deterministic") for h in widths]
    return ablation(request, with_user_encoders(request, models))


def fig7_deterministic(request: Request) -> list[Cell]:
    models = with_user_encoders(request, [sse("deterministic", 1), sse("deterministic", 32)])
    large_models = models if request.profile == "paper" else models[1:]
    return _small_of_all_sizes(request, models) + _large_images_if_any(request, large_models)


def partitions(request: Request) -> list[Cell]:
    """Return the cells of an experiment that the paper lacks: it trains on partitions without measuring the effect."""
    settings = gradients.PROFILES[request.profile]
    cells = []
    for model in with_user_encoders(request, [DEEPSETS_MEAN, SSE_32, PMA, SET_TRANSFORMER]):
        model_request = replace(request, encoders=[model.encoder])
        cells += gradients.gradient_cells(model_request, replace(settings, hyper=model.hyper))
    return cells


# Point clouds


def clouds(request: Request, models: Iterable[Model], train_size: int) -> list[Cell]:
    """Return the cells of models of point clouds; only models of 100 points are tested on more."""
    settings = replace(cloud_settings.SHAPE_PROFILES[request.profile], train_size=train_size)
    if request.profile == "paper":
        settings = replace(settings, width=512 if train_size >= 5000 else 256)
    if train_size > 100:
        settings = replace(settings, test_sizes=(train_size,), streamed_sizes=(train_size,))
    paper_hyper = {"dim": settings.width} if settings.width != 64 else {}
    defaults = {*request.encoders, *POOLINGS}  # a pooling is as wide as its elements
    cells = []
    for model in models:
        hyper = dict(model.hyper) if model.encoder in defaults else {**model.hyper, **paper_hyper}
        cells += point_clouds.shape_cells(replace(request, encoders=[model.encoder]), replace(settings, hyper=hyper))
    return cells


def table1(request: Request) -> list[Cell]:
    cells = []
    for size in TABLE1_SIZES[request.profile]:
        # The shorter profiles train what is not in the paper's table only for the smallest sets.
        added = (*ADDED_TO_TABLE1, *EXACT_MAXIMA) if size == 100 or request.profile == "paper" else ()
        cells += clouds(request, with_user_encoders(request, [*COMPARED_IN_TABLE1, *added]), size)
    return cells


def fig4d(request: Request) -> list[Cell]:
    added = [DEEPSETS_MAX_NETWORK, DEEPSETS_ORIGINAL, *EXACT_MAXIMA]
    models = [DEEPSETS_MAX, SSE_DETERMINISTIC_16, SSE_16, *added]
    return clouds(request, with_user_encoders(request, models), 100)


# Centroids


def fig5(request: Request) -> list[Cell]:
    settings = EXEMPLAR_PROFILES[request.profile]
    return _with_scales(request, COMPARED_IN_FIG5, settings, centroids.exemplar_cells)


def fig8(request: Request) -> list[Cell]:
    settings = DIGIT_PROFILES[request.profile]
    width = settings.channels[-1]  # of the features, and so of DeepSets' mean of them: all centroids are as wide
    compared, added = ([_with_width(model, width) for model in models] for models in (COMPARED_IN_FIG8, ADDED_TO_FIG8))
    embedded = replace(settings, embeddings=request.profile in ("thorough", "paper"))
    cells = _with_scales(request, compared, embedded, centroids.digit_cells)
    for model in added:
        model_request = replace(request, encoders=[model.encoder])
        cells += centroids.digit_cells(model_request, replace(settings, hyper=model.hyper, layer_norm=True))
    return cells


def _with_width(model: Model, width: int) -> Model:
    """Return the model with encodings of that width; a pooling is as wide as its elements."""
    return model if model.encoder in POOLINGS else Model(model.encoder, {**model.hyper, "dim": width})


def _with_scales(
    request: Request,
    models: Sequence[Model],
    settings: CentroidSettings,
    make_cells: Callable[[Request, CentroidSettings], list[Cell]],
) -> list[Cell]:
    """Return the cells of models with a LayerNorm, without one, and without one but multiplied by the number of slots.

    The encoders of users have a LayerNorm.
    """
    cells = []
    for model in models:
        model_request = replace(request, encoders=[model.encoder])
        readout: SlotReadout | None = "mean" if model.encoder == "sse-hierarchical" else None
        model_settings = replace(settings, hyper=model.hyper, readout=readout, layer_norm=False)
        scales = [1.0] if "num_slots" not in model.hyper else [1.0, _total_slots(model.hyper["num_slots"])]
        cells += make_cells(model_request, replace(model_settings, layer_norm=True))
        for scale in scales:
            cells += make_cells(model_request, replace(model_settings, scale=scale))
    return cells + make_cells(request, replace(settings, layer_norm=True))


def _total_slots(num_slots: int | Sequence[int]) -> float:
    """Return the product of the numbers of slots on all levels: each level divides its inputs among its slots."""
    return float(math.prod([num_slots] if isinstance(num_slots, int) else num_slots))


# Experiments

BY_TRAIN_SIZE: JsonDict = {"columns_by": "detail.train_size", "only_train_size": True}


def _experiment(title: str, cells: Cells, where: JsonObject, **options: Any) -> Experiment:
    return Experiment(title=title, cells=cells, where=where, **options)


# An experiment shows the records of its cells only, so no filter names their case, which other data change.
LARGE_TRAINED: JsonObject = {**COMPLETION_OWN_STATE, **RANDOM_ORDER, "params.train_size": LARGE_TRAIN_SIZE}
EXPERIMENTS: dict[str, Experiment] = {
    "table1": _experiment(
        "Accuracy on point clouds, by the number of points", table1, {**CLOUDS, **ONE_PIECE}, **BY_TRAIN_SIZE
    ),
    "fig2": _experiment(
        "A Set Transformer on mini-batches",
        fig2,
        {**COMPLETION_TRAINED_SLOTS, "detail.test_size": SMALL_TRAIN_SIZE},
    ),
    "fig3a": _experiment(
        "NLL of full sets, by their size", fig3a, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}, **BY_TRAIN_SIZE
    ),
    "fig3b": _experiment(
        "Trained on 1,000 pixels, streamed 1,000-4,000", fig3b, {**LARGE_TRAINED, "detail.chunk_size": 1000}
    ),
    "fig3c": _experiment(
        "Trained on 1,000 pixels, streamed 100-500", fig3b, {**LARGE_TRAINED, "detail.chunk_size": 100}
    ),
    "fig3d": _experiment(
        "Convergence (detail.curve)", fig3d, {**LARGE_TRAINED, **ONE_PIECE, "detail.test_size": LARGE_TRAIN_SIZE}
    ),
    "fig4a": _experiment("The aggregation g", fig4a, {**COMPLETION_TRAINED_SLOTS, "detail.mode": "streamed"}),
    "fig4b": _experiment("Random and deterministic slots", fig4b, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig4c": _experiment("Levels of a hierarchy", fig4c, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig4d": _experiment("Trained on 100 points, streamed 200-500", fig4d, {**CLOUDS, "params.train_size": 100}),
    "fig5": _experiment(
        "Exemplars: accuracy by ways, with supports of two",
        fig5,
        {**CENTROIDS, "detail.test_size": 2},
        columns_by="detail.ways",
    ),
    "fig6": _experiment("Exemplars: accuracy by size of the support", fig5, {**CENTROIDS, **ONE_PIECE}),
    "fig7-slots": _experiment("The number of slots", fig7_slots, {**COMPLETION, **ONE_PIECE}),
    "fig7-dim": _experiment("The width of slots", fig7_dim, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig7-deterministic": _experiment("Deterministic slots in Figure 3", fig7_deterministic, COMPLETION_TRAINED_SLOTS),
    "fig8": _experiment("Digits: accuracy by size of the support", fig8, {**CENTROIDS, **ONE_PIECE}),
    "fig9": _experiment("Digits: queries and centroids", fig8, EMBEDDINGS),
    "fig10": _experiment("Digits: centroids of growing supports", fig8, EMBEDDINGS),
    "identities": _experiment("Laws that decide a claim without training", identities, {}),
    "gradients": _experiment("Bias and deviation of the gradients of training on partitions", partitions, {}),
}


def cells(request: Request) -> list[Cell]:
    """Return the cells of all experiments, each once."""
    all_cells = [cell for experiment in EXPERIMENTS.values() for cell in experiment.cells(request)]
    return list({cell.key: cell for cell in all_cells}.values())


MEMBERS: list[Suite] = [part.SUITE for part in (image_completion, point_clouds, centroids, gradients, laws)]
SUITES = {suite.name: suite for suite in MEMBERS}


def run(cell: Cell) -> Iterable[Record]:
    """Run a cell by the suite that it belongs to."""
    return SUITES[cell.suite].run(cell)


SUITE = Suite(
    name="paper",
    summary="the paper's tables and figures; a model that several of them show is trained once",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "thorough": 3600, "paper": 7 * 24 * 3600},
    experiments=EXPERIMENTS,
)
