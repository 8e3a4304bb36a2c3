"""Task: the largest of a set of whole numbers, one to ten numbers of 1 to 99."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from ...training import Seeds, device_of, fit, on
from ...training_cells import repeated, trial
from ..classifier import SetClassifier

TEST_SEED = 50
LARGEST = 99
MEASURED = {"metric": "mae", "higher_is_better": False}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a profile chooses. train_size: the most numbers in a set; the sets of one step are equally large.

    test_sizes: of sets in one piece, and of sets streamed number by number. hyper: of the encoder.
    """

    seeds: int
    steps: int
    lr: float = 3e-3
    batch_size: int = 128
    train_size: int = 10
    test_sets: int = 1000
    test_sizes: tuple[int, ...] = (1, 5, 10, 20, 50)
    hyper: Mapping[str, Any] = field(default_factory=dict)


PROFILES: dict[Profile, Settings] = {
    "smoke": Settings(seeds=1, steps=5, batch_size=8, test_sets=20),
    "quick": Settings(seeds=1, steps=300, test_sets=200),
    "thorough": Settings(seeds=3, steps=3000),
    "paper": Settings(seeds=5, steps=10_000),
}


def cells(request: Request) -> list[Cell]:
    """One cell per encoder and seed."""
    return repeated("max-of-set", "integers", request, PROFILES[request.profile], test_seed=TEST_SEED)


def run(cell: Cell) -> Iterable[Record]:
    """Train one model by mean absolute error and test it: a record per size and mode."""
    return trial(cell, lambda seeds: _records(cell, seeds), **MEASURED)


def sets(count: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sets of n numbers as hundredths, `B x n x 1`, and the largest of each, `B x 1`."""
    x = torch.randint(1, LARGEST + 1, (count, n, 1), generator=generator) / 100
    return x, x.amax(dim=1)


def _records(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    p = cell.params
    how = {"dim_in": 1, "width": 64, "classes": 1, "seed": seeds.init, "hyper": p["hyper"]}
    model = SetClassifier(get_spec(cell.encoder), **how).to(cell.device)
    trained = fit(model, _batches(p, seeds.data), l1_loss, steps=p["steps"], lr=p["lr"])
    detail = {"data": "drawn", "train_size": p["train_size"], **trained.detail(model)}
    for test, value in _tests(model, p):
        yield cell.record(Status.OK, value=value, detail=test | detail, **MEASURED)


def _batches(p: Mapping[str, Any], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(p["steps"]):
        n = int(torch.randint(1, p["train_size"] + 1, (), generator=generator))
        yield sets(p["batch_size"], n, generator)


@torch.inference_mode()
def _tests(model: SetClassifier, p: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
    """What each test was, and the mean absolute error, in whole numbers; the baseline answers with the median."""
    model.eval()
    for n in p["test_sizes"]:
        x, y = on(device_of(model), sets(p["test_sets"], n, torch.Generator().manual_seed(p["test_seed"])))
        found = {"one piece": model(x), "streamed": list(model.stream(torch.split(x, 1, dim=1)))[-1]}
        baseline = 100 * float((y - y.median()).abs().mean())
        for mode, answer in found.items():
            test = {"mode": mode, "test_size": n, "chunk_size": n if mode == "one piece" else 1, "baseline": baseline}
            yield test, 100 * float((answer - y).abs().mean())


SUITE = Suite(
    name="max-of-set",
    summary="the largest of a set of whole numbers: mean absolute error on sets as large as trained on, and larger",
    cells=cells,
    run=run,
    seconds={"smoke": 60, "quick": 300, "thorough": 1800, "paper": 24 * 3600},
)
