"""Tests of models that complete images: contexts in one piece and in chunks, in several orders and aggregations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation
from mbcbench.records import outcomes
from mbcbench.records.detail import CompletionsDetail, EvaluationDetail, TrainingDetail

from ...training import device_of, to_device
from .neural_process import NeuralProcess
from .pixels import Images, PixelOrder, arrange, as_bytes, baseline_nlls, gaussian_nll, make_context, random_orders

ChunkAggregate = Aggregation | Literal["own"]
IMAGES_AT_A_TIME = 32
COMPLETED_PERCENT = (1, 5, 20, 80)  # of the pixels: sizes of contexts whose completions are recorded


class CompletionTest(NamedTuple):
    """Test of a model.

    size, chunk: pixels of the context and of its chunks; equal for one piece. order: of the pixels in a stream.
    aggregation: `own` for the encoder's own state, or the g of eq. (1) over chunks encoded on their own.
    num_slots: number of slots, if it differs from training (Section 2.3).
    """

    size: int
    chunk: int
    order: PixelOrder = "random"
    aggregation: ChunkAggregate = "own"
    num_slots: int | None = None


def one_piece_tests(*sizes: int) -> tuple[CompletionTest, ...]:
    """Return tests of contexts in one piece."""
    return tuple(CompletionTest(size, size) for size in sizes)


def streamed_tests(
    *sizes: int, chunk: int, orders: Sequence[PixelOrder] = ("random",), aggregation: ChunkAggregate = "own"
) -> tuple[CompletionTest, ...]:
    """Return tests of contexts in chunks."""
    return tuple(CompletionTest(size, chunk, order, aggregation) for size in sizes for order in orders)


def aggregation_tests(size: int, chunk: int) -> tuple[CompletionTest, ...]:
    """Return tests of one context in chunks, under each g of eq. (1)."""
    return tuple(CompletionTest(size, chunk, "random", g) for g in AGGREGATIONS)


def separate_chunk_tests(size: int) -> tuple[CompletionTest, ...]:
    """Return tests in which chunks are encoded separately and averaged, which harms inconsistent encoders."""
    return tuple(
        test
        for chunk in (50, 10, 1)
        for test in streamed_tests(size, chunk=chunk, orders=("random", "rows"), aggregation="mean")
    )


def slot_tests(size: int, *numbers: int) -> tuple[CompletionTest, ...]:
    """Return tests with other numbers of slots than in training."""
    return tuple(CompletionTest(size, size, num_slots=number) for number in numbers)


TESTS_32 = (
    *one_piece_tests(50, 100, 200, 400, 500, 800),
    *streamed_tests(200, chunk=50, orders=("random", "rows")),
    *streamed_tests(200, chunk=7),
    *streamed_tests(400, 800, chunk=100),
    *separate_chunk_tests(200),
    *aggregation_tests(800, 200),
    *slot_tests(200, 2, 8, 16, 64, 128),
)
TESTS_64 = (
    *one_piece_tests(100, 500, 1000),
    *streamed_tests(200, 300, 400, 500, chunk=100),
    *streamed_tests(2000, 3000, 4000, chunk=1000),
    *aggregation_tests(4000, 1000),
)
QUICK_TESTS = (*one_piece_tests(50, 100, 400), *streamed_tests(400, chunk=50, orders=("random", "rows")))


class Score(NamedTuple):
    """NLL of each image in a test (`N`), and the means of the baselines (`baseline_nlls`)."""

    test: CompletionTest
    nlls: Tensor
    baseline: float
    pooled_baseline: float

    @property
    def value(self) -> float:
        """Mean over the images."""
        return float(self.nlls.mean())

    @property
    def detail(self) -> EvaluationDetail:
        """Detail of the record. It has values of each image only for tests in one piece with the slots of training."""
        test = self.test
        is_main = test.chunk >= test.size and test.num_slots is None
        return EvaluationDetail(
            mode="one piece" if test.chunk >= test.size else "streamed",
            test_size=test.size,
            chunk_size=test.chunk,
            order=test.order,
            aggregation=test.aggregation,
            num_slots=test.num_slots,
            baseline=self.baseline,
            pooled_baseline=self.pooled_baseline,
            outcomes=outcomes.pack(self.nlls.clip(-outcomes.LARGEST, outcomes.LARGEST)) if is_main else None,
        )


@torch.inference_mode()
def score_tests(model: NeuralProcess, images: Images, tests: Sequence[CompletionTest], seed: int) -> Iterator[Score]:
    """Yield the scores of all tests that apply to the model.

    Each image has one random order of its pixels, drawn from `seed`; the first m pixels are the context of size m.
    """
    model.eval()
    orders = _pixel_orders(images, seed)
    images, orders = to_device(device_of(model), (images, orders))
    colours, unit_variance = images.colours(torch.arange(len(orders))), model.decoder.kind == "paper"
    sizes = {test.size for test in tests}
    baselines = {size: baseline_nlls(colours, orders[:, :size], unit_variance=unit_variance) for size in sizes}
    for test in tests:
        with num_slots_set(model, test.num_slots) as is_possible:
            if is_possible:
                yield Score(test, _nlls(model, images, orders, test), *baselines[test.size])


def _pixel_orders(images: Images, seed: int) -> Tensor:
    """Draw for each image the order in which contexts take its pixels, `N x P`."""
    count, pixels = images.pixels.shape[:2]
    return random_orders(count, pixels, torch.Generator().manual_seed(seed))


@contextmanager
def num_slots_set(model: NeuralProcess, number: int | None) -> Iterator[bool]:
    """Set the encoder's number of slots temporarily (None: do not change it).

    Yield False if the encoder, or the network after it, cannot use that number, or already uses it.
    """
    before = getattr(model.encoder, "num_slots", None)
    if number is None or before is None:
        yield number is None
        return
    model.encoder.num_slots = number
    try:
        yield number != before and _works_as_set(model)
    finally:
        model.encoder.num_slots = before


def _works_as_set(model: NeuralProcess) -> bool:
    """Return True if the encoding has `num_slots` slots, and the vector made of them has its former width."""
    x = torch.zeros(1, 2, 5, device=device_of(model))
    try:
        encoding = model.encoder(model.element(x))
    except Exception:  # `num_slots` may have no effect, or other attributes may have to match it
        return False
    rows = encoding.shape[1] if encoding.dim() == 3 else 0
    return bool(rows == model.encoder.num_slots and model.vector(encoding).shape[1] == model.features)


def _nlls(model: NeuralProcess, images: Images, orders: Tensor, test: CompletionTest) -> Tensor:
    """Return the mean NLL of all pixels of each image, `N`; `orders` is `N x P`."""
    nlls = []
    for indices in torch.split(torch.arange(len(orders)), IMAGES_AT_A_TIME):
        colours = images.colours(indices)
        pixels = arrange(orders[indices, : test.size], test.order)
        chunks = torch.split(make_context(colours, images.places, pixels), test.chunk, dim=1)
        prediction = model.decode(_encode(model, chunks, test), images.places)
        nlls.append(gaussian_nll(prediction.mean, prediction.scale, colours).mean(dim=(1, 2)))
    return torch.cat(nlls).cpu()


def _encode(model: NeuralProcess, chunks: Sequence[Tensor], test: CompletionTest) -> Tensor:
    if len(chunks) == 1:
        return model.encode(chunks[0])
    if test.aggregation != "own":
        return model.encode_chunks_separately(chunks, test.aggregation)
    return model.encode_last(chunks)


@torch.inference_mode()
def complete_images(
    model: NeuralProcess, images: Images, count: int, seed: int, training: TrainingDetail
) -> tuple[CompletionsDetail, float]:
    """Predict the first `count` images from growing contexts, whose pixels are ordered as in `score_tests`.

    The second value is the mean absolute error of the predictions from the largest context, in 1/255 of the range.
    """
    model.eval()
    pixels, orders = images.pixels.shape[1], _pixel_orders(images, seed)[:count]
    images, orders = to_device(device_of(model), (images._replace(pixels=images.pixels[:count]), orders))
    colours = images.colours(torch.arange(count))
    completions = {}
    for size in [pixels * percent // 100 for percent in COMPLETED_PERCENT]:
        encoding = model.encode(make_context(colours, images.places, orders[:, :size]))
        completion = as_bytes(model.decode(encoding, images.places).mean)
        completions[str(size)] = completion.tolist()
    error = (completion.float() - images.pixels).abs().mean()
    detail = CompletionsDetail(
        images=images.pixels.tolist(), order=orders.tolist(), completions=completions, training=training
    )
    return detail, float(error)
