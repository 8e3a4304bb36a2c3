"""Trials: one training per encoder and seed, each a cell of its own."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from mbcbench.datasets import Content, choose
from mbcbench.execution.suite import DataChoice, Request
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from .training import DivergedError, Seeds

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def repeated(suite: str, case: str, request: Request, settings: "DataclassInstance", **more: Any) -> list[Cell]:
    """One cell per encoder and seed; the settings (of which `seeds` says how many) and `more` are its parameters."""
    params: dict[str, Any] = asdict(settings) | more
    repeats = params.pop("seeds")
    return [
        Cell(suite=suite, case=case, encoder=encoder, params=params, seed=request.seed + repeat, device=request.device)
        for encoder in request.encoders
        for repeat in range(repeats)
    ]


def which_data(content: Content, data: DataChoice) -> dict[str, str]:
    """Parameters that say which data set serves, the choice resolved: another one is another cell."""
    chosen = choose(content, data)
    return {"data": chosen.name, "data_sha256": chosen.sha256[:12]}


def trial(cell: Cell, train_and_test: Callable[[Seeds], Iterable[Record]], **measured: Any) -> list[Record]:
    """The records of a trial, run under seeds of its own; a loss that is not finite is a record of what is measured."""
    seeds = Seeds.of(cell.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.noise)  # of what the encoder itself draws
        try:
            return list(train_and_test(seeds))
        except DivergedError as error:
            return [cell.record(Status.ERROR, message=str(error), **measured)]
