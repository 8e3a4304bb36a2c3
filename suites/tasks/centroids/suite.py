"""Task: classify by the nearest centroid, each the encoding of a class's support set (prototypical networks)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.spec import SlotReadout
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from ...training import Schedule, Seeds, Trained, device_of, fit
from ...training_cells import repeated, trial, which_data
from .episodes import Classes, accuracies, draw, episodes, grouped, in_batches, load
from .prototypes import PrototypicalNetwork, Scale, conv_net

TEST_SEED = 40  # of the supports that are tested with: the same for every encoder and seed
MEASURED = {"metric": "accuracy", "higher_is_better": True}
SHOWN = 20  # queries a class whose embeddings are kept
KEPT = 16  # principal components of the embeddings that are kept


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses: training is the same number of steps, not of seconds, for every encoder.

    train_ways, train_support: of the episodes trained on, with as many queries as supports. scale, layer_norm: see
    `PrototypicalNetwork`. hyper, readout: the encoder's. ways, supports: every pair is tested, with so many `repeats`.
    chunk_size: of the streamed test of the largest support.
    """

    seeds: int
    steps: int
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: Schedule = "warm-cosine"
    train_ways: int = 5
    train_support: int = 10
    scale: Scale = 1.0
    layer_norm: bool = True
    hyper: Mapping[str, Any] = field(default_factory=dict)
    readout: SlotReadout | None = None
    ways: tuple[int, ...] = (5, 10)
    supports: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 400)
    repeats: int = 10
    chunk_size: int = 10


@dataclass(frozen=True, kw_only=True)
class Digits(Settings):
    """MNIST digits, through a convolutional network that is trained too."""

    channels: tuple[int, ...] = (32, 64, 128)
    embeddings: bool = False


@dataclass(frozen=True, kw_only=True)
class Exemplars(Settings):
    """Views of image patches, as the features of a network that is left as it is.

    pool: views of a class tested on that supports are drawn from. queries: views after those that are asked for.
    """

    pool: int = 10
    queries: int = 4
    weight_decay: float = 5e-4
    train_ways: int = 20
    train_support: int = 2
    ways: tuple[int, ...] = (5, 20, 100, 1000)
    supports: tuple[int, ...] = (1, 2, 5, 10)
    repeats: int = 1
    chunk_size: int = 2


# Quick: 35 encoders and two seeds are about 170 seconds of one core, of the 1,200 that a whole `mbcbench run` may take.
MNIST: dict[Profile, Digits] = {
    "smoke": Digits(seeds=1, steps=5, channels=(4, 8, 16), supports=(1, 10), repeats=2),
    "quick": Digits(
        seeds=2, steps=100, lr=3e-3, train_support=5, channels=(8, 16, 32), supports=(1, 5, 10, 50), repeats=5
    ),
    "thorough": Digits(seeds=3, steps=400, channels=(16, 32, 64)),
    "paper": Digits(
        seeds=5,
        steps=50_000,  # 50 epochs, taken for a thousand episodes each
        weight_decay=5e-4,
        schedule="milestones",
        layer_norm=False,
    ),
}
FEATURES: dict[Profile, Exemplars] = {
    "smoke": Exemplars(seeds=1, steps=5, supports=(2,), repeats=1),
    "quick": Exemplars(seeds=1, steps=100, supports=(1, 2, 5), repeats=1),
    "thorough": Exemplars(seeds=3, steps=800),
    "paper": Exemplars(seeds=5, steps=50_000, schedule="milestones", layer_norm=False),
}


def cells(request: Request) -> list[Cell]:
    """One cell per data set, encoder and seed; the exemplars are left out where there is little time."""
    found = digits(request, MNIST[request.profile])
    return found if request.profile in ("smoke", "quick") else found + exemplars(request, FEATURES[request.profile])


def digits(request: Request, settings: Digits) -> list[Cell]:
    """The cells of the case `mnist-centroids`; if embeddings are kept, then of the first seed alone."""
    more = which_data("digits", request.data)
    found = repeated("centroids", "mnist-centroids", request, settings, **more, test_seed=TEST_SEED)
    return [c if c.seed == request.seed else replace(c, params={**c.params, "embeddings": False}) for c in found]


def exemplars(request: Request, settings: Exemplars) -> list[Cell]:
    """The cells of the case `exemplar-centroids`."""
    more = which_data("exemplars", request.data)
    return repeated("centroids", "exemplar-centroids", request, settings, **more, test_seed=TEST_SEED)


def run(cell: Cell) -> Iterable[Record]:
    """Train one network and test it: a record per number of ways, size of the support, and mode."""
    return trial(cell, lambda seeds: _records(cell, seeds), **MEASURED)


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p, classes = cell.params, load(cell.case, cell.params)
    model = _network(cell, classes.train, seeds.init)
    trained = _train(model, classes.train, p, seeds.data)
    names = ("train_ways", "train_support", "scale", "layer_norm")
    detail = {"data": classes.source, **{name: p[name] for name in names}, **trained.detail(model)}
    detail |= {"curve": trained.curve(), "train_size": p["train_support"]}
    for test, accuracy in _tests(model, classes, p):
        yield cell.record(Status.OK, value=accuracy, detail=test | detail, **MEASURED)
    if p.get("embeddings"):
        kept = embeddings(model, classes, p)
        yield cell.record(Status.OK, metric="embeddings", value=kept.pop("variance_kept"), detail=kept | detail)


def _network(cell: Cell, train: Tensor, seed: int) -> PrototypicalNetwork:
    p, features = cell.params, train.dim() == 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = nn.Identity() if features else conv_net(p["channels"])
        dim = train.shape[2] if features else p["channels"][-1]
        how = {name: p[name] for name in ("scale", "layer_norm", "hyper", "readout")}
        spec, support = get_spec(cell.encoder), p["train_support"]
        return PrototypicalNetwork(spec, backbone, dim=dim, support=support, seed=seed, **how).to(cell.device)


def _train(model: nn.Module, train: Tensor, p: Mapping[str, Any], seed: int) -> Trained:
    generator = torch.Generator().manual_seed(seed)
    size, steps = 2 * p["train_support"], p["steps"]
    batches = episodes(train, ways=p["train_ways"], size=size, steps=steps, generator=generator)
    how = {name: p[name] for name in ("steps", "lr", "weight_decay", "schedule")}
    return fit(model, batches, nn.functional.cross_entropy, **how)


@torch.inference_mode()
def _tests(
    model: PrototypicalNetwork, classes: Classes, p: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], float]]:
    """What each test was, with the accuracy of the mean of raw examples as its baseline, and what it gave."""
    model.eval()
    pool, queries = _features(model, classes.pool), _features(model, classes.queries)
    encoded = grouped(in_batches(model.encode, queries.flatten(0, 1)[:, None]), queries)
    raw = classes.pool.flatten(2), classes.queries.flatten(2)
    shared = {"ways": p["ways"], "seed": p["test_seed"]}
    for size in p["supports"]:
        how = {**shared, "size": size, "repeats": p["repeats"] if size < pool.shape[1] else 1}
        baseline = accuracies(lambda sets: sets.mean(dim=1), raw[1], raw[0], **how)
        found = {"one piece": accuracies(model.encode, encoded, pool, **how)}
        if size == max(p["supports"]):
            found["streamed"] = accuracies(lambda x: model.encode_stream(x, p["chunk_size"]), encoded, pool, **how)
        for mode, of_ways in found.items():
            chunk = size if mode == "one piece" else p["chunk_size"]
            told = {"mode": mode, "test_size": size, "chunk_size": chunk, "baseline_name": "mean of raw examples"}
            for ways, accuracy in of_ways.items():
                yield told | {"ways": ways, "baseline": baseline[ways]}, accuracy


def _features(model: PrototypicalNetwork, examples: Tensor) -> Tensor:
    """The features of examples `C x V x ...`, one class at a time."""
    return torch.cat([model.features_of(row[None].to(device_of(model))) for row in examples])


@torch.inference_mode()
def embeddings(model: PrototypicalNetwork, classes: Classes, p: Mapping[str, Any]) -> dict[str, Any]:
    """Queries and centroids of several sizes of support, as principal components: what t-SNE starts from.

    queries: `C x 20 x 16`. centroids: size -> `C x 16`. variance_kept: the share of the queries' that is in them.
    """
    model.eval()
    pool, queries = _features(model, classes.pool), _features(model, classes.queries[:, :SHOWN])
    encoded = model.encode(queries.flatten(0, 1)[:, None])
    generator = torch.Generator().manual_seed(p["test_seed"])
    centre = encoded.mean(dim=0)
    _, spread, directions = torch.linalg.svd(encoded - centre, full_matrices=False)

    def components(x: Tensor) -> Tensor:
        out: Tensor = (x - centre) @ directions[:KEPT].T
        return out

    centroids = {size: model.encode(draw(pool, size, generator)) for size in p["supports"]}
    return {
        "queries": _rounded(grouped(components(encoded), queries)),
        "centroids": {str(size): _rounded(components(c)) for size, c in centroids.items()},
        "variance_kept": float(spread[:KEPT].square().sum() / spread.square().sum()),
    }


def _rounded(x: Tensor) -> Any:
    """Numbers to five significant digits: a picture shows no more, and records are kept small."""
    return _short(x.tolist())


def _short(value: Any) -> Any:
    return [_short(item) for item in value] if isinstance(value, list) else float(f"{value:.5g}")


SUITE = Suite(
    name="centroids",
    summary="classify by the nearest centroid (prototypical networks): over sizes of the support, and numbers of ways",
    cells=cells,
    run=run,
    seconds={"smoke": 120, "quick": 600, "thorough": 3600, "paper": 7 * 24 * 3600},
)
