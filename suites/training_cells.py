"""Cells of tasks: one training per encoder and seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import NamedTuple

import torch

from mbcbench.datasets import Content, PatchDataSet, choice_of, choose
from mbcbench.execution.suite import Request
from mbcbench.paper import case_on
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record
from mbcbench.types import Hyper

from .metrics import Metric
from .training import DivergedError, Seeds


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of a training; base class of the settings of every task.

    A suite turns settings into the parameters of cells (`training_cells`), and in a cell's own process parameters into
    settings: `Settings(**cell.params)`.

    Parameters
    ----------
    seeds
        Trainings per encoder. The only field that is not a parameter of the cell.
    steps
        Optimizer steps, the same for every encoder.
    lr
        The largest learning rate.
    hyper
        Hyper-parameters of the encoder.
    """

    seeds: int = 1
    steps: int
    lr: float = 3e-3
    hyper: Hyper = field(default_factory=dict)

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, list):  # cells are sent between processes as JSON, which has no tuples
                object.__setattr__(self, f.name, tuple(value))


def training_cells(suite: str, case: str, request: Request, settings: TrainingSettings) -> list[Cell]:
    """Return one cell per encoder and seed, with the settings as its parameters.

    Parameters
    ----------
    suite, case
        Names of the suite and of the task.
    request
        Gives the encoders, the first seed and the device.
    settings
        Equal settings give equal cell keys, so that equal trainings run once.

    Returns
    -------
    list[Cell]
        `len(request.encoders) * settings.seeds` cells, encoder by encoder.
    """
    params = asdict(settings)
    seeds = request.seeds or params["seeds"]
    del params["seeds"]
    return [
        Cell(suite=suite, case=case, encoder=encoder, params=params, seed=request.seed + offset, device=request.device)
        for encoder in request.encoders
        for offset in range(seeds)
    ]


def with_rates(cells: Iterable[Cell], rates: Mapping[str, float]) -> list[Cell]:
    """Return the cells with new learning rates for some encoders; other cells stay the same."""
    return [
        replace(cell, params={**cell.params, "lr": rates[cell.encoder]}) if cell.encoder in rates else cell
        for cell in cells
    ]


def with_fewer_steps(cell: Cell, share: float) -> Cell:
    """Return the cell of a shorter training, on a schedule of its own; it records no pictures and no embeddings."""
    params = {**cell.params, "steps": max(1, round(share * cell.params["steps"]))}
    unrecorded = {name: value for name, value in (("kept", 0), ("embeddings", False)) if name in params}
    return replace(cell, params=params | unrecorded)


class DatasetId(NamedTuple):
    """Name of a data set, the first digits of its digest, and whether it is a second set of its content.

    sizes: see `PatchDataSet`.
    """

    name: str
    sha256: str
    additional: bool
    sizes: Sequence[int] = ()

    def has_images(self, size: int) -> bool:
        """Return False if the data set is known to have no images of that size."""
        return not self.sizes or size in self.sizes

    def case(self, usual: str) -> str:
        """Return the name of a task on this data; an additional data set has cases of its own."""
        return case_on(self.name, usual) if self.additional else usual


def choose_dataset(content: Content, choice: str, name: str = "") -> DatasetId:
    """Return the chosen data set. Settings include it, so that other data make other cells.

    choice: see `Request.data`. name: of the data set, if the settings name it.
    """
    dataset = choose(content, name or choice_of(content, choice))
    sizes = dataset.sizes if isinstance(dataset, PatchDataSet) else ()
    return DatasetId(dataset.name, dataset.sha256[:12], dataset.additional, sizes)


def run_training(cell: Cell, train_and_test: Callable[[Seeds], Iterable[Record]], metric: Metric) -> list[Record]:
    """Train and test one model under the cell's seed.

    Parameters
    ----------
    cell
        Cell whose seed determines the seeds of the data, the initial weights and the noise.
    train_and_test
        Function that builds a model, trains it (`mbcbench.suites.training.fit`) and yields the records of its tests.
    metric
        Metric of the error record if the training diverges.

    Returns
    -------
    list[Record]
        The records of the tests, or one error. The global random state is restored.
    """
    seeds = Seeds.of(cell.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.noise)  # for random numbers of encoders, such as slots
        try:
            return list(train_and_test(seeds))
        except DivergedError as error:
            return [metric.error(cell, str(error))]
