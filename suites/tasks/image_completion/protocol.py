"""How a model that completes images is tested: contexts in one piece and in chunks, in several orders and ways."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation

from ...training import device_of, on
from .neural_process import NeuralProcess, nll
from .pixels import Images, Order, arranged, as_bytes, baselines, context, shuffled

Way = Aggregation | Literal["own"]
BATCH = 32  # images at a time
KEPT = (1, 5, 20, 80)  # sizes of the contexts whose completions are kept, in hundredths of the pixels


class Test(NamedTuple):
    """One test: the size of the context, its chunks (as large: one piece), the order in which they come, and what
    aggregates them: the encoder's `own` state, or a g of eq. (1) over chunks encoded on their own.

    num_slots: how many slots are drawn, where that is not the number trained with (Section 2.3)."""

    size: int
    chunk: int
    order: Order = "random"
    aggregation: Way = "own"
    num_slots: int | None = None

    def detail(self) -> dict[str, Any]:
        mode = "one piece" if self.chunk >= self.size else "streamed"
        told = {"test_size": self.size, "chunk_size": self.chunk, "order": self.order, "aggregation": self.aggregation}
        return {"mode": mode, **told, **({"num_slots": self.num_slots} if self.num_slots else {})}


def whole(*sizes: int) -> tuple[Test, ...]:
    """Contexts in one piece."""
    return tuple(Test(size, size) for size in sizes)


def streams(
    *sizes: int, chunk: int, orders: Sequence[Order] = ("random",), aggregation: Way = "own"
) -> tuple[Test, ...]:
    """Contexts in chunks."""
    return tuple(Test(size, chunk, order, aggregation) for size in sizes for order in orders)


def literal(size: int, chunk: int) -> tuple[Test, ...]:
    """One context under each g."""
    return tuple(Test(size, chunk, "random", g) for g in AGGREGATIONS)


def order_tests(size: int) -> tuple[Test, ...]:
    """What a stream can do to an encoder that is not consistent: its chunks encoded on their own and averaged."""
    both: tuple[Order, ...] = ("random", "rows")
    return tuple(t for chunk in (50, 10, 1) for t in streams(size, chunk=chunk, orders=both, aggregation="mean"))


def slot_tests(size: int, *numbers: int) -> tuple[Test, ...]:
    """Other numbers of slots than the one trained with."""
    return tuple(Test(size, size, num_slots=number) for number in numbers)


TESTS_32 = (
    *whole(50, 100, 200, 400, 500, 800),
    *streams(200, chunk=50, orders=("random", "rows")),
    *streams(200, chunk=7),
    *streams(400, 800, chunk=100),
    *order_tests(200),
    *literal(800, 200),
    *slot_tests(200, 2, 8, 16, 64, 128),
)
TESTS_64 = (
    *whole(100, 500, 1000),
    *streams(200, 300, 400, 500, chunk=100),
    *streams(2000, 3000, 4000, chunk=1000),
    *literal(4000, 1000),
)
QUICK = (*whole(50, 100, 400), *streams(400, chunk=50, orders=("random", "rows")))


class Score(NamedTuple):
    """The NLL that a test gave, and those of a Gaussian for each channel of a context, and of one for all alike."""

    test: Test
    value: float
    baseline: float
    pooled_baseline: float

    def detail(self) -> dict[str, Any]:
        return self.test.detail() | {"baseline": self.baseline, "pooled_baseline": self.pooled_baseline}


@torch.inference_mode()
def scores(model: NeuralProcess, images: Images, tests: Sequence[Test], seed: int) -> Iterator[Score]:
    """The scores of all tests; the first m pixels of an image's order, drawn under `seed`, are its context."""
    model.eval()
    orders = _orders(images, seed)
    images, orders = on(device_of(model), (images, orders))
    colours, unit = images.colours(torch.arange(len(orders))), model.decoder.kind == "paper"
    sizes = {test.size for test in tests}
    trivial = {size: baselines(colours, orders[:, :size], unit_variance=unit) for size in sizes}
    for test in tests:
        with slots(model, test.num_slots) as possible:
            if possible:
                yield Score(test, score(model, images, orders, test), *trivial[test.size])


def _orders(images: Images, seed: int) -> Tensor:
    """Each image's pixels in the order in which a context takes them, `N x P`."""
    count, pixels = images.pixels.shape[:2]
    return shuffled(count, pixels, torch.Generator().manual_seed(seed))


@contextmanager
def slots(model: NeuralProcess, number: int | None) -> Iterator[bool]:
    """Let the encoder draw another number of slots; whether it, and the network behind it, can take that."""
    before = getattr(model.encoder, "num_slots", None)
    if number is None or before is None:
        yield number is None
        return
    model.encoder.num_slots = number
    try:
        yield number != before and _fits(model)
    finally:
        model.encoder.num_slots = before


def _fits(model: NeuralProcess) -> bool:
    """Whether the encoder has as many slots as it says, and their read-out is as wide as before."""
    x = torch.zeros(1, 2, 5, device=device_of(model))
    try:
        encoding = model.encoder(model.element(x))
    except Exception:  # the slots of this one are given: any encoder may have an attribute of that name
        return False
    rows = encoding.shape[1] if encoding.dim() == 3 else 0
    return bool(rows == model.encoder.num_slots and model.vector(encoding).shape[1] == model.features)


def score(model: NeuralProcess, images: Images, orders: Tensor, test: Test) -> float:
    """The mean NLL of all pixels; `orders` is `N x P`."""
    total = 0.0
    for which in torch.split(torch.arange(len(orders)), BATCH):
        colours = images.colours(which)
        chosen = arranged(orders[which, : test.size], test.order)
        chunks = torch.split(context(colours, images.places, chosen), test.chunk, dim=1)
        total += float(nll(model.decode(_encoding(model, chunks, test), images.places), colours)) * len(which)
    return total / len(orders)


def _encoding(model: NeuralProcess, chunks: Sequence[Tensor], test: Test) -> Tensor:
    if len(chunks) == 1:
        return model.encode(chunks[0])
    if test.aggregation != "own":
        return model.encode_apart(chunks, test.aggregation)
    return model.streamed(chunks)


@torch.inference_mode()
def completed(model: NeuralProcess, images: Images, count: int, seed: int) -> dict[str, Any]:
    """The first images as predicted from growing contexts: numbers of 0 to 255.

    images: `count x P x 3`. order: `count x P`, each image's pixels in the order in which a context takes them, as in
    `scores`. completions: size of the context -> the means, `count x P x 3`. error: the mean absolute one of the last.
    """
    model.eval()
    pixels, orders = images.pixels.shape[1], _orders(images, seed)[:count]
    images, orders = on(device_of(model), (images._replace(pixels=images.pixels[:count]), orders))
    colours = images.colours(torch.arange(count))
    means = {}
    for size in [pixels * share // 100 for share in KEPT]:
        encoding = model.encode(context(colours, images.places, orders[:, :size]))
        means[str(size)] = as_bytes(model.decode(encoding, images.places).mean)
    error = (means[str(size)].float() - images.pixels).abs().mean()
    kept = {size: mean.tolist() for size, mean in means.items()}
    return {"images": images.pixels.tolist(), "order": orders.tolist(), "completions": kept, "error": float(error)}
