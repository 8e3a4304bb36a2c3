"""Task: regress the largest number of a set of one to ten whole numbers from 1 to 99."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EvaluationDetail, ScoreDetail
from mbcbench.records.record import Record

from ...metrics import Metric
from ...training import Seeds, device_of, fit, to_device
from ...training_cells import TrainingSettings, run_training, training_cells
from ..classifier import SetClassifier

TEST_SEED = 50
LARGEST = 99
MAE = Metric(name="mae")


@dataclass(frozen=True, kw_only=True)
class MaxOfSetSettings(TrainingSettings):
    """Settings of a training on sets of numbers.

    Parameters
    ----------
    batch_size
        Sets of a step, all of the same random size.
    train_size
        Largest number of elements in a training set.
    test_sets, test_seed
        The number of sets of each test, and their seed.
    test_sizes
        Sizes of the sets that are encoded in one piece, and streamed number by number.
    """

    batch_size: int = 128
    train_size: int = 10
    test_sets: int = 1000
    test_sizes: tuple[int, ...] = (1, 5, 10, 20, 50)
    test_seed: int = TEST_SEED


PROFILES: dict[Profile, MaxOfSetSettings] = {
    "smoke": MaxOfSetSettings(seeds=1, steps=5, batch_size=8, test_sets=20),
    "quick": MaxOfSetSettings(seeds=1, steps=300, test_sets=200),
    "thorough": MaxOfSetSettings(seeds=3, steps=3000),
    "paper": MaxOfSetSettings(seeds=5, steps=10_000),
}


def cells(request: Request) -> list[Cell]:
    """Return one cell per encoder and seed."""
    return training_cells("max-of-set", "integers", request, PROFILES[request.profile])


def run(cell: Cell) -> Iterable[Record]:
    """Train one model by mean absolute error and test it; one record per size and mode."""
    return run_training(cell, lambda seeds: _train_and_test(cell, seeds), MAE)


def draw_sets(count: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sets of `n` numbers, divided by 100 (`count x n x 1`); return them and the largest of each (`count x 1`)."""
    x = torch.randint(1, LARGEST + 1, (count, n, 1), generator=generator) / 100
    return x, x.amax(dim=1)


def _train_and_test(cell: Cell, seeds: Seeds) -> Iterator[Record]:
    settings = MaxOfSetSettings(**cell.params)
    spec = get_spec(cell.encoder)
    model = SetClassifier(spec, dim_in=1, width=64, outputs=1, seed=seeds.init, hyper=settings.hyper).to(cell.device)
    training = fit(model, _batches(settings, seeds.data), l1_loss, steps=settings.steps, lr=settings.lr)
    training_detail = training.detail(model, data="drawn", train_size=settings.train_size)
    for test, error in _evaluate(model, settings):
        yield MAE.record(cell, error, ScoreDetail(test=test, training=training_detail))


def _batches(settings: MaxOfSetSettings, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(settings.steps):
        n = int(torch.randint(1, settings.train_size + 1, (), generator=generator))
        yield draw_sets(settings.batch_size, n, generator)


@torch.inference_mode()
def _evaluate(model: SetClassifier, settings: MaxOfSetSettings) -> Iterator[tuple[EvaluationDetail, float]]:
    """Yield every test with its mean absolute error, in whole numbers. The baseline predicts the median."""
    model.eval()
    for n in settings.test_sizes:
        generator = torch.Generator().manual_seed(settings.test_seed)
        x, y = to_device(device_of(model), draw_sets(settings.test_sets, n, generator))
        baseline = 100 * float((y - y.median()).abs().mean())
        one_piece = model(x)
        streamed = list(model.stream(torch.split(x, 1, dim=1)))[-1]
        for mode, chunk_size, prediction in (("one piece", n, one_piece), ("streamed", 1, streamed)):
            test = EvaluationDetail(mode=mode, test_size=n, chunk_size=chunk_size, baseline=baseline)
            yield test, 100 * float((prediction - y).abs().mean())


SUITE = Suite(
    name="max-of-set",
    summary="regress the largest of a set of whole numbers (MAE), with sets as large as in training and larger ones",
    cells=cells,
    run=run,
    seconds={"smoke": 60, "quick": 300, "thorough": 1800, "paper": 24 * 3600},
)
