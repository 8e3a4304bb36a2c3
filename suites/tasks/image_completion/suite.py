"""Task: complete an image from some of its pixels, by a Conditional Neural Process around the set encoder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mbcbench.datasets import choose
from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.spec import SlotReadout
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from ...training import Schedule, Seeds, Trained, fit
from ...training_cells import repeated, trial, which_data
from ..partitions import Estimator, Sampling
from .neural_process import DecoderKind, NeuralProcess, nll
from .pixels import Coordinates, Images, as_images, baselines, context, shuffled, subsets
from .protocol import QUICK, TESTS_32, Score, Test, completed, literal, scores, slot_tests

TEST_SEED = 30  # of the contexts that are tested on: the same for every encoder and seed
MEASURED = {"metric": "nll", "unit": "nats", "higher_is_better": False}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses: training is the same number of steps, not of seconds, for every encoder.

    size: of the images, in pixels. train_size: of the context. targets: pixels that a step is trained on, drawn at
    random; all are tested on. estimator, gradient_size: see `Sampling`. hyper, readout: the encoder's.
    kept: test images whose completions are kept for pictures, under the first seed.
    coordinates: `centred`, in [-1, 1], or `unit`, in [0, 1) as the paper has them, which learns several times slower.
    """

    seeds: int
    steps: int
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
    kept: int = 0


# Quick: 35 encoders and two seeds are about 270 seconds of one core, of the 1,200 that a whole `mbcbench run` may take.
# So few steps leave most models on the plateau, which their records say.
PROFILES: dict[Profile, Settings] = {
    "smoke": Settings(
        seeds=1,
        steps=5,
        batch_size=4,
        train_images=50,
        test_images=8,
        tests=(*QUICK, *literal(200, 50), *slot_tests(50, 8)),
        kept=1,
    ),
    "quick": Settings(
        seeds=2, steps=400, lr=5e-3, train_size=100, targets=32, batch_size=8, test_images=32, tests=QUICK
    ),
    "thorough": Settings(seeds=3, steps=2000, test_images=128, tests=TESTS_32),
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


def cells(request: Request) -> list[Cell]:
    """One cell per encoder and seed."""
    return completions(request, PROFILES[request.profile])


def completions(request: Request, settings: Settings) -> list[Cell]:
    """The cells of any settings; images of 32 pixels and of 64 are two cases."""
    case = f"patches-{settings.size}"
    data = which_data("patches", request.data)
    found = repeated("image-completion", case, request, settings, **data, test_seed=TEST_SEED)
    return [c if c.seed == request.seed else replace(c, params={**c.params, "kept": 0}) for c in found]


def run(cell: Cell) -> Iterable[Record]:
    """Train one model and test it: a record per test."""
    return trial(cell, lambda seeds: _records(cell, seeds), **MEASURED)


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p = cell.params
    train, test, source = load(p)
    noise = torch.Generator().manual_seed(seeds.noise)
    model = NeuralProcess(
        get_spec(cell.encoder),
        seed=seeds.init,
        decoder=p["decoder"],
        layer_norm=p["layer_norm"],
        hyper=p["hyper"],
        readout=p["readout"],
        sampling=Sampling(p["estimator"], p["gradient_size"], noise),
    ).to(cell.device)
    trained = _train(model, train, p, seeds.data)
    scored = list(scores(model, test, [Test(*row) for row in p["tests"]], p["test_seed"]))
    detail = {"data": source, "train_size": p["train_size"], **trained.detail(model)}
    detail |= _plateau(trained, train, p, scored)
    for score in scored:
        yield cell.record(Status.OK, value=score.value, detail=score.detail() | detail, **MEASURED)
    if p["kept"]:
        kept = completed(model, test, p["kept"], p["test_seed"])
        yield cell.record(Status.OK, metric="completions", value=kept.pop("error"), detail=kept | detail)


def load(p: Mapping[str, Any]) -> tuple[Images, Images, str]:
    """The images to train on and to test on, and where they come from."""
    data = choose("patches", p["data"]).load(size=p["size"])
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
        chosen = subsets(len(which), count, p["train_size"], generator)
        targets = torch.randperm(count, generator=generator)[: p["targets"]]
        yield (context(colours, images.places, chosen), images.places[targets]), colours[:, targets]


def _train(model: NeuralProcess, images: Images, p: Mapping[str, Any], seed: int) -> Trained:
    how = {name: p[name] for name in ("steps", "lr", "weight_decay", "schedule")}
    return fit(model, batches(images, p, seed), nll, **how)


def _plateau(trained: Trained, images: Images, p: Mapping[str, Any], scored: Sequence[Score]) -> dict[str, Any]:
    """Whether the model still predicts no better than each channel's mean and deviation over the context, and the
    end of the first stretch of the curve over which the loss was less than theirs; null: it never was."""
    own = _baselines_of_training(images, p)[0]
    curve = trained.curve()
    beaten = next((step for step, loss in curve if loss < own), None)
    as_trained = [s for s in scored if s.test.size == s.test.chunk == p["train_size"]]
    stuck = as_trained[0].value >= as_trained[0].baseline if as_trained else curve[-1][1] >= own
    return {"plateau": stuck, "beats_baseline_at": beaten, "train_baseline": own, "curve": curve}


def _baselines_of_training(images: Images, p: Mapping[str, Any]) -> tuple[float, float]:
    """The baselines on contexts of the size that is trained on."""
    count = min(1000, len(images.pixels))
    chosen = shuffled(count, images.pixels.shape[1], torch.Generator().manual_seed(p["test_seed"]))
    colours = images.colours(torch.arange(count))
    return baselines(colours, chosen[:, : p["train_size"]], unit_variance=p["decoder"] == "paper")


SUITE = Suite(
    name="image-completion",
    summary="complete images from some of their pixels (NLL): contexts in one piece and streamed, larger and smaller",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "thorough": 3600, "paper": 7 * 24 * 3600},
)
