"""One cell of the profile `standard`: train a model, and test it in one piece and as a stream."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.errors import one_line
from mbcbench.protocol.build import get_spec
from mbcbench.records import outcomes
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EvaluationDetail, ScoreDetail, StandardTrainingDetail, ValidationDetail
from mbcbench.records.record import Record

from ...metrics import Metric
from ...training import Seeds, TrainingResult, fit
from ...training_cells import run_training
from ..set_embedding import SetEmbedding
from ..streams import STREAM_ORDERS
from .task import StandardSettings, StandardTask, Test, Validation

ELEMENTS_AT_A_TIME = 25_000  # in tests, to bound their memory
VALIDATION_LOSS = Metric(name="validation_loss", unit="nats")


def run(task: StandardTask[Any], cell: Cell) -> Iterable[Record]:
    """Train one model and test it, or validate it, as its role says."""
    return run_training(cell, lambda seeds: _train_and_test(task, cell, seeds), task.metric)


def _train_and_test(task: StandardTask[Any], cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = StandardSettings(**cell.params)
    data = task.load(cell.seed)
    model = task.build(get_spec(cell.encoder), seeds.init).to(cell.device)
    batches = task.batches(data, settings, seeds.data)
    training = fit(model, batches, task.loss, steps=settings.steps, lr=settings.lr)
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
        **vars(
            training.detail(model, data=settings.data, train_size=settings.train_size, baseline=task.baseline(data))
        ),
        lr=settings.lr,
        validation_loss=validation.loss,
        validation_score=validation.score,
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
    except Exception as error:  # raised by the variant
        records = [task.metric.error(cell, one_line(error))]
    yield from (replace(record, encoder=variant) for record in records)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy the weights to a model with the same weights, in the same order, under other names.

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
    test = task.test(model, data)
    for detail, vectors in _encode_tests(task, task.sets_of(model), test, seeds):
        of_items = test.outcomes(vectors)
        value = float(of_items.astype(np.float64).mean())
        packable = of_items if of_items.dtype == np.bool_ else of_items.clip(-outcomes.LARGEST, outcomes.LARGEST)
        with_outcomes = replace(detail, outcomes=outcomes.pack(packable))
        yield task.metric.record(cell, value, ScoreDetail(test=with_outcomes, training=training))


def _encode_tests(
    task: StandardTask[Any], sets: SetEmbedding, test: Test, seeds: Seeds
) -> Iterator[tuple[EvaluationDetail, Tensor]]:
    """Yield the vectors of the sets of the test, in each mode.

    The global generator is seeded again for each mode, and the batches are the same, so an encoder draws the same slots
    for a set in one piece and streamed.
    """
    trained = task.settings.train_size
    for size in (trained, *task.other_sizes):
        torch.manual_seed(seeds.noise)
        detail = EvaluationDetail(mode="one piece", test_size=size, chunk_size=size)
        yield detail, encode_in_batches(sets, test.sets[:, :size])
    x = test.sets[:, :trained]
    for order in STREAM_ORDERS:
        torch.manual_seed(seeds.noise)
        chunk_size = max(order.sizes(trained))
        detail = EvaluationDetail(mode="streamed", test_size=trained, chunk_size=chunk_size, order=order.name)
        pairs = zip(_in_batches(x), torch.split(test.key, _batch_size(trained)), strict=True)
        yield detail, encode_all(sets, [order.chunks(batch, keys) for batch, keys in pairs])


def encode_all(sets: SetEmbedding, batches: Iterable[Sequence[Tensor]]) -> Tensor:
    """Return the vectors of many sets; a batch is a list of chunks of its sets, one chunk for sets in one piece."""
    encoded = [sets.encode(chunks[0]) if len(chunks) == 1 else sets.encode_last(chunks) for chunks in batches]
    return torch.cat(encoded)


def encode_in_batches(sets: SetEmbedding, x: Tensor) -> Tensor:
    """Return the vectors of many sets `N x n x d` in one piece, `N x features`."""
    return encode_all(sets, [[batch] for batch in _in_batches(x)])


def _batch_size(size: int) -> int:
    return max(1, ELEMENTS_AT_A_TIME // size)


def _in_batches(x: Tensor) -> Sequence[Tensor]:
    return torch.split(x, _batch_size(x.shape[1]))
