"""Task: classify by the nearest centroid, the encoding of a class's support set (prototypical networks)."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.execution.suite import DataNeed, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records import outcomes
from mbcbench.records.cell import Cell
from mbcbench.records.detail import (
    CentroidTrainingDetail,
    EmbeddingsDetail,
    EvaluationDetail,
    ScoreDetail,
    TrainingDetail,
)
from mbcbench.records.record import Record

from ...metrics import ACCURACY, Metric
from ...training import Seeds, TrainingResult, device_of, fit
from ...training_cells import choose_dataset, run_training, training_cells
from ..initialization import PartSeeds, seeded
from ..standard.plan import add_standard
from .episodes import (
    ClassExamples,
    Score,
    accuracies,
    draw_examples,
    encode_in_batches,
    episodes,
    group_by_class,
    load,
)
from .prototypical_network import PrototypicalNetwork, conv_net
from .settings import (
    DIGIT_PROFILES,
    EXEMPLAR_PROFILES,
    CentroidSettings,
    DigitCentroidSettings,
    ExemplarCentroidSettings,
    fit_to_data,
)
from .standard import TASK

EMBEDDINGS = Metric(name="embeddings", higher_is_better=None)
EXAMPLES_AT_A_TIME = 1000  # whose features are computed together, to bound the memory of convolutions
EMBEDDED_QUERIES = 20  # per class
COMPONENTS = 16  # principal components of the embeddings that are recorded
SIGNIFICANT_DIGITS = 5  # of embeddings: enough for pictures, and records stay small


def cells(request: Request) -> list[Cell]:
    """Return the cells of the digits and, in the longer profiles, of the exemplars."""
    digits = digit_cells(request, DIGIT_PROFILES[request.profile])
    if request.profile == "smoke":
        return digits
    return digits + exemplar_cells(request, EXEMPLAR_PROFILES[request.profile])


def digit_cells(request: Request, settings: DigitCentroidSettings) -> list[Cell]:
    """Return the cells of the case `mnist-centroids`; only those of the first seed record embeddings."""
    dataset = choose_dataset("digits", request.data, settings.data)
    settings = replace(fit_to_data(settings, dataset.name), data=dataset.name, data_sha256=dataset.sha256)
    all_cells = training_cells("centroids", dataset.case("mnist-centroids"), request, settings)
    return [
        cell if cell.seed == request.seed else replace(cell, params={**cell.params, "embeddings": False})
        for cell in all_cells
    ]


def exemplar_cells(request: Request, settings: ExemplarCentroidSettings) -> list[Cell]:
    """Return the cells of the case `exemplar-centroids`."""
    dataset = choose_dataset("exemplars", request.data, settings.data)
    settings = replace(fit_to_data(settings, dataset.name), data=dataset.name, data_sha256=dataset.sha256)
    return training_cells("centroids", dataset.case("exemplar-centroids"), request, settings)


def settings_of(cell: Cell) -> CentroidSettings:
    """Return the settings of a cell; only those of exemplars have a pool."""
    if "pool" in cell.params:
        return ExemplarCentroidSettings(**cell.params)
    return DigitCentroidSettings(**cell.params)


def needs(cell: Cell) -> list[DataNeed]:
    """Return the data of a cell. The classes of exemplars are split once and for all."""
    name = cell.params["data"]
    if "pool" in cell.params:
        return [DataNeed(name=name)]
    return [DataNeed(name=name, loader="load_split", arguments={"split": cell.seed})]


def run(cell: Cell) -> Iterable[Record]:
    """Train one network and test it; one record per number of ways, support size and mode."""
    return run_training(cell, lambda seeds: _train_and_test(cell, seeds), ACCURACY)


def _train_and_test(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = settings_of(cell)
    examples = load(settings, cell.seed)
    model = build_network(cell, settings, examples.train, seeds.init)
    training = _train(model, examples.train, settings, seeds.data)
    baseline = math.log(settings.train_ways)
    detail = training.detail(model, data=examples.source, train_size=settings.train_support, baseline=baseline)
    training_detail = CentroidTrainingDetail(
        **vars(detail),
        train_ways=settings.train_ways,
        train_support=settings.train_support,
        scale=settings.scale,
        layer_norm=settings.layer_norm,
    )
    for test, accuracy in _evaluate(model, examples, settings):
        yield ACCURACY.record(cell, accuracy, ScoreDetail(test=test, training=training_detail))
    if isinstance(settings, DigitCentroidSettings) and settings.embeddings:
        embeddings, variance = embed(model, examples, settings, training_detail)
        yield EMBEDDINGS.record(cell, variance, embeddings)


def build_network(cell: Cell, settings: CentroidSettings, train: Tensor, seed: int) -> PrototypicalNetwork:
    """Build the network for training examples `C x V x ...`: images, or features, which need no backbone."""
    seeds = PartSeeds.spawn(seed)
    if isinstance(settings, DigitCentroidSettings):
        with seeded(seeds.element):
            backbone, dim = conv_net(settings.channels), settings.channels[-1]
    else:
        backbone, dim = nn.Identity(), train.shape[2]
    return PrototypicalNetwork(
        get_spec(cell.encoder),
        backbone,
        dim=dim,
        support=settings.train_support,
        seed=seeds.encoder,
        scale=settings.scale,
        layer_norm=settings.layer_norm,
        hyper=settings.hyper,
        readout=settings.readout,
    ).to(cell.device)


def _train(model: nn.Module, train: Tensor, settings: CentroidSettings, seed: int) -> TrainingResult:
    batches = episodes(
        train,
        ways=settings.train_ways,
        size=2 * settings.train_support,
        steps=settings.steps,
        generator=torch.Generator().manual_seed(seed),
    )
    return fit(
        model,
        batches,
        nn.functional.cross_entropy,
        steps=settings.steps,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        schedule=settings.schedule,
    )


@torch.inference_mode()
def _evaluate(
    model: PrototypicalNetwork, examples: ClassExamples, settings: CentroidSettings
) -> Iterator[tuple[EvaluationDetail, float]]:
    """Yield every test with its accuracy; the baseline takes the mean of raw examples as the centroid."""
    model.eval()
    pool, queries = _features(model, examples.pool), _features(model, examples.queries)
    encoded_queries = group_by_class(encode_in_batches(model.encode, queries.flatten(0, 1)[:, None]), queries)
    raw_pool, raw_queries = examples.pool.flatten(2), examples.queries.flatten(2)
    for size in settings.supports:
        repeats = settings.repeats if size < pool.shape[1] else 1  # only one support is as large as the pool
        measure = partial(accuracies, size=size, ways=settings.ways, repeats=repeats, seed=settings.test_seed)
        baseline = measure(lambda sets: sets.mean(dim=1), raw_queries, raw_pool)
        yield from _tests("one piece", size, size, measure(model.encode, encoded_queries, pool), baseline)
        if size == max(settings.supports):
            chunk_size = settings.chunk_size
            streamed = measure(partial(model.encode_stream, chunk_size=chunk_size), encoded_queries, pool)
            yield from _tests("streamed", size, chunk_size, streamed, baseline)


def _tests(
    mode: str, size: int, chunk_size: int, by_ways: Mapping[int, Score], baseline: Mapping[int, Score]
) -> Iterator[tuple[EvaluationDetail, float]]:
    """Yield the tests of one support size in one mode, each with its accuracy."""
    for ways, score in by_ways.items():
        test = EvaluationDetail(
            mode=mode,
            test_size=size,
            chunk_size=chunk_size,
            ways=ways,
            baseline=baseline[ways].accuracy,
            baseline_name="mean of raw examples",
            outcomes=None if score.of_queries is None else outcomes.pack(score.of_queries),
        )
        yield test, score.accuracy


def _features(model: PrototypicalNetwork, examples: Tensor) -> Tensor:
    """Return the features of examples `C x V x ...`, computed class by class in batches of `EXAMPLES_AT_A_TIME`."""
    device = device_of(model)
    classes = [[model.features_of(part[None].to(device)) for part in row.split(EXAMPLES_AT_A_TIME)] for row in examples]
    return torch.cat([torch.cat(parts, dim=1) for parts in classes])


@torch.inference_mode()
def embed(
    model: PrototypicalNetwork,
    examples: ClassExamples,
    settings: DigitCentroidSettings,
    training_detail: TrainingDetail,
) -> tuple[EmbeddingsDetail, float]:
    """Return queries, and centroids of all support sizes, as principal components of the queries, the input of t-SNE.

    The second value is the fraction of the queries' variance that the components explain.
    """
    model.eval()
    pool, queries = _features(model, examples.pool), _features(model, examples.queries[:, :EMBEDDED_QUERIES])
    encoded = model.encode(queries.flatten(0, 1)[:, None])
    generator = torch.Generator().manual_seed(settings.test_seed)
    centre = encoded.mean(dim=0)
    _, spread, directions = torch.linalg.svd(encoded - centre, full_matrices=False)
    basis = directions[:COMPONENTS].T
    supports = {size: draw_examples(pool, size, generator) for size in settings.supports}
    detail = EmbeddingsDetail(
        queries=_rounded(group_by_class((encoded - centre) @ basis, queries)),
        centroids={str(size): _rounded((model.encode(support) - centre) @ basis) for size, support in supports.items()},
        training=training_detail,
    )
    return detail, float(spread[:COMPONENTS].square().sum() / spread.square().sum())


def _rounded(x: Tensor) -> list[Any]:
    """Return nested lists of numbers with `SIGNIFICANT_DIGITS`."""
    rounded: list[Any] = _round(x.tolist())
    return rounded


def _round(value: Any) -> Any:
    return [_round(item) for item in value] if isinstance(value, list) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


_SUITE = Suite(
    name="centroids",
    summary="classify by the nearest centroid (prototypical networks), over support sizes and numbers of ways",
    cells=cells,
    run=run,
    needs=needs,
    seconds={"smoke": 120, "quick": 600, "thorough": 3600, "paper": 7 * 24 * 3600},
)
SUITE = add_standard(_SUITE, TASK)
