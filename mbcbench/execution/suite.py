"""Suites: what turns encoders into cells, and cells into records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mbcbench.records.cell import Cell
from mbcbench.records.record import Record

Profile = Literal["smoke", "quick", "thorough", "paper"]
PROFILES: tuple[Profile, ...] = ("smoke", "quick", "thorough", "paper")
DataChoice = Literal["auto", "built-in", "paper"]
Device = Literal["cpu", "cuda"]
PROBE = "probe"  # the suite that imports plug-ins to learn what the others need (mbcbench.execution.probe)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a suite is asked for: which encoders (targets), how much of it, under which seed.

    data: the paper's data sets where they are present (`auto`), always, or never. device: where models are trained.
    """

    encoders: Sequence[str]
    profile: Profile
    seed: int = 0
    data: DataChoice = "auto"
    device: Device = "cpu"


Cells = Callable[[Request], list[Cell]]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table or figure: the cells it is made of, and which of their records it shows.

    where: column of a frame of records -> value. columns_by: the column whose values head the table's columns.
    only_train_size: show only tests on sets of the training size.
    """

    title: str
    cells: Cells
    where: Mapping[str, Any] = field(default_factory=dict)
    columns_by: str = "detail.test_size"
    only_train_size: bool = False


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Something that turns encoders into cells, and cells into records.

    run: called with one cell, in a process of its own. seconds: the time limit of one of its cells, per profile.
    exclusive: its cells measure time or memory, so nothing else may run at the same time.
    experiments: what it can be told to run part of. Such a suite has encoders of its own, and of the others takes
    those alone that the user names. Its cells may be those of another suite, which then runs them.
    """

    name: str
    summary: str
    cells: Cells
    run: Callable[[Cell], Iterable[Record]]
    seconds: Mapping[Profile, float]
    exclusive: bool = False
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
