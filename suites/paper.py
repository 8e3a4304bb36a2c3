"""The tables and figures of the Slot Set Encoder paper (arXiv 2103.01615) as data: which models each one trains.

An experiment is a list of the cells of the task suites. Cells say nothing of the experiment, so that figures that show
the same model share its training, and an encoder that is added to an experiment is trained like the others.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mbcbench.execution.suite import Cells, Experiment, Request, Suite
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record

from . import gradients
from .tasks.centroids import suite as centroids
from .tasks.image_completion import suite as image_completion
from .tasks.image_completion.protocol import TESTS_64
from .tasks.point_clouds import suite as point_clouds

Model = tuple[str, Mapping[str, Any]]  # an encoder and its hyper-parameters


def plus_others(request: Request, models: Sequence[Model]) -> list[Model]:
    """The models of the paper, and the encoders that are asked for as they are."""
    return [*models, *((encoder, {}) for encoder in request.encoders)]


def sse(slots: str, k: int, h: int = 64, g: str = "sum") -> Model:
    """A Slot Set Encoder; what is as by default is not said, so that the same training has one name."""
    name = f"sse-{slots}" if g == "sum" else f"sse-{slots}-{g}"
    return name, {"num_slots": k} | ({"slot_dim": h} if h != 64 else {})


MEAN: Model = ("deepsets-mean", {})
PMA: Model = ("pma", {})
COMPARED: tuple[Model, ...] = (MEAN, PMA, sse("random", 1), sse("random", 32))
PICTURED = (MEAN, sse("random", 32))  # whose completions are kept
ISAB_PMA: Model = ("set-transformer", {"layers": 1})


def small(request: Request, models: Iterable[Model], train_size: int = 200) -> list[Cell]:
    """Models of 32 x 32 images."""
    settings = replace(image_completion.PROFILES[request.profile], train_size=train_size)
    return _completions(request, models, settings, kept=4 if train_size == 200 else 0)


def large(request: Request, models: Iterable[Model], **training: Any) -> list[Cell]:
    """Models of 64 x 64 images, trained on 1,000 pixels."""
    settings = image_completion.PROFILES[request.profile]
    if request.profile == "thorough":
        settings = replace(settings, steps=1500)
    return _completions(request, models, replace(settings, size=64, train_size=1000, tests=TESTS_64, **training))


def _completions(
    request: Request, models: Iterable[Model], settings: image_completion.Settings, kept: int = 0
) -> list[Cell]:
    found = []
    for model in models:
        encoder, hyper = model
        own = replace(settings, hyper=hyper, kept=kept if model in PICTURED else 0)
        found += image_completion.completions(replace(request, encoders=[encoder]), own)
    return found


def ablated(request: Request, models: Iterable[Model]) -> list[Cell]:
    """Models of an ablation: those of 1,000 pixels as in the paper, or of 200, where time is short."""
    return large(request, models) if request.profile == "paper" else small(request, models)


def clouds(request: Request, models: Iterable[Model], train_size: int) -> list[Cell]:
    """Models of point clouds."""
    base = replace(point_clouds.CAD[request.profile], train_size=train_size)
    if request.profile == "paper":
        base = replace(base, width=512 if train_size >= 5000 else 256)
    if train_size > 100:  # only the models of 100 points are tested on more
        base = replace(base, test_sizes=(train_size,), streamed_sizes=(train_size,))
    wide = {"dim": base.width} if base.width != 64 else {}
    found = []
    for encoder, hyper in models:
        known = wide if encoder not in request.encoders else {}
        found += point_clouds.shapes(replace(request, encoders=[encoder]), replace(base, hyper={**hyper, **known}))
    return found


POOLED: tuple[Model, ...] = (("deepsets-max", {}), ("set-transformer", {}), sse("deterministic", 16), sse("random", 16))
# The paper chooses g = max for clouds. Read as in eq. (1), over encodings of chunks, it is the sum where a set is one
# chunk; read over elements it is a model of its own, which takes twice as long to train.
MAXIMA: tuple[Model, ...] = (sse("deterministic", 16, g="max"), sse("random", 16, g="max"))


def table1(request: Request) -> list[Cell]:
    sizes = {
        "smoke": (100,),
        "quick": (100,),
        "thorough": (100, 200, 500, 1000),
        "paper": (100, 200, 500, 1000, 5000),
    }
    models = {n: plus_others(request, _pooled(request, n)) for n in sizes[request.profile]}
    return [cell for n, of in models.items() for cell in clouds(request, of, n)]


def _pooled(request: Request, n: int) -> Sequence[Model]:
    """All models; where time is short, maxima of the fewest points alone."""
    return POOLED + (MAXIMA if n == 100 or request.profile == "paper" else ())


def fig2(request: Request) -> list[Cell]:
    return small(request, plus_others(request, [ISAB_PMA, PMA]))


def fig3a(request: Request) -> list[Cell]:
    models = plus_others(request, COMPARED)
    sizes = (200, 400, 500) if request.profile == "paper" else (200,)
    return [cell for n in sizes for cell in small(request, models, n)] + large(request, models)


def fig3b(request: Request) -> list[Cell]:
    return large(request, plus_others(request, COMPARED))


def fig3d(request: Request) -> list[Cell]:
    """Beside training on full sets: on partitions, as Section 2.5 has it, and by its unbiased form."""
    parts = [large(request, [sse("random", 32)], estimator=how, gradient_size=200) for how in ("partition", "unbiased")]
    return sum(parts, fig3b(request))


def fig4a(request: Request) -> list[Cell]:
    """The literal g of eq. (1) is a test of the sum's models; max and min over elements are models of their own."""
    exact = [sse("random", k, g=g) for k in ((1, 8) if request.profile == "paper" else (1,)) for g in ("max", "min")]
    return ablated(request, plus_others(request, [sse("random", 1), sse("random", 32), *exact]))


def fig4b(request: Request) -> list[Cell]:
    return ablated(
        request, plus_others(request, [sse(slots, k) for slots in ("random", "deterministic") for k in (1, 32)])
    )


def fig4c(request: Request) -> list[Cell]:
    """One slot on every level, the slots wider with each, as the paper has it (which changes nothing: one slot takes
    all); and 32 slots on every level, where attention does not cancel."""
    whole = request.profile == "paper"
    heights = (2, 3, 4, 5) if whole else (2, 4, 5)
    one = [_stack((1,) * levels, 32 * 2 ** (levels - 1)) for levels in heights]
    many = [_stack((32,) * levels) for levels in ((2, 3) if whole else (2,))]
    return ablated(request, plus_others(request, [sse("random", 1), sse("random", 32), *one, *many]))


def _stack(num_slots: tuple[int, ...], h: int = 64) -> Model:
    return "sse-hierarchical", {"num_slots": list(num_slots)} | ({"slot_dim": h} if h != 64 else {})


def fig4d(request: Request) -> list[Cell]:
    models = [("deepsets-max", {}), ("deepsets-original", {}), sse("deterministic", 16), sse("random", 16), *MAXIMA]
    return clouds(request, plus_others(request, models), 100)


def fig5(request: Request) -> list[Cell]:
    models: list[Model] = [
        ("deepsets-mean", {"dim": 128}),
        *(("sse-random-mean", {"num_slots": k, "dim": 128}) for k in (32, 128)),
    ]
    base = centroids.FEATURES[request.profile]
    return _scaled(request, models, lambda one, **how: centroids.exemplars(one, replace(base, **how)))


def fig8(request: Request) -> list[Cell]:
    """The stack of Table 5 is read out as the mean over its slots, in which the attention of its last level cancels."""
    base = centroids.MNIST[request.profile]
    if request.profile in ("thorough", "paper"):
        base = replace(base, embeddings=True)
    stack: Model = ("sse-hierarchical", {"num_slots": [32, 16], "aggregate": "mean", "dim": 128})
    models: list[Model] = [
        ("deepsets-mean", {"dim": 128}),
        ("sse-deterministic-mean", {"num_slots": 16, "dim": 128}),
        stack,
    ]
    return _scaled(request, models, lambda one, **how: centroids.digits(one, replace(base, **how)))


def _scaled(request: Request, models: Sequence[Model], make: Callable[..., list[Cell]]) -> list[Cell]:
    """Each model with a LayerNorm behind it, without one, and without one but multiplied by its number of slots."""
    found = []
    for encoder, hyper in models:
        one = replace(request, encoders=[encoder])
        readout = "mean" if encoder == "sse-hierarchical" else None
        scales = [1.0] if "num_slots" not in hyper else [1.0, _slots(hyper["num_slots"])]
        found += make(one, hyper=hyper, readout=readout, layer_norm=True)
        for scale in scales:
            found += make(one, hyper=hyper, readout=readout, layer_norm=False, scale=scale)
    return found + make(request, layer_norm=True)


def _slots(num_slots: int | Sequence[int]) -> float:
    """The number of slots, of all levels multiplied: each shares out what it is given over its own."""
    return float(math.prod([num_slots] if isinstance(num_slots, int) else num_slots))


def fig7_slots(request: Request) -> list[Cell]:
    deterministic = (1, 32, 64, 128, 256) if request.profile == "paper" else (1, 32, 128)
    models = [sse("random", k) for k in (1, 32, 64, 128, 256)] + [sse("deterministic", k) for k in deterministic]
    return ablated(request, plus_others(request, models))


def fig7_dim(request: Request) -> list[Cell]:
    """The paper varies the width of one slot, which no output depends on; where time is short, that of 32 slots."""
    k, widths = (1, (32, 64, 128, 256)) if request.profile == "paper" else (32, (32, 64, 256))
    models = [sse(slots, k, h) for slots in ("random", "deterministic") for h in widths]
    return ablated(request, plus_others(request, models))


def fig7_deterministic(request: Request) -> list[Cell]:
    models = plus_others(request, [sse("deterministic", 1), sse("deterministic", 32)])
    if request.profile == "paper":
        return [cell for n in (200, 400, 500) for cell in small(request, models, n)] + large(request, models)
    return small(request, models) + large(request, models[1:])


def partitions(request: Request) -> list[Cell]:
    """Not in the paper, which trains on partitions (Section 2.5) and does not say what that changes."""
    models = [MEAN, sse("random", 32), PMA, ISAB_PMA]
    settings = gradients.PROFILES[request.profile]
    return [
        cell
        for encoder, hyper in plus_others(request, models)
        for cell in gradients.compared(replace(request, encoders=[encoder]), replace(settings, hyper=hyper))
    ]


ANY_SLOTS = {"suite": "image-completion", "metric": "nll"}
NLL = {**ANY_SLOTS, "detail.num_slots": None}  # as many as in training
LARGE = {**NLL, "case": "patches-64", "params.train_size": 1000, "detail.order": "random", "detail.aggregation": "own"}
ONE = {"detail.mode": "one piece"}
ACCURACY = {"metric": "accuracy"}
CAD = {**ACCURACY, "suite": "point-clouds", "case": "cad-points"}
EXEMPLARS = {**ACCURACY, "suite": "centroids", "case": "exemplar-centroids"}
DIGITS = {"suite": "centroids", "case": "mnist-centroids"}
TRAINED: dict[str, Any] = {"columns_by": "detail.train_size", "only_train_size": True}


def _of(title: str, cells: Cells, where: Mapping[str, Any], **more: Any) -> Experiment:
    return Experiment(title=title, cells=cells, where=where, **more)


EXPERIMENTS: dict[str, Experiment] = {
    "table1": _of("Accuracy on point clouds, by the number of points", table1, {**CAD, **ONE}, **TRAINED),
    "fig2": _of("A Set Transformer on mini-batches", fig2, {**NLL, "case": "patches-32", "detail.test_size": 200}),
    "fig3a": _of("NLL of full sets, by their size", fig3a, {**NLL, **ONE}, **TRAINED),
    "fig3b": _of("Trained on 1,000 pixels, streamed 1,000-4,000", fig3b, {**LARGE, "detail.chunk_size": 1000}),
    "fig3c": _of("Trained on 1,000 pixels, streamed 100-500", fig3b, {**LARGE, "detail.chunk_size": 100}),
    "fig3d": _of("Convergence (detail.curve)", fig3d, {**LARGE, **ONE, "detail.test_size": 1000}),
    "fig4a": _of("The aggregation g", fig4a, {**NLL, "detail.mode": "streamed"}),
    "fig4b": _of("Random against deterministic slots", fig4b, {**NLL, **ONE}),
    "fig4c": _of("Levels of a hierarchy", fig4c, {**NLL, **ONE}),
    "fig4d": _of("Trained on 100 points, streamed 200-500", fig4d, {**CAD, "params.train_size": 100}),
    "fig5": _of(
        "Exemplars: accuracy by ways, with two supports",
        fig5,
        {**EXEMPLARS, "detail.test_size": 2},
        columns_by="detail.ways",
    ),
    "fig6": _of("Exemplars: accuracy by size of the support", fig5, {**EXEMPLARS, **ONE}),
    "fig7-slots": _of("The number of slots", fig7_slots, {**ANY_SLOTS, **ONE}),
    "fig7-dim": _of("The width of slots", fig7_dim, {**NLL, **ONE}),
    "fig7-deterministic": _of("Deterministic slots in Figure 3", fig7_deterministic, NLL),
    "fig8": _of("Digits: accuracy by size of the support", fig8, {**DIGITS, **ACCURACY, **ONE}),
    "fig9": _of("Digits: queries and centroids", fig8, {**DIGITS, "metric": "embeddings"}),
    "fig10": _of("Digits: centroids of growing supports", fig8, {**DIGITS, "metric": "embeddings"}),
    "gradients": _of("Bias and deviation of the gradients of training on partitions", partitions, {}),
}


def cells(request: Request) -> list[Cell]:
    """The cells of all experiments, each once; the encoders asked for are trained beside those of the paper."""
    rows = [cell for experiment in EXPERIMENTS.values() for cell in experiment.cells(request)]
    return list({cell.key: cell for cell in rows}.values())


SUITES = {suite.name: suite for suite in (image_completion.SUITE, point_clouds.SUITE, centroids.SUITE, gradients.SUITE)}


def run(cell: Cell) -> Iterable[Record]:
    """The records of a cell, by the suite that it is of."""
    return SUITES[cell.suite].run(cell)


SUITE = Suite(
    name="paper",
    summary="the paper's tables and figures, each model trained once for all that show it",
    cells=cells,
    run=run,
    seconds=image_completion.SUITE.seconds,
    experiments=EXPERIMENTS,
)
