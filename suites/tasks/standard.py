"""The profile `standard`: what ranks encoders. docs/standard.md describes the protocol.

Every encoder is trained on each task under the same rule. First its learning rate is chosen from a grid, by the
validation loss of short trainings under a seed that is not reported. Then it is trained under each reported seed, and
once for twice the steps, to see whether it has converged. Each trained model is tested in one piece and as a stream.
"""

import importlib.util
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.errors import UsageError, one_line
from mbcbench.execution import digest
from mbcbench.execution.suite import DataNeed, Request
from mbcbench.protocol.build import get_spec
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records import outcomes, reference
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EvaluationDetail, ScoreDetail, StandardTrainingDetail, ValidationDetail
from mbcbench.records.record import Record, Status

from ..metrics import Metric
from ..training import Seeds, TrainingResult, device_of, fit, to_device
from ..training_cells import TrainingSettings, run_training, training_cells
from .set_embedding import SetEmbedding
from .streams import STREAM_ORDERS

Role = Literal["search", "final", "doubled"]
Data = TypeVar("Data")

SEEDS = 5
SPOT_CHECKS = 2  # reference cells of each task that are trained again
SPOT_CHECK_SECONDS = 60.0  # they took at most
SEARCH_SEED = 1000  # added to the first seed: no reported training has this seed
ELEMENTS_AT_A_TIME = 25_000  # in tests, to bound their memory
LARGEST_OUTCOME = 60_000.0  # of one item, as packed: half precision ends at 65,504
PROFILE = "standard"
PROFILES = ("quick", PROFILE)  # of which `quick` only shows the reference results and checks some of them

# Encoders that are the same as another one in one piece: the same weights, the same encoding, other steps. They are
# trained as that one, and tested each.
TRAINED_AS = {
    "sse-literal-max": "sse-random",
    "sse-literal-mean": "sse-random",
    "sse-literal-min": "sse-random",
    "sse-mean-of-chunk-means": "sse-random-mean",
    "sse-hierarchical-per-chunk": "sse-hierarchical",
}


@dataclass(frozen=True, kw_only=True)
class StandardSettings(TrainingSettings):
    """Settings of a cell of the profile `standard`.

    Parameters
    ----------
    role
        `search`: a short training with one learning rate of the grid. `final`: a reported one. `doubled`: for twice the
        steps.
    batch_size
        Sets of a step; episodes count as one.
    train_size
        Elements of a set in training.
    data, data_sha256
        Name and digest of the data set.
    variants
        Registered encoders that are trained as this one (`TRAINED_AS`) and tested with its weights.
    """

    role: Role = "final"
    batch_size: int
    train_size: int
    data: str = ""
    data_sha256: str = ""
    variants: tuple[str, ...] = ()


class Validation(NamedTuple):
    """Loss and score (accuracy, or NLL) on the validation data."""

    loss: float
    score: float


class StandardTask(ABC, Generic[Data]):
    """A task of the profile `standard`; `Data` is what `load` returns.

    Attributes
    ----------
    suite, case, metric
        Names of the suite and of the task, and what tests report.
    settings
        Of final trainings.
    search_steps, rates
        Optimizer steps of the search for the learning rate, and its grid.
    other_sizes
        Sizes of sets that are tested in one piece beside those of training.
    converged_within
        Largest gain of the validation score by twice the steps with which a training counts as converged.
    """

    suite: ClassVar[str]
    case: ClassVar[str]
    metric: ClassVar[Metric]
    settings: ClassVar[StandardSettings]
    search_steps: ClassVar[int]
    rates: ClassVar[tuple[float, ...]]
    other_sizes: ClassVar[tuple[int, ...]]
    converged_within: ClassVar[float]

    @abstractmethod
    def load(self, seed: int) -> Data:
        """Load the data, split into training, validation and test parts under `seed`."""

    def needs(self, cell: Cell) -> list[DataNeed]:
        """Return the data that `load` loads for a cell; most tasks load the data set that its settings name."""
        return [DataNeed(name=cell.params["data"])]

    @abstractmethod
    def build(self, spec: EncoderSpec, seed: int) -> nn.Module:
        """Build the model around an encoder, with weights drawn under `seed`."""

    @abstractmethod
    def sets_of(self, model: nn.Module) -> SetEmbedding:
        """Return the part of a model that encodes sets."""

    @abstractmethod
    def batches(self, data: Data, settings: StandardSettings, seed: int) -> Iterator[tuple[Any, Tensor]]:
        """Yield the inputs and targets of each step."""

    @abstractmethod
    def loss(self, output: Any, y: Tensor) -> Tensor:
        """Return the training loss."""

    @abstractmethod
    def baseline(self, data: Data) -> float:
        """Return the training loss of the best prediction that ignores the set."""

    @abstractmethod
    def validate(self, model: nn.Module, data: Data) -> Validation:
        """Evaluate a model on the validation data, in one piece at the size of training."""

    @abstractmethod
    def test_sets(self, model: nn.Module, data: Data, size: int) -> tuple[Tensor, Tensor]:
        """Return the sets of the test, `N x size x d`, and the key by which streams sort them, `N x size`."""

    @abstractmethod
    def outcomes(self, model: nn.Module, data: Data, vectors: Tensor) -> NDArray[Any]:
        """Return the score of each test item, given the vectors of the sets: True if right, or the NLL."""


def cells(task: StandardTask[Any], request: Request, data: str, data_sha256: str) -> list[Cell]:
    """Return the first cells of a task.

    With the profile `quick` these are a spot check of the reference results. With `standard` they are the search for
    the learning rate of each encoder that the reference results lack. Without reference results all encoders are
    trained, with the learning rates of the reference if the number of seeds is given.

    Raises UsageError if other data than the built-in sets are requested: scores on them could not be compared.
    """
    if request.data == "paper":
        raise UsageError(f"--data paper: the profile {PROFILE} has fixed data sets; use --profile thorough or paper")
    if request.reference and request.profile == "quick":
        return spot_check_cells(task, request)
    settings = replace(task.settings, data=data, data_sha256=data_sha256)
    rates = _known_rates(task, request)
    encoders = [encoder for encoder in _bases(_missing(task, request)) if encoder not in rates]
    searches = [replace(settings, role="search", steps=task.search_steps, lr=lr) for lr in task.rates]
    planned = [cell for search in searches for cell in _search_cells(task, request, encoders, search)]
    for encoder in _bases(_missing(task, request)):
        if encoder in rates:
            planned += _final_cells(task, request, encoder, replace(settings, lr=rates[encoder]))
    return planned


def follow_up(task: StandardTask[Any], request: Request, records: Sequence[Record]) -> list[Cell]:
    """Return the cells of the final and doubled trainings, given the records of the search.

    An encoder without any finite validation loss is trained with the smallest learning rate, so that its records say
    what happens.
    """
    planned: list[Cell] = []
    for encoder in _bases(request.encoders):
        searched = [
            record
            for record in records
            if record.encoder == encoder and record.case == task.case and record.params["role"] == "search"
        ]
        if searched:
            settings = replace(_settings_of(searched[0].params), steps=task.settings.steps, lr=best_rate(searched))
            planned += _final_cells(task, request, encoder, settings)
    return planned


def spot_check_cells(task: StandardTask[Any], request: Request) -> list[Cell]:
    """Draw reference cells of the encoders of a request, to be trained again: `SPOT_CHECKS` that are not slow."""
    candidates = [
        cell
        for cell in reference.load().final_cells(task.case)
        if cell.encoder in request.encoders and cell.device == request.device
    ]
    seconds = {record.cell: record.seconds for record in reference.load().records}
    quick = [cell for cell in candidates if seconds[cell.key] <= SPOT_CHECK_SECONDS]
    drawn = random.Random(f"{request.draw} {task.case}").sample(quick, min(SPOT_CHECKS, len(quick)))
    return [replace(cell, identity={}) for cell in drawn]


def _missing(task: StandardTask[Any], request: Request) -> list[str]:
    """Return the encoders of a request that the reference results do not stand for."""
    if not request.reference or request.device != "cpu":
        return list(request.encoders)
    seeds = reference.load().seeds(task.case)
    return [encoder for encoder in request.encoders if len(seeds.get(encoder, ())) < SEEDS]


def _known_rates(task: StandardTask[Any], request: Request) -> dict[str, float]:
    """Return the learning rates that need no search: those of the reference, if the number of seeds is given."""
    return reference.load().rates(task.case) if request.seeds is not None else {}


def _search_cells(
    task: StandardTask[Any], request: Request, encoders: Sequence[str], settings: StandardSettings
) -> list[Cell]:
    under_search_seed = replace(request, encoders=encoders, seed=request.seed + SEARCH_SEED, seeds=1)
    return training_cells(task.suite, task.case, under_search_seed, settings)


def _final_cells(task: StandardTask[Any], request: Request, encoder: str, settings: StandardSettings) -> list[Cell]:
    """Return the cells of one encoder: the reported seeds, and twice the steps if their number is not given."""
    variants = tuple(name for name, base in TRAINED_AS.items() if base == encoder)
    final = replace(settings, role="final", variants=variants)
    alone = replace(request, encoders=[encoder], seeds=request.seeds or SEEDS)
    planned = training_cells(task.suite, task.case, alone, final)
    if request.seeds is None:
        doubled = replace(final, role="doubled", steps=2 * final.steps, variants=())
        planned += training_cells(task.suite, task.case, replace(alone, seeds=1), doubled)
    return [_with_sources_of_variants(cell) for cell in planned]


def best_rate(searched: Sequence[Record]) -> float:
    """Return the learning rate with the least validation loss, or the smallest one if no loss is finite."""
    losses = {
        float(record.params["lr"]): record.value
        for record in searched
        if record.status is Status.OK and record.value is not None and math.isfinite(record.value)
    }
    if not losses:
        return min(float(record.params["lr"]) for record in searched)
    return min(losses, key=lambda rate: losses[rate])


def run(task: StandardTask[Any], cell: Cell) -> Iterable[Record]:
    """Train one model and test it, or validate it, as its role says."""
    return run_training(cell, lambda seeds: _train_and_test(task, cell, seeds), task.metric)


def _bases(encoders: Iterable[str]) -> list[str]:
    """Return the encoders to train, for encoders to test."""
    return list(dict.fromkeys(TRAINED_AS.get(encoder, encoder) for encoder in encoders))


def _settings_of(params: Any) -> StandardSettings:
    return StandardSettings(**params)


def _with_sources_of_variants(cell: Cell) -> Cell:
    """Return the cell with the digest of the sources of its variants, which its own encoder does not import."""
    variants = cell.params["variants"]
    if not variants:
        return cell
    modules = sorted({registry.plugin(registry.ENCODERS, name).module for name in variants})
    sources = [importlib.util.find_spec(module) for module in modules]
    paths = [Path(source.origin) for source in sources if source is not None and source.origin]
    return replace(cell, identity={**cell.identity, "variants source": digest.files(paths)})


def _train_and_test(task: StandardTask[Any], cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = _settings_of(cell.params)
    data = task.load(cell.seed)
    model = task.build(get_spec(cell.encoder), seeds.init).to(cell.device)
    training = fit(
        model, task.batches(data, settings, seeds.data), task.loss, steps=settings.steps, lr=settings.lr
    )  # fmt: skip
    validation = _validate(task, model, data, seeds)
    detail = _training_detail(task, model, data, settings, training, validation)
    if settings.role != "final":
        yield _validation_record(task, cell, settings, detail, validation)
        return
    yield from _test_records(task, cell, model, data, seeds, detail)
    for variant in settings.variants:
        yield from _records_of_variant(task, cell, variant, model, data, seeds, detail)


def _validation_record(
    task: StandardTask[Any],
    cell: Cell,
    settings: StandardSettings,
    training: StandardTrainingDetail,
    validation: Validation,
) -> Record:
    """Return the record of a training that only the validation data judge."""
    detail = ValidationDetail(training=training, converged_within=task.converged_within)
    if settings.role == "search":
        return VALIDATION_LOSS.record(cell, validation.loss, detail)
    score = Metric(name="validation_score", higher_is_better=task.metric.higher_is_better)
    return score.record(cell, validation.score, detail)


def _training_detail(
    task: StandardTask[Any],
    model: nn.Module,
    data: Any,
    settings: StandardSettings,
    training: TrainingResult,
    validation: Validation,
) -> StandardTrainingDetail:
    return StandardTrainingDetail(
        **vars(training.detail(model, data=settings.data, train_size=settings.train_size)),
        lr=settings.lr,
        train_baseline=task.baseline(data),
        validation_loss=validation.loss,
        validation_score=validation.score,
        curve=[(step, round(loss, 4)) for step, loss in training.curve()],
    )


def _records_of_variant(
    task: StandardTask[Any],
    cell: Cell,
    variant: str,
    model: nn.Module,
    data: Any,
    seeds: Seeds,
    detail: StandardTrainingDetail,
) -> Iterator[Record]:
    """Yield the records of a variant with the weights of a trained model; an error of the variant is a record."""
    try:
        other = task.build(get_spec(variant), seeds.init).to(cell.device)
        copy_weights(model, other)
        records = list(_test_records(task, cell, other, data, seeds, detail))
    except Exception as error:  # the variant's own
        records = [task.metric.error(cell, one_line(error))]
    yield from (replace(record, encoder=variant) for record in records)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy the weights to a model that has the same in the same order under other names.

    Raises ValueError if their shapes differ.
    """
    own, other = list(source.state_dict().values()), list(target.state_dict().values())
    if [tensor.shape for tensor in own] != [tensor.shape for tensor in other]:
        raise ValueError("the two models do not have the same weights")
    for value, copy in zip(own, other, strict=True):
        copy.copy_(value)


@torch.inference_mode()
def _validate(task: StandardTask[Any], model: nn.Module, data: Any, seeds: Seeds) -> Validation:
    model.eval()
    torch.manual_seed(seeds.noise)
    return task.validate(model, data)


@torch.inference_mode()
def _test_records(
    task: StandardTask[Any], cell: Cell, model: nn.Module, data: Any, seeds: Seeds, training: StandardTrainingDetail
) -> Iterator[Record]:
    """Yield one record per test: in one piece at all sizes, and in all stream orders at the size of training."""
    model.eval()
    for test, vectors in _encode_tests(task, model, data, seeds):
        of_items = task.outcomes(model, data, vectors)
        value = float(of_items.astype(np.float64).mean())
        packable = of_items if of_items.dtype == np.bool_ else of_items.clip(-LARGEST_OUTCOME, LARGEST_OUTCOME)
        detail = ScoreDetail(test=replace(test, outcomes=outcomes.pack(packable)), training=training)
        yield task.metric.record(cell, value, detail)


def _encode_tests(
    task: StandardTask[Any], model: nn.Module, data: Any, seeds: Seeds
) -> Iterator[tuple[EvaluationDetail, Tensor]]:
    """Yield the vectors of the sets of each test.

    The global generator starts anew for each test, and the batches are the same: an encoder that draws slots draws the
    same for a set in one piece and streamed.
    """
    size = task.settings.train_size
    for test_size in (size, *task.other_sizes):
        x, _ = to_device(device_of(model), task.test_sets(model, data, test_size))
        test = EvaluationDetail(mode="one piece", test_size=test_size, chunk_size=test_size)
        torch.manual_seed(seeds.noise)
        yield test, encode_in_batches(task.sets_of(model), x)
    x, key = to_device(device_of(model), task.test_sets(model, data, size))
    for order in STREAM_ORDERS:
        test = EvaluationDetail(
            mode="streamed", test_size=size, chunk_size=max(order.sizes(size)), order=order.name
        )  # fmt: skip
        torch.manual_seed(seeds.noise)
        pairs = zip(_in_batches(x), torch.split(key, _batch_size(size)), strict=True)
        yield test, encode_all(task.sets_of(model), [order.chunks(batch, keys) for batch, keys in pairs])


def encode_all(sets: SetEmbedding, batches: Iterable[Sequence[Tensor]]) -> Tensor:
    """Return the vectors of many sets; each batch is the chunks of its sets, or one chunk for sets in one piece."""
    encoded = [sets.encode(chunks[0]) if len(chunks) == 1 else sets.encode_last(chunks) for chunks in batches]
    return torch.cat(encoded)


def encode_in_batches(sets: SetEmbedding, x: Tensor) -> Tensor:
    """Return the vectors of many sets `N x n x d` in one piece, `N x features`."""
    return encode_all(sets, [[batch] for batch in _in_batches(x)])


def _batch_size(size: int) -> int:
    return max(1, ELEMENTS_AT_A_TIME // size)


def _in_batches(x: Tensor) -> Sequence[Tensor]:
    return torch.split(x, _batch_size(x.shape[1]))


VALIDATION_LOSS = Metric(name="validation_loss", unit="nats")
