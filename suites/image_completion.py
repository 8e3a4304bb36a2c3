"""Task: complete an image from some of its pixels, by a Conditional Neural Process around the set encoder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbcbench.cell import Cell, Profile, Suite
from mbcbench.data import choose
from mbcbench.encoder import AGGREGATIONS
from mbcbench.record import Record, Status
from mbcbench.specs import SlotReadout
from mbcbench.target import resolve

from .neural_process import DecoderKind, NeuralProcess, nll
from .partitions import Estimator, Sampling
from .pixels import Coordinates, Images, arranged, as_images, baseline, context, shuffled
from .training import Schedule, Seeds, Trained, fit
from .trials import repeated, trial, which_data

TEST_SEED = 30  # of the contexts that are tested on: the same for every encoder and seed
BATCH = 32  # images at a time in a test
MEASURED = {"metric": "nll", "unit": "nats", "higher_is_better": False}
OWN = "own"


class Test(NamedTuple):
    """One test: the size of the context, its chunks (as large: one piece), the order in which they come, and what
    aggregates them: the encoder's `own` state, or a g of eq. (1) over chunks encoded on their own."""

    size: int
    chunk: int
    order: str = "random"
    aggregation: str = OWN

    def detail(self) -> dict[str, Any]:
        mode = "one piece" if self.chunk >= self.size else "streamed"
        names = {"test_size": self.size, "chunk_size": self.chunk, "order": self.order, "aggregation": self.aggregation}
        return {"mode": mode, **names}


def whole(*sizes: int) -> tuple[Test, ...]:
    """Contexts in one piece."""
    return tuple(Test(size, size) for size in sizes)


def streams(*sizes: int, chunk: int, orders: Sequence[str] = ("random",), aggregation: str = OWN) -> tuple[Test, ...]:
    """Contexts in chunks."""
    return tuple(Test(size, chunk, order, aggregation) for size in sizes for order in orders)


def literal(size: int, chunk: int) -> tuple[Test, ...]:
    """One context under each g."""
    return tuple(Test(size, chunk, "random", g) for g in AGGREGATIONS)


def order_tests(size: int) -> tuple[Test, ...]:
    """What a stream can do to an encoder that is not consistent: its chunks encoded on their own and averaged."""
    both = ("random", "rows")
    return tuple(t for chunk in (50, 10, 1) for t in streams(size, chunk=chunk, orders=both, aggregation="mean"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses: training is the same number of steps, not of seconds, for every encoder.

    size: of the images, in pixels. train_size: of the context. targets: pixels that a step is trained on, drawn at
    random; all are tested on. estimator, gradient_size: see `Sampling`. hyper, readout: the encoder's.
    coordinates: `centred`, in [-1, 1], or `unit`, in [0, 1) as the paper has them, which learns several times slower.
    """

    seeds: int
    steps: int
    data: str = "auto"
    size: int = 32
    train_size: int = 200
    targets: int = 128
    batch_size: int = 16
    lr: float = 2e-3
    weight_decay: float = 0.0
    schedule: Schedule = "warm-cosine"
    coordinates: Coordinates = "centred"
    layer_norm: bool = True
    decoder: DecoderKind = "gaussian"
    estimator: Estimator = "full"
    gradient_size: int = 0
    train_images: int = 8000
    test_images: int = 256
    hyper: Mapping[str, Any] = field(default_factory=dict)
    readout: SlotReadout | None = None
    tests: tuple[Test, ...] = ()


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
    *streams(1000, chunk=1000, orders=("rows",)),
    *literal(4000, 1000),
)
QUICK = (*whole(50, 200, 400), *streams(400, chunk=50, orders=("random", "rows")))

PROFILES: dict[Profile, Settings] = {
    "smoke": Settings(
        seeds=1, steps=5, batch_size=4, train_images=50, test_images=8, tests=(*QUICK, *literal(200, 50))
    ),
    "quick": Settings(seeds=1, steps=200, lr=5e-3, batch_size=8, targets=64, test_images=32, tests=QUICK),
    "laptop": Settings(seeds=3, steps=3000, tests=TESTS_32),
    "paper": Settings(
        seeds=5,
        steps=158_000,  # 200 epochs of CelebA's 202,599 images, 256 at a time
        batch_size=256,
        targets=1024,
        lr=1e-3,
        weight_decay=5e-4,
        schedule="milestones",
        coordinates="unit",
        layer_norm=False,
        decoder="paper",
        tests=TESTS_32,
    ),
}


def cells(encoders: Sequence[str], profile: Profile, seed: int) -> list[Cell]:
    """One cell per encoder and seed."""
    return completions(encoders, PROFILES[profile], seed)


def completions(encoders: Sequence[str], settings: Settings, seed: int) -> list[Cell]:
    """The cells of any settings; images of 32 pixels and of 64 are two cases."""
    case = f"patches-{settings.size}"
    return repeated(
        "image-completion", case, encoders, settings, seed, **which_data("patches", settings.data), test_seed=TEST_SEED
    )


def run(cell: Cell) -> Iterable[Record]:
    """Train one model and test it: a record per test."""
    return trial(cell, lambda seeds: _records(cell, seeds), **MEASURED)


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p = cell.params
    train, test, source = load(p)
    noise = torch.Generator().manual_seed(seeds.noise)
    model = NeuralProcess(
        resolve(cell.encoder),
        seed=seeds.init,
        decoder=p["decoder"],
        layer_norm=p["layer_norm"],
        hyper=p["hyper"],
        readout=p["readout"],
        sampling=Sampling(p["estimator"], p["gradient_size"], noise),
    )
    trained = _train(model, train, p, seeds.data)
    scored = list(_tests(model, test, p))
    detail = {"data": source, "train_size": p["train_size"], **trained.detail(model)}
    detail |= _plateau(trained, train, p, scored)
    for done, value, trivial in scored:
        own = done.detail() | {"baseline": trivial}
        yield cell.record(Status.OK, value=value, detail=own | detail, **MEASURED)


def load(p: Mapping[str, Any]) -> tuple[Images, Images, str]:
    """The images to train on and to test on, and where they come from."""
    data = choose("patches", p["data"])(size=p["size"])
    train, test = (
        as_images(torch.tensor(part[:count]), p["coordinates"])
        for part, count in ((data.train, p["train_images"]), (data.test, p["test_images"]))
    )
    return train, test, data.source


def batches(images: Images, p: Mapping[str, Any], seed: int) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
    """For each step ((context, places of the targets), colours of the targets)."""
    generator = torch.Generator().manual_seed(seed)
    count = images.pixels.shape[1]
    for _ in range(p["steps"]):
        which = torch.randint(len(images.pixels), (p["batch_size"],), generator=generator)
        colours = images.colours(which)
        chosen = shuffled(len(which), count, generator)[:, : p["train_size"]]
        targets = torch.randperm(count, generator=generator)[: p["targets"]]
        yield (context(colours, images.places, chosen), images.places[targets]), colours[:, targets]


def _train(model: NeuralProcess, images: Images, p: Mapping[str, Any], seed: int) -> Trained:
    how = {name: p[name] for name in ("steps", "lr", "weight_decay", "schedule")}
    return fit(model, batches(images, p, seed), nll, **how)


@torch.inference_mode()
def _tests(model: NeuralProcess, images: Images, p: Mapping[str, Any]) -> Iterator[tuple[Test, float, float]]:
    """Each test, the NLL of all pixels that it gave, and the baseline's on the same contexts."""
    model.eval()
    generator = torch.Generator().manual_seed(p["test_seed"])
    orders = shuffled(len(images.pixels), images.pixels.shape[1], generator)
    trivial = {size: _baseline(images, orders[:, :size], p) for size in {test[0] for test in p["tests"]}}
    for test in (Test(*row) for row in p["tests"]):
        yield test, test_nll(model, images, orders, test), trivial[test.size]


def test_nll(model: NeuralProcess, images: Images, orders: Tensor, test: Test) -> float:
    """The mean NLL of all pixels; the first `size` of each image's order (`N x P`) are its context."""
    total = 0.0
    for which in torch.split(torch.arange(len(orders)), BATCH):
        colours = images.colours(which)
        chosen = arranged(orders[which, : test.size], "rows" if test.order == "rows" else "random")
        chunks = torch.split(context(colours, images.places, chosen), test.chunk, dim=1)
        total += float(nll(model.decode(_encoding(model, chunks, test), images.places), colours)) * len(which)
    return total / len(orders)


def _encoding(model: NeuralProcess, chunks: Sequence[Tensor], test: Test) -> Tensor:
    if len(chunks) == 1:
        return model.encode(chunks[0])
    for g in AGGREGATIONS:
        if test.aggregation == g:
            return model.encode_apart(chunks, g)
    return model.streamed(chunks)


def _baseline(images: Images, chosen: Tensor, p: Mapping[str, Any]) -> float:
    colours = images.colours(torch.arange(len(chosen)))
    return baseline(colours, chosen, unit_variance=p["decoder"] == "paper")


def _plateau(
    trained: Trained, images: Images, p: Mapping[str, Any], scored: Sequence[tuple[Test, float, float]]
) -> dict[str, Any]:
    """Whether the model still predicts no better than the context's mean and deviation, where every model begins, and
    the step at which its training loss first did, over a stretch of the curve; null: it never did."""
    count = min(1000, len(images.pixels))
    chosen = shuffled(count, images.pixels.shape[1], torch.Generator().manual_seed(p["test_seed"]))
    trivial = _baseline(images, chosen[:, : p["train_size"]], p)
    curve = trained.curve()
    beaten = next((step for step, loss in curve if loss < trivial), None)
    like_training = [value >= base for test, value, base in scored if test.size == test.chunk == p["train_size"]]
    stuck = like_training[0] if like_training else curve[-1][1] >= trivial
    return {"plateau": stuck, "beats_baseline_at": beaten, "train_baseline": trivial, "curve": curve}


SUITE = Suite(
    name="image-completion",
    summary="complete images from some of their pixels (NLL): contexts in one piece and streamed, larger and smaller",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "laptop": 3600, "paper": 7 * 24 * 3600},
)
