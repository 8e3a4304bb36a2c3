"""The suite of laws: one cell per encoder and law."""

from collections.abc import Iterable

from mbcbench import registry
from mbcbench.execution.suite import Profile, Request, Suite
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
    checker = Checker(
        cell.encoder,
        dim_in=cell.params.get("dim_in"),
        seed=cell.seed,
        expected_failures=cell.params.get("expected_failures"),
        reference=cell.params.get("reference"),
    )
    yield checker.judge_cell(cell, Budget(int(cell.params["examples"])))


SUITE = Suite(
    name="laws",
    summary="random search for counterexamples to the laws",
    cells=cells,
    run=run,
    seconds={"smoke": 60.0, "quick": 60.0, "thorough": 600.0, "paper": 600.0},
)
