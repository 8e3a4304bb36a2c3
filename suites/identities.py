"""Experiment: laws that decide a claim of the paper without training."""

from mbcbench.execution.suite import Request
from mbcbench.paper import ONE_SLOT, PER_CHUNK_ONE_SLOT, PUBLISHED_32
from mbcbench.records.cell import Cell

from . import laws


def identities(request: Request) -> list[Cell]:
    """Return the cells of laws that decide a claim without training, on models that the suite of laws does not have."""
    pairs = [
        *(("substance.slots", model) for model in (*ONE_SLOT, PUBLISHED_32)),
        ("mbc.partition", PER_CHUNK_ONE_SLOT),
    ]
    return [
        Cell(
            suite=laws.SUITE.name,
            case=law,
            encoder=model.encoder,
            params={"examples": laws.EXAMPLES[request.profile], "hyper": dict(model.hyper)},
            seed=request.seed,
            dtype="float64",
        )
        for law, model in pairs
    ]
