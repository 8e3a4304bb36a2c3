"""Suites: plug-ins that turn encoders into cells, and cells into records."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from mbcbench.records.cell import Cell
from mbcbench.records.record import Record
from mbcbench.types import Device, JsonObject
from mbcbench.types import Profile as Profile  # noqa: PLC0414 # suites take it from here

PROFILES: tuple[Profile, ...] = get_args(Profile)
SLOW_PROFILES: tuple[Profile, ...] = ("thorough", "paper")  # try the slow laws too
PROBE = "probe"  # suite whose cells import and describe plug-ins (mbcbench.execution.probe)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for the cells of a suite.

    Parameters
    ----------
    encoders
        Targets.
    profile
        How much to run.
    seed
        Seed of the first repetition.
    data
        `auto` uses the paper's data sets where they are present, `built-in` never uses them, and `paper` always does.
        Names of data sets, separated by commas, select these for their contents; other contents are chosen as by
        `auto`.
    device
        Device on which models are trained.
    seeds
        Trainings per encoder, in place of the profile's number.
    reference
        True to use the reference results that ship with mbcbench in place of the trainings that they contain.
    draw
        Seed of the choice of the reference cells that are trained again as a spot check.
    """

    encoders: Sequence[str]
    profile: Profile
    seed: int = 0
    data: str = "auto"
    device: Device = "cpu"
    seeds: int | None = None
    reference: bool = True
    draw: int = 0


@dataclass(frozen=True, kw_only=True)
class PlanParams:
    """Parameters of the probe that asks a suite for its cells (internal; see `Request`).

    encoders: all of them; user_encoders: those that the user named. only: the experiments to run, or none for all.
    records: those of the suite's first cells, where its follow-up is planned.
    """

    suite: str
    profile: Profile
    data: str
    device: Device
    encoders: Sequence[str]
    user_encoders: Sequence[str]
    only: Sequence[str]
    seeds: int | None = None
    reference: bool = True
    draw: int = 0
    records: Sequence[JsonObject] = ()


@dataclass(frozen=True, kw_only=True)
class DataNeed:
    """Data that a cell loads: `data_set(name).loader(**arguments)`. The data are prepared before any cell runs.

    Parameters
    ----------
    name
        Name of the data set.
    arguments
        Arguments of the loader by name, as plain data.
    loader
        Name of the method that loads the data.
    """

    name: str
    arguments: JsonObject = field(default_factory=dict)
    loader: str = "load"

    @property
    def key(self) -> str:
        """Text that is equal for equal needs."""
        return json.dumps([self.name, self.loader, self.arguments], sort_keys=True)


Cells = Callable[[Request], list[Cell]]
Needs = Callable[[Cell], Iterable[DataNeed]]
FollowUp = Callable[[Request, Sequence[Record]], list[Cell]]


def no_warm_up(cell: Cell) -> None:
    """Do nothing, for a suite whose cells of an encoder have nothing in common."""


def no_needs(cell: Cell) -> tuple[DataNeed, ...]:
    """Return the needs of a cell that loads no data."""
    return ()


@dataclass(frozen=True)
class Experiment:
    """A part of a suite that can be run alone: its cells, and which of their records it shows.

    Parameters
    ----------
    title
        One line.
    cells
        Function of a `Request` that returns the cells.
    where
        Filter of the records: value by column of their frame.
    columns_by
        Column of the frame whose values head the columns of the table.
    only_train_size
        Show only tests on sets as large as in training.
    """

    title: str
    cells: Cells
    where: JsonObject = field(default_factory=dict)
    columns_by: str = "detail.test_size"
    only_train_size: bool = False


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A plug-in that turns encoders into cells, and cells into records.

    Parameters
    ----------
    name
        Registered name.
    summary
        One line.
    cells
        Function of a `Request` that returns the cells.
    run
        Function of a cell that returns its records. It is called in a process of its own, which may crash or be killed.
    seconds
        Time limit of one cell in seconds, by profile.
    needs
        Function of a cell that returns the data that `run` loads. The data are prepared once for all cells, outside
        their limits. For a cell of another suite, that suite is asked.
    warm_up
        Function of a cell that does the work that all cells of an encoder repeat, and keeps the result for `run`. It is
        called in the process from which the cells of a user's encoder are forked. Its exceptions are ignored, since
        they occur again in the cells.
    exclusive
        Run the cells with nothing else at the same time, because they measure time or memory.
    follow_up
        Function of a request and the records of the first cells that returns cells which depend on these records, such
        as trainings with the learning rate that a search has chosen. The records are those of this suite only, and with
        `--shard` those of some encoders only, so the function should decide for each encoder on its own.
    experiments
        Parts that can be run alone, by name. A suite with experiments has encoders of its own and adds only those that
        the user names. Its cells may belong to another suite, which then runs them.
    """

    name: str
    summary: str
    cells: Cells
    run: Callable[[Cell], Iterable[Record]]
    seconds: Mapping[Profile, float]
    needs: Needs = no_needs
    warm_up: Callable[[Cell], None] = no_warm_up
    exclusive: bool = False
    follow_up: FollowUp | None = None
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
