"""The cells of the profile `standard`, and the suites that have it. docs/standard.md describes the protocol.

Every encoder is trained on each task under the same rule. First its learning rate is chosen from a grid, by the
validation loss of short trainings under a seed that is not reported. Then it is trained under each reported seed, and
once for twice the steps, to see whether it has converged.
"""

import importlib.util
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mbcbench import registry
from mbcbench.errors import UsageError
from mbcbench.execution import digest
from mbcbench.execution.suite import DataNeed, Request, Suite
from mbcbench.records import reference
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from ...training_cells import training_cells
from . import training
from .task import StandardSettings, StandardTask

SEEDS = 5
SEARCH_SEED = 1000  # added to the first seed: no reported training has this seed
SPOT_CHECKS = 2  # reference cells of each task that are trained again
SPOT_CHECK_SECONDS = 60.0  # most that they took in the reference
CELL_SECONDS = 3600.0
PROFILE = "standard"
PROFILES = ("quick", PROFILE)  # `quick` only shows the reference results, and checks some of them

# Encoders that equal another one in one piece: they have the same weights and encoding, but other steps. Each is tested
# with the weights of that encoder.
TRAINED_AS = {
    "sse-literal-max": "sse-random",
    "sse-literal-mean": "sse-random",
    "sse-literal-min": "sse-random",
    "sse-mean-of-chunk-means": "sse-random-mean",
    "sse-hierarchical-per-chunk": "sse-hierarchical",
}


def add_standard(suite: Suite, task: StandardTask[Any]) -> Suite:
    """Return a suite with the profile `standard` of its task, in addition to its own profiles."""

    def all_cells(request: Request) -> list[Cell]:
        return cells(task, request) if request.profile in PROFILES else suite.cells(request)

    def run(cell: Cell) -> Iterable[Record]:
        return training.run(task, cell) if cell.case == task.case else suite.run(cell)

    def needs(cell: Cell) -> Iterable[DataNeed]:
        return task.needs(cell) if cell.case == task.case else suite.needs(cell)

    return replace(
        suite,
        cells=all_cells,
        run=run,
        needs=needs,
        follow_up=partial(follow_up, task),
        seconds={**suite.seconds, "standard": CELL_SECONDS},
    )


def cells(task: StandardTask[Any], request: Request) -> list[Cell]:
    """Return the first cells of a task.

    With the profile `quick` these are a spot check of the reference results. With `standard` they are the search for
    the learning rate of each encoder that the reference results lack. Without reference results all encoders are
    trained, with the learning rates of the reference if the number of seeds is given.

    Raises UsageError if other data than the built-in sets are requested: scores on them could not be compared.
    """
    if request.data not in ("auto", "built-in"):
        raise UsageError(
            f"--data {request.data}: the profile {request.profile} has fixed data sets; use --profile thorough or paper"
        )
    if request.reference and request.profile == "quick":
        return spot_check_cells(task, request)
    settings = replace(task.settings, data=task.dataset.name, data_sha256=task.dataset.sha256[:12])
    encoders, rates = _bases(_missing(task, request)), _known_rates(task, request)
    unknown = [encoder for encoder in encoders if encoder not in rates]
    searches = [replace(settings, role="search", steps=task.search_steps, lr=lr) for lr in task.rates]
    planned = [cell for search in searches for cell in _search_cells(task, request, unknown, search)]
    for encoder in encoders:
        if encoder in rates:
            planned += _final_cells(task, request, encoder, replace(settings, lr=rates[encoder]))
    return planned


def follow_up(task: StandardTask[Any], request: Request, records: Sequence[Record]) -> list[Cell]:
    """Return the cells of the final and doubled trainings, given the records of the search.

    An encoder without any finite validation loss is trained with the smallest learning rate, so that its records show
    the problem.
    """
    planned: list[Cell] = []
    for encoder in _bases(request.encoders):
        searched = [
            record
            for record in records
            if record.encoder == encoder and record.case == task.case and record.params["role"] == "search"
        ]
        if searched:
            settings = replace(
                StandardSettings(**searched[0].params), steps=task.settings.steps, lr=best_rate(searched)
            )
            planned += _final_cells(task, request, encoder, settings)
    return planned


def spot_check_cells(task: StandardTask[Any], request: Request) -> list[Cell]:
    """Draw reference cells of the encoders of a request, to be trained again: `SPOT_CHECKS` that are not slow."""
    candidates = [
        cell
        for cell in reference.load().final_cells(task.case)
        if cell.encoder in request.encoders and cell.device == request.device
    ]
    seconds = {record.cell: record.seconds for record in reference.load().records}
    quick = [cell for cell in candidates if seconds[cell.key] <= SPOT_CHECK_SECONDS]
    drawn = random.Random(f"{request.draw} {task.case}").sample(quick, min(SPOT_CHECKS, len(quick)))
    return [replace(cell, identity={}) for cell in drawn]


def _missing(task: StandardTask[Any], request: Request) -> list[str]:
    """Return the encoders of a request that the reference results do not cover."""
    if not request.reference or request.device != "cpu":
        return list(request.encoders)
    seeds = reference.load().seeds(task.case)
    return [encoder for encoder in request.encoders if len(seeds.get(encoder, ())) < SEEDS]


def _known_rates(task: StandardTask[Any], request: Request) -> dict[str, float]:
    """Return the learning rates that need no search: those of the reference, if the number of seeds is given."""
    return reference.load().rates(task.case) if request.seeds is not None else {}


def _search_cells(
    task: StandardTask[Any], request: Request, encoders: Sequence[str], settings: StandardSettings
) -> list[Cell]:
    under_search_seed = replace(request, encoders=encoders, seed=request.seed + SEARCH_SEED, seeds=1)
    return training_cells(task.suite, task.case, under_search_seed, settings)


def _final_cells(task: StandardTask[Any], request: Request, encoder: str, settings: StandardSettings) -> list[Cell]:
    """Return the cells of one encoder: the reported seeds, and twice the steps if their number is not given."""
    variants = tuple(name for name, base in TRAINED_AS.items() if base == encoder)
    final = replace(settings, role="final", variants=variants)
    alone = replace(request, encoders=[encoder], seeds=request.seeds or SEEDS)
    planned = training_cells(task.suite, task.case, alone, final)
    if request.seeds is None:
        doubled = replace(final, role="doubled", steps=2 * final.steps, variants=())
        planned += training_cells(task.suite, task.case, replace(alone, seeds=1), doubled)
    return [_with_sources_of_variants(cell) for cell in planned]


def best_rate(searched: Sequence[Record]) -> float:
    """Return the learning rate with the least validation loss, or the smallest one if no loss is finite."""
    losses = {
        float(record.params["lr"]): record.value
        for record in searched
        if record.status is Status.OK and record.value is not None and math.isfinite(record.value)
    }
    if not losses:
        return min(float(record.params["lr"]) for record in searched)
    return min(losses, key=lambda rate: losses[rate])


def _bases(encoders: Iterable[str]) -> list[str]:
    """Return the encoders to train, for encoders to test."""
    return list(dict.fromkeys(TRAINED_AS.get(encoder, encoder) for encoder in encoders))


def _with_sources_of_variants(cell: Cell) -> Cell:
    """Return the cell with the digest of the sources of its variants, which its own encoder does not import."""
    variants = cell.params["variants"]
    if not variants:
        return cell
    modules = sorted({registry.plugin(registry.ENCODERS, name).module for name in variants})
    sources = [importlib.util.find_spec(module) for module in modules]
    paths = [Path(source.origin) for source in sources if source is not None and source.origin]
    return replace(cell, identity={**cell.identity, "variants source": digest.files(paths)})
