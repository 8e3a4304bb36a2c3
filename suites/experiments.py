"""The tables and figures of the Slot Set Encoder paper (arXiv 2103.01615) as data: which models each one trains.

An experiment is a list of the cells of the task suites. Cells say nothing of the experiment, so that figures that show
the same model share its training, and an encoder that is added to an experiment is trained like the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mbcbench.cell import Cell, Experiment, Profile, Suite
from mbcbench.record import Record

from . import centroids, image_completion, point_clouds
from .completion_tests import TESTS_64

Model = tuple[str, Mapping[str, Any]]  # an encoder and its hyper-parameters
Rows = Callable[["Order"], list[Cell]]


@dataclass(frozen=True)
class Order:
    """For whom, how much of it and under which seed: `others` are encoders beside those of the paper."""

    others: Sequence[str]
    profile: Profile
    seed: int

    def plus_others(self, models: Sequence[Model]) -> list[Model]:
        """The models of the paper, and the other encoders as they are."""
        return [*models, *((encoder, {}) for encoder in self.others)]


def sse(slots: str, k: int, h: int = 64, g: str = "sum") -> Model:
    """A Slot Set Encoder; what is as by default is not said, so that the same training has one name."""
    name = f"sse-{slots}" if g == "sum" else f"sse-{slots}-{g}"
    return name, {"num_slots": k} | ({"slot_dim": h} if h != 64 else {})


MEAN: Model = ("deepsets-mean", {})
PMA: Model = ("pma", {})
COMPARED: tuple[Model, ...] = (MEAN, PMA, sse("random", 1), sse("random", 32))
ISAB_PMA: Model = ("set-transformer", {"layers": 1})


def small(order: Order, models: Iterable[Model], train_size: int = 200) -> list[Cell]:
    """Models of 32 x 32 images."""
    return _completions(order, models, replace(image_completion.PROFILES[order.profile], train_size=train_size))


def large(order: Order, models: Iterable[Model]) -> list[Cell]:
    """Models of 64 x 64 images, trained on 1,000 pixels."""
    settings = image_completion.PROFILES[order.profile]
    if order.profile == "laptop":
        settings = replace(settings, steps=2000, test_images=128)
    return _completions(order, models, replace(settings, size=64, train_size=1000, tests=TESTS_64))


def _completions(order: Order, models: Iterable[Model], settings: image_completion.Settings) -> list[Cell]:
    return [
        cell
        for encoder, hyper in models
        for cell in image_completion.completions([encoder], replace(settings, hyper=hyper), order.seed)
    ]


def ablated(order: Order, models: Iterable[Model]) -> list[Cell]:
    """Models of an ablation: those of 1,000 pixels as in the paper, or of 200, where time is short."""
    return large(order, models) if order.profile == "paper" else small(order, models)


BATCHES = {100: 64, 200: 32, 500: 16, 1000: 16, 2000: 8}  # clouds a step, where time is short


def clouds(order: Order, models: Iterable[Model], train_size: int) -> list[Cell]:
    """Models of point clouds."""
    base = point_clouds.CAD[order.profile]
    if order.profile == "paper":
        base = replace(base, width=512 if train_size >= 5000 else 256, train_size=train_size)
    else:
        base = replace(base, train_size=train_size, batch_size=min(base.batch_size, BATCHES[train_size]))
    if train_size > 100:  # only the models of 100 points are tested on more
        base = replace(base, test_sizes=(train_size,), streamed_sizes=(train_size,))
    wide = {"dim": base.width} if base.width != 64 else {}
    found = []
    for encoder, hyper in models:
        known = wide if encoder not in order.others else {}
        found += point_clouds.shapes([encoder], replace(base, hyper={**hyper, **known}), order.seed)
    return found


POOLED: tuple[Model, ...] = (("deepsets-max", {}), ("set-transformer", {}), sse("deterministic", 16), sse("random", 16))


def table1(order: Order) -> list[Cell]:
    sizes = {
        "smoke": (100,),
        "quick": (100,),
        "laptop": (100, 200, 500, 1000, 2000),
        "paper": (100, 200, 500, 1000, 5000),
    }
    return [cell for n in sizes[order.profile] for cell in clouds(order, order.plus_others(POOLED), n)]


def fig2(order: Order) -> list[Cell]:
    return small(order, order.plus_others([ISAB_PMA, PMA]))


def fig3a(order: Order) -> list[Cell]:
    models = order.plus_others(COMPARED)
    return [cell for n in (200, 400, 500) for cell in small(order, models, n)] + large(order, models)


def fig3b(order: Order) -> list[Cell]:
    return large(order, order.plus_others(COMPARED))


def fig4a(order: Order) -> list[Cell]:
    """The literal g of eq. (1) is a test of the sum's models; max and min over elements are models of their own."""
    exact = [sse("random", k, g=g) for k in (1, 8) for g in ("max", "min")]
    return ablated(order, order.plus_others([sse("random", 1), sse("random", 32), *exact]))


def fig4b(order: Order) -> list[Cell]:
    return ablated(order, order.plus_others([sse(slots, k) for slots in ("random", "deterministic") for k in (1, 32)]))


def fig4c(order: Order) -> list[Cell]:
    """One slot on every level, the slots wider with each, as the paper has it (which changes nothing: one slot takes
    all); and 32 slots on every level, where attention does not cancel."""
    one = [_stack((1,) * levels, 32 * 2 ** (levels - 1)) for levels in (2, 3, 4, 5)]
    many = [_stack((32,) * levels) for levels in (2, 3)]
    return ablated(order, order.plus_others([sse("random", 1), sse("random", 32), *one, *many]))


def _stack(num_slots: tuple[int, ...], h: int = 64) -> Model:
    return "sse-hierarchical", {"num_slots": list(num_slots)} | ({"slot_dim": h} if h != 64 else {})


def fig4d(order: Order) -> list[Cell]:
    models: list[Model] = [("deepsets-max", {}), ("deepsets-original", {}), sse("deterministic", 16), sse("random", 16)]
    return clouds(order, order.plus_others(models), 100)


def fig5(order: Order) -> list[Cell]:
    models: list[Model] = [
        ("deepsets-mean", {"dim": 128}),
        *(("sse-random-mean", {"num_slots": k, "dim": 128}) for k in (32, 128)),
    ]
    base = centroids.FEATURES[order.profile]
    return _scaled(
        order, models, lambda encoder, **how: centroids.exemplars([encoder], replace(base, **how), order.seed)
    )


def fig8(order: Order) -> list[Cell]:
    """The stack of Table 5 is read out as the mean over its slots, in which the attention of its last level cancels."""
    base = centroids.MNIST[order.profile]
    if order.profile in ("laptop", "paper"):
        base = replace(base, embeddings=True)
    stack: Model = ("sse-hierarchical", {"num_slots": [32, 16], "aggregate": "mean", "dim": 128})
    models: list[Model] = [
        ("deepsets-mean", {"dim": 128}),
        ("sse-deterministic-mean", {"num_slots": 16, "dim": 128}),
        stack,
    ]
    return _scaled(order, models, lambda encoder, **how: centroids.digits([encoder], replace(base, **how), order.seed))


def _scaled(order: Order, models: Sequence[Model], make: Callable[..., list[Cell]]) -> list[Cell]:
    """Each model with a LayerNorm behind it, without one, and without one but multiplied by its number of slots."""
    found = []
    for encoder, hyper in models:
        readout = "mean" if encoder == "sse-hierarchical" else None
        scales = [1.0] if "num_slots" not in hyper else [1.0, _slots(hyper["num_slots"])]
        found += make(encoder, hyper=hyper, readout=readout, layer_norm=True)
        for scale in scales:
            found += make(encoder, hyper=hyper, readout=readout, layer_norm=False, scale=scale)
    return found + [cell for encoder in order.others for cell in make(encoder, layer_norm=True)]


def _slots(num_slots: int | Sequence[int]) -> float:
    """The number of slots, of all levels multiplied: each shares out what it is given over its own."""
    product = 1
    for k in [num_slots] if isinstance(num_slots, int) else num_slots:
        product *= k
    return float(product)


def fig7_slots(order: Order) -> list[Cell]:
    deterministic = (1, 32, 64, 128, 256) if order.profile == "paper" else (1, 32, 128)
    models = [sse("random", k) for k in (1, 32, 64, 128, 256)] + [sse("deterministic", k) for k in deterministic]
    return ablated(order, order.plus_others(models))


def fig7_dim(order: Order) -> list[Cell]:
    """The paper varies the width of one slot, which no output depends on; where time is short, that of 32 slots."""
    k = 1 if order.profile == "paper" else 32
    models = [sse(slots, k, h) for slots in ("random", "deterministic") for h in (32, 64, 128, 256)]
    return ablated(order, order.plus_others(models))


def fig7_deterministic(order: Order) -> list[Cell]:
    models = order.plus_others([sse("deterministic", 1), sse("deterministic", 32)])
    sizes = (200, 400, 500) if order.profile == "paper" else (200,)
    return [cell for n in sizes for cell in small(order, models, n)] + large(order, models)


NLL = {"suite": "image-completion", "metric": "nll"}
LARGE = {**NLL, "case": "patches-64", "params.train_size": 1000, "detail.order": "random", "detail.aggregation": "own"}
ONE = {"detail.mode": "one piece"}
ACCURACY = {"metric": "accuracy"}
CAD = {**ACCURACY, "suite": "point-clouds", "case": "cad-points"}
EXEMPLARS = {**ACCURACY, "suite": "centroids", "case": "exemplar-centroids"}
DIGITS = {"suite": "centroids", "case": "mnist-centroids"}
TRAINED: dict[str, Any] = {"across": "detail.train_size", "as_trained": True}


def _of(title: str, rows: Rows, where: Mapping[str, Any], **more: Any) -> Experiment:
    return Experiment(
        title=title, cells=lambda others, profile, seed: rows(Order(others, profile, seed)), where=where, **more
    )


EXPERIMENTS: dict[str, Experiment] = {
    "table1": _of("Accuracy on point clouds, by the number of points", table1, {**CAD, **ONE}, **TRAINED),
    "fig2": _of("A Set Transformer on mini-batches", fig2, {**NLL, "case": "patches-32", "detail.test_size": 200}),
    "fig3a": _of("NLL of full sets, by their size", fig3a, {**NLL, **ONE}, **TRAINED),
    "fig3b": _of("Trained on 1,000 pixels, streamed 1,000-4,000", fig3b, {**LARGE, "detail.chunk_size": 1000}),
    "fig3c": _of("Trained on 1,000 pixels, streamed 100-500", fig3b, {**LARGE, "detail.chunk_size": 100}),
    "fig3d": _of("Convergence (detail.curve)", fig3b, {**LARGE, **ONE, "detail.test_size": 1000}),
    "fig4a": _of("The aggregation g", fig4a, {**NLL, "detail.mode": "streamed"}),
    "fig4b": _of("Random against deterministic slots", fig4b, {**NLL, **ONE}),
    "fig4c": _of("Levels of a hierarchy", fig4c, {**NLL, **ONE}),
    "fig4d": _of("Trained on 100 points, streamed 200-500", fig4d, {**CAD, "params.train_size": 100}),
    "fig5": _of(
        "Exemplars: accuracy by ways, with two supports",
        fig5,
        {**EXEMPLARS, "detail.test_size": 2},
        across="detail.ways",
    ),
    "fig6": _of("Exemplars: accuracy by size of the support", fig5, {**EXEMPLARS, **ONE}),
    "fig7-slots": _of("The number of slots", fig7_slots, {**NLL, **ONE}),
    "fig7-dim": _of("The width of slots", fig7_dim, {**NLL, **ONE}),
    "fig7-deterministic": _of("Deterministic slots in Figure 3", fig7_deterministic, NLL),
    "fig8": _of("Digits: accuracy by size of the support", fig8, {**DIGITS, **ACCURACY, **ONE}),
    "fig9": _of("Digits: queries and centroids", fig8, {**DIGITS, "metric": "embeddings"}),
    "fig10": _of("Digits: centroids of growing supports", fig8, {**DIGITS, "metric": "embeddings"}),
}


def cells(encoders: Sequence[str], profile: Profile, seed: int) -> list[Cell]:
    """The cells of all experiments, each once; `encoders` are trained beside those of the paper."""
    rows = [cell for experiment in EXPERIMENTS.values() for cell in experiment.cells(encoders, profile, seed)]
    return list({cell.key: cell for cell in rows}.values())


SUITES = {suite.name: suite for suite in (image_completion.SUITE, point_clouds.SUITE, centroids.SUITE)}


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
