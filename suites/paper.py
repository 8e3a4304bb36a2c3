"""Cells of the tables and figures of the Slot Set Encoder paper (arXiv 2103.01615), by the models that each trains.

An experiment is a list of cells of the task suites. Cells do not depend on the experiment, so figures with the same
model share its training, and an encoder that a user adds to an experiment is trained like the others.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from mbcbench.execution.suite import Experiment, Request, Suite
from mbcbench.paper import (
    ADDED_TO_FIG3,
    ADDED_TO_FIG8,
    ADDED_TO_TABLE1,
    CENTROIDS,
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
    PAPER_ARM,
    PMA,
    POOLINGS,
    PUBLISHED_ARM,
    PUBLISHED_MODELS,
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
from mbcbench.types import JsonObject

from . import gradients, laws
from . import paper_settings as settings
from .identities import identities
from .tasks.centroids import settings as centroid_settings
from .tasks.centroids import suite as centroids
from .tasks.image_completion import suite as image_completion
from .tasks.image_completion.settings import CompletionSettings
from .tasks.partitions import Estimator
from .tasks.point_clouds import suite as point_clouds
from .training_cells import choose_dataset, with_fewer_steps

CentroidSettings = TypeVar("CentroidSettings", bound=centroid_settings.CentroidSettings)

PICTURED = (DEEPSETS_MEAN, SSE_32)  # models whose completions are recorded
PICTURES = 4
# The paper chooses g = max for clouds. Over chunk encodings, as in eq. (1), it equals the sum if a set is one chunk.
# Over elements, it is a different model, which takes twice as long to train.
EXACT_MAXIMA = (sse("deterministic", 16, g="max"), sse("random", 16, g="max"))
COMPARED_AT_5000 = (DEEPSETS_MAX, SSE_16)  # compared by claim C19 on 5,000 points


def with_user_encoders(request: Request, models: Iterable[Model]) -> list[Model]:
    """Return the models of the paper, and the requested encoders with their default hyper-parameters."""
    return [*models, *(Model(encoder, {}) for encoder in request.encoders)]


# Image completion


def small_images(request: Request, models: Iterable[Model], train_size: int = SMALL_TRAIN_SIZE) -> list[Cell]:
    """Return the cells of models of 32 x 32 images."""
    pictures = PICTURES if train_size == SMALL_TRAIN_SIZE else 0
    return _completions(request, models, settings.small_images(request, train_size), pictures)


def large_images(
    request: Request, models: Iterable[Model], estimator: Estimator = "full", gradient_size: int = 0
) -> list[Cell]:
    """Return the cells of models of 64 x 64 images, trained on 1,000 pixels."""
    of_estimator = replace(settings.large_images(request), estimator=estimator, gradient_size=gradient_size)
    return _completions(request, models, of_estimator)


def _completions(
    request: Request, models: Iterable[Model], shared: CompletionSettings, pictures: int = 0
) -> list[Cell]:
    cells = []
    for model in models:
        model_settings = replace(shared, hyper=model.hyper, kept=pictures if model in PICTURED else 0)
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
    cells = _small_of_all_sizes(request, models) + small_images(request, ADDED_TO_FIG3)
    return cells + _large_images_if_any(request, models)


def _small_of_all_sizes(request: Request, models: Sequence[Model]) -> list[Cell]:
    """Return the cells of 200, 400 and 500 pixels; for additional data, only of 200."""
    is_long = request.profile in ("thorough", "paper") and not settings.is_additional(request, "patches")
    sizes = (200, 400, 500) if is_long else (SMALL_TRAIN_SIZE,)
    return [cell for size in sizes for cell in small_images(request, models, size)]


def _large_images_if_any(request: Request, models: Sequence[Model]) -> list[Cell]:
    """Return the cells of models of 64 x 64 images, or none if the data set has no such images."""
    return (
        large_images(request, models) if choose_dataset("patches", request.data).has_images(settings.LARGE_SIZE) else []
    )


def fig3b(request: Request) -> list[Cell]:
    return large_images(request, with_user_encoders(request, COMPARED_IN_FIG3))


def fig3d(request: Request) -> list[Cell]:
    """Return the cells of training on full sets, on partitions (Section 2.5), and by its unbiased form."""
    estimators: tuple[Estimator, ...] = ("partition", "unbiased")
    cells = fig3b(request)
    for estimator in estimators:
        cells += large_images(request, [SSE_32], estimator, GRADIENT_SIZE)
    return cells


def arms(request: Request) -> list[Cell]:
    """Return the cells of DeepSets and Slot Set Encoders as the paper describes them, as published, and repaired."""
    cells = small_images(request, with_user_encoders(request, [DEEPSETS_MEAN, SSE_1, SSE_32]))
    for arm, models in ((PAPER_ARM, (DEEPSETS_MEAN, SSE_1, SSE_32)), (PUBLISHED_ARM, PUBLISHED_MODELS)):
        cells += _completions(request, models, settings.arm(request, arm))
    return cells


def fig4a(request: Request) -> list[Cell]:
    """Return the cells of both readings of g.

    Over chunks, g is a test setting of the models trained with the sum. Over elements, max and min are separate models.
    """
    numbers = (1, 8) if request.profile == "paper" else (1,)
    exact = [sse("random", k, g=g) for k in numbers for g in ("max", "min")]
    return ablation(request, with_user_encoders(request, [SSE_1, SSE_32, *exact]))


def fig4b(request: Request) -> list[Cell]:
    models = [sse(slots, k) for slots in ("random", "deterministic") for k in (1, 32)]
    return ablation(request, with_user_encoders(request, models))


def fig4c(request: Request) -> list[Cell]:
    """Return the cells of hierarchies with one slot per level and with 32.

    In the paper, each level has one slot, and slots widen from level to level. The levels then change nothing, because
    a single slot gets all attention; with 32 slots, attention does not cancel.
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

    The paper varies the width of a single slot, which has no effect on the output; shorter profiles use 32 slots.
    """
    k, widths = (1, (32, 64, 128, 256)) if request.profile == "paper" else (32, (32, 64, 256))
    models = [sse(slots, k, h) for slots in ("random", "deterministic") for h in widths]
    return ablation(request, with_user_encoders(request, models))


def fig7_deterministic(request: Request) -> list[Cell]:
    models = with_user_encoders(request, [sse("deterministic", 1), sse("deterministic", 32)])
    if request.profile == "paper":
        return _small_of_all_sizes(request, models) + _large_images_if_any(request, models)
    return small_images(request, models) + _large_images_if_any(request, models[1:])


def partitions(request: Request) -> list[Cell]:
    """Return the cells of an experiment on partitions. The paper trains on partitions without measuring the effect."""
    shared = gradients.PROFILES[request.profile]
    cells = []
    for model in with_user_encoders(request, [DEEPSETS_MEAN, SSE_32, PMA, SET_TRANSFORMER]):
        model_request = replace(request, encoders=[model.encoder])
        cells += gradients.gradient_cells(model_request, replace(shared, hyper=model.hyper))
    return cells


# Point clouds


def clouds(request: Request, models: Iterable[Model], train_size: int) -> list[Cell]:
    """Return the cells of models of point clouds."""
    shared = settings.clouds(request, train_size)
    paper_hyper = {"dim": shared.width} if shared.width != 64 else {}
    defaults = {*request.encoders, *POOLINGS}  # a pooling is as wide as its elements
    cells = []
    for model in models:
        hyper = dict(model.hyper) if model.encoder in defaults else {**model.hyper, **paper_hyper}
        cells += point_clouds.shape_cells(replace(request, encoders=[model.encoder]), replace(shared, hyper=hyper))
    return cells


def table1(request: Request) -> list[Cell]:
    """Return the cells of all sizes. Models outside the paper's table get only the smallest size, except in `paper`."""
    cells = []
    for size in settings.table1_sizes(request):
        is_long = request.profile == "paper"
        added = (*ADDED_TO_TABLE1, *EXACT_MAXIMA) if size == 100 or is_long else ()
        compared = COMPARED_AT_5000 if size == 5000 and not is_long else COMPARED_IN_TABLE1
        cells += clouds(request, with_user_encoders(request, [*compared, *added]), size)
    return cells


def fig4d(request: Request) -> list[Cell]:
    added = [DEEPSETS_MAX_NETWORK, DEEPSETS_ORIGINAL, *EXACT_MAXIMA]
    models = [DEEPSETS_MAX, SSE_DETERMINISTIC_16, SSE_16, *added]
    return clouds(request, with_user_encoders(request, models), 100)


# Budgets


def budgets(request: Request) -> list[Cell]:
    """Return the cells of Table 1 (100 points), Figure 3a (200 pixels) and Figure 8, with all steps and with fewer."""
    cells = clouds(request, with_user_encoders(request, [*COMPARED_IN_TABLE1, *EXACT_MAXIMA]), 100)
    cells += small_images(request, with_user_encoders(request, COMPARED_IN_FIG3))
    cells += fig8(request)
    return cells + [with_fewer_steps(cell, share) for share in settings.SMALLER_BUDGETS for cell in cells]


# Centroids


def fig5(request: Request) -> list[Cell]:
    return _with_scales(request, COMPARED_IN_FIG5, settings.exemplars(request), centroids.exemplar_cells)


def fig8(request: Request) -> list[Cell]:
    embedded = settings.digits(request)
    plain = replace(embedded, embeddings=False)
    width = plain.channels[-1]  # of the features, and so of their mean (DeepSets): all centroids have this width
    compared, added = ([_with_width(model, width) for model in models] for models in (COMPARED_IN_FIG8, ADDED_TO_FIG8))
    cells = _with_scales(request, compared, embedded, centroids.digit_cells)
    for model in added:
        model_request = replace(request, encoders=[model.encoder])
        rate = settings.centroid_rate(request, plain, model.encoder, "norm")
        cells += centroids.digit_cells(model_request, replace(plain, hyper=model.hyper, layer_norm=True, lr=rate))
    return cells


def _with_width(model: Model, width: int) -> Model:
    """Return the model with encodings of that width; a pooling is as wide as its elements."""
    return model if model.encoder in POOLINGS else Model(model.encoder, {**model.hyper, "dim": width})


def _with_scales(
    request: Request,
    models: Sequence[Model],
    shared: CentroidSettings,
    make_cells: Callable[[Request, CentroidSettings], list[Cell]],
) -> list[Cell]:
    """Return the cells of models with a LayerNorm, without one, and without one but multiplied by the number of slots.

    The encoders of users have a LayerNorm.
    """
    cells = []
    for model in models:
        model_request = replace(request, encoders=[model.encoder])
        readout: SlotReadout | None = "mean" if model.encoder == "sse-hierarchical" else None
        for scaling, scale in _scalings(model):
            rate = settings.centroid_rate(request, shared, model.encoder, scaling)
            has_norm = scaling == "norm"
            scaled = replace(shared, hyper=model.hyper, readout=readout, layer_norm=has_norm, scale=scale, lr=rate)
            cells += make_cells(model_request, scaled)
    return cells + make_cells(request, replace(shared, layer_norm=True))


def _scalings(model: Model) -> list[tuple[settings.Scaling, float]]:
    """Return the ways of scaling the encodings of a model, each with its factor."""
    ways: list[tuple[settings.Scaling, float]] = [("norm", 1.0), ("none", 1.0)]
    return ways if "num_slots" not in model.hyper else [*ways, ("slots", _total_slots(model.hyper["num_slots"]))]


def _total_slots(num_slots: int | Sequence[int]) -> float:
    """Return the product of the numbers of slots on all levels: each level divides its inputs among its slots."""
    return float(math.prod([num_slots] if isinstance(num_slots, int) else num_slots))


# Experiments

_by_train_size = partial(Experiment, columns_by="detail.train_size", only_train_size=True)

# An experiment shows the records of its cells only. Filters do not name cases, because other data change them.
LARGE_TRAINED: JsonObject = {**COMPLETION_OWN_STATE, **RANDOM_ORDER, "params.train_size": LARGE_TRAIN_SIZE}
EXPERIMENTS: dict[str, Experiment] = {
    "table1": _by_train_size("Accuracy on point clouds, by the number of points", table1, {**CLOUDS, **ONE_PIECE}),
    "fig2": Experiment(
        "A Set Transformer on mini-batches",
        fig2,
        {**COMPLETION_TRAINED_SLOTS, "detail.test_size": SMALL_TRAIN_SIZE},
    ),
    "fig3a": _by_train_size("NLL of full sets, by their size", fig3a, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig3b": Experiment(
        "Trained on 1,000 pixels, streamed 1,000-4,000", fig3b, {**LARGE_TRAINED, "detail.chunk_size": 1000}
    ),
    "fig3c": Experiment(
        "Trained on 1,000 pixels, streamed 100-500", fig3b, {**LARGE_TRAINED, "detail.chunk_size": 100}
    ),
    "fig3d": Experiment(
        "Convergence (detail.curve)", fig3d, {**LARGE_TRAINED, **ONE_PIECE, "detail.test_size": LARGE_TRAIN_SIZE}
    ),
    "fig4a": Experiment("The aggregation g", fig4a, {**COMPLETION_TRAINED_SLOTS, "detail.mode": "streamed"}),
    "fig4b": Experiment("Random and deterministic slots", fig4b, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig4c": Experiment("Levels of a hierarchy", fig4c, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig4d": Experiment("Trained on 100 points, streamed 200-500", fig4d, {**CLOUDS, "params.train_size": 100}),
    "fig5": Experiment(
        "Exemplars: accuracy by ways, with supports of two",
        fig5,
        {**CENTROIDS, "detail.test_size": 2},
        columns_by="detail.ways",
    ),
    "fig6": Experiment("Exemplars: accuracy by size of the support", fig5, {**CENTROIDS, **ONE_PIECE}),
    "fig7-slots": Experiment("The number of slots", fig7_slots, {**COMPLETION, **ONE_PIECE}),
    "fig7-dim": Experiment("The width of slots", fig7_dim, {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE}),
    "fig7-deterministic": Experiment("Deterministic slots in Figure 3", fig7_deterministic, COMPLETION_TRAINED_SLOTS),
    "fig8": Experiment("Digits: accuracy by size of the support", fig8, {**CENTROIDS, **ONE_PIECE}),
    "fig9": Experiment("Digits: queries and centroids", fig8, EMBEDDINGS),
    "fig10": Experiment("Digits: centroids of growing supports", fig8, EMBEDDINGS),
    "arms": Experiment(
        "As in the paper's text, as in its published code, and repaired",
        arms,
        {**COMPLETION_TRAINED_SLOTS, **ONE_PIECE, "detail.test_size": SMALL_TRAIN_SIZE},
    ),
    "budgets": Experiment("With a tenth and with three tenths of the steps", budgets, ONE_PIECE),
    "identities": Experiment("Laws that decide a claim without training", identities, {}),
    "gradients": Experiment("Bias and deviation of the gradients of training on partitions", partitions, {}),
}


def cells(request: Request) -> list[Cell]:
    """Return the cells of all experiments, each once."""
    all_cells = [cell for experiment in EXPERIMENTS.values() for cell in experiment.cells(request)]
    return list({cell.key: cell for cell in all_cells}.values())


MEMBERS: list[Suite] = [part.SUITE for part in (image_completion, point_clouds, centroids, gradients, laws)]
SUITES = {suite.name: suite for suite in MEMBERS}


def run(cell: Cell) -> Iterable[Record]:
    """Run a cell with the suite that it belongs to."""
    return SUITES[cell.suite].run(cell)


SUITE = Suite(
    name="paper",
    summary="the paper's tables and figures; a model that several of them show is trained once",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "thorough": 3600, "paper": 7 * 24 * 3600},
    experiments=EXPERIMENTS,
)
