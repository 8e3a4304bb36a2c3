"""Mark the trainings of a run as made by the installed sources, once some of them were repeated with the same results.

Usage: python tools/restamp.py RUN [--repeat N]

A cell is not reused when a source that it imports has changed, although most changes leave its results as they are. For
a run of days, N trainings are repeated instead. If each has the same outcome for each item of each test, the trainings
of the run get the digests of the installed sources; run.json says which were repeated and with which commit.

Another processor rounds differently. There, write the outcomes of the earlier sources first, with --baseline in a
checkout of them: with that file, the installed sources must have the same outcomes.
"""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from migrate_runs import rewrite
from reference import key_of, outcome, read_baseline, repeat, stamp, write_baseline

from mbcbench import system
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.files import CELLS, read_cells
from mbcbench.records.record import Record, Status

MAX_SECONDS = 120.0  # of a training that is repeated


def main(arguments: Sequence[str] | None = None) -> None:
    """Repeat trainings of a run, and rewrite the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="number of trainings to repeat")
    parser.add_argument("--baseline", type=Path, help="outcomes with earlier sources; written if there is no such file")
    options = parser.parse_args(arguments)
    cells, records = read_cells(options.run / CELLS), trainings(options.run)
    drawn = draw(records, options.repeat)
    if not drawn:
        sys.exit(f"no training of {options.run} would be repeated; nothing was changed")
    if options.baseline and not options.baseline.exists():
        write_baseline(options.baseline, [cells[key] for key in drawn])
        return
    baseline = read_baseline(options.baseline)
    for key in drawn:
        verify(cells[key], records[key], baseline)
    stamped, restamped = stamp([cells[key] for key in records], [r for of_cell in records.values() for r in of_cell])
    others = [record for record in store.records(options.run) if record.cell not in records]
    repeated = [f"{cells[key].encoder} on {cells[key].case}, seed {cells[key].seed}" for key in drawn]
    info = store.info(options.run)
    verified = [*info.get("verified", ()), {"commit": system.commit(), "cells": len(stamped), "repeated": repeated}]
    all_cells = [*(cell for key, cell in cells.items() if key not in records), *stamped]
    rewrite(options.run, {**info, "verified": verified}, all_cells, others + restamped)


def trainings(folder: Path) -> Mapping[str, list[Record]]:
    """Return the records of the trainings of a run, by cell."""
    by_cell: dict[str, list[Record]] = {}
    for record in store.records(folder):
        by_cell.setdefault(record.cell, []).append(record)
    return {key: of_cell for key, of_cell in by_cell.items() if all("steps" in record.params for record in of_cell)}


def draw(records: Mapping[str, list[Record]], count: int) -> list[str]:
    """Draw trainings of different suites and encoders, as far as there are some, that took at most two minutes."""
    rng, drawn = random.Random(0), list[str]()
    ended = {key: r for key, r in records.items() if r[0].status is Status.OK and r[0].seconds <= MAX_SECONDS}
    for _ in range(min(count, len(ended))):
        seen = [(records[key][0].suite, records[key][0].encoder) for key in drawn]
        left = {key: (r[0].suite, r[0].encoder) for key, r in ended.items() if key not in drawn}
        suites = {suite for suite, _ in seen}
        rank = {key: (suite in suites, (suite, encoder) in seen) for key, (suite, encoder) in left.items()}
        drawn.append(rng.choice([key for key in left if rank[key] == min(rank.values())]))
    return drawn


def verify(cell: Cell, expected: Sequence[Record], baseline: Mapping[str, Any]) -> None:
    """Run a cell again. Exit with a message if a result is another one than expected, or than in the baseline."""
    name = f"{cell.encoder} on {cell.case}, seed {cell.seed}"
    if repeat(cell)[1] != (baseline[key_of(cell)] if baseline else [*map(outcome, expected)]):
        sys.exit(f"{name}, has other results with these sources; nothing was changed")
    print(f"the same: {name}", flush=True)


if __name__ == "__main__":
    main()
