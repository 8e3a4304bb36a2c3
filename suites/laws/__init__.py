"""The suite of laws: one cell per encoder and law."""

import json
from collections.abc import Iterable
from functools import lru_cache

from mbcbench import registry
from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.customize import BuildOptions
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record
from mbcbench.verify.checker import Budget, Checker

EXAMPLES: dict[Profile, int] = {"smoke": 200, "quick": 256, "thorough": 20000, "paper": 20000}


def cells(request: Request) -> list[Cell]:
    """Return a cell for every encoder and registered law."""
    laws = registry.plugins(registry.LAWS)
    params = {"examples": EXAMPLES[request.profile]}
    return [
        Cell(suite="laws", case=law, encoder=encoder, params=params, seed=request.seed, dtype="float64")
        for encoder in request.encoders
        for law in laws
    ]


def run(cell: Cell) -> Iterable[Record]:
    """Search for a counterexample to one law."""
    yield _checker(cell).judge_cell(cell, Budget(int(cell.params["examples"])))


def warm_up(cell: Cell) -> None:
    """Build the encoder and determine the facts that the search depends on, once for all laws."""
    _ = _checker(cell).independent_sets


def _checker(cell: Cell) -> Checker:
    return _build_checker(cell.encoder, cell.seed, json.dumps(cell.params, sort_keys=True))


@lru_cache(maxsize=1)
def _build_checker(encoder: str, seed: int, params_json: str) -> Checker:
    params = json.loads(params_json)
    return Checker(
        encoder,
        seed=seed,
        expected_failures=params.get("expected_failures"),
        reference=params.get("reference"),
        options=BuildOptions.from_params(params),
    )


SUITE = Suite(
    name="laws",
    summary="random search for counterexamples to the laws",
    cells=cells,
    run=run,
    warm_up=warm_up,
    seconds={"smoke": 60.0, "quick": 60.0, "thorough": 600.0, "paper": 600.0},
)
