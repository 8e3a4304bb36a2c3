"""How a model that completes images is tested: contexts in one piece and in chunks, in several orders and ways."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mbcbench.encoder import AGGREGATIONS, Aggregation

from .neural_process import NeuralProcess, nll
from .pixels import Images, Order, arranged, baselines, context, shuffled

Way = Aggregation | Literal["own"]
BATCH = 32  # images at a time


class Test(NamedTuple):
    """One test: the size of the context, its chunks (as large: one piece), the order in which they come, and what
    aggregates them: the encoder's `own` state, or a g of eq. (1) over chunks encoded on their own."""

    size: int
    chunk: int
    order: Order = "random"
    aggregation: Way = "own"

    def detail(self) -> dict[str, Any]:
        mode = "one piece" if self.chunk >= self.size else "streamed"
        names = {"test_size": self.size, "chunk_size": self.chunk, "order": self.order, "aggregation": self.aggregation}
        return {"mode": mode, **names}


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


TESTS_32 = (
    *whole(50, 100, 200, 400, 500, 800),
    *streams(200, chunk=50, orders=("random", "rows")),
    *streams(200, chunk=7),
    *streams(400, 800, chunk=100),
    *order_tests(200),
    *literal(800, 200),
)
TESTS_64 = (
    *whole(100, 500, 1000),
    *streams(100, 200, 300, 400, 500, chunk=100),
    *streams(1000, 2000, 3000, 4000, chunk=1000),
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
    orders = shuffled(len(images.pixels), images.pixels.shape[1], torch.Generator().manual_seed(seed))
    colours, unit = images.colours(torch.arange(len(orders))), model.decoder.kind == "paper"
    sizes = {test.size for test in tests}
    trivial = {size: baselines(colours, orders[:, :size], unit_variance=unit) for size in sizes}
    for test in tests:
        yield Score(test, score(model, images, orders, test), *trivial[test.size])


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
