"""Pack the records of the profile `standard` as the reference results that ship with mbcbench.

Usage: python tools/reference.py ROOT [--verify N], where `mbcbench run --profile standard --no-reference --root ROOT`
has run. An interrupted run may be packed too; an encoder without all its seeds is not ranked.

With --unpack, the packed records become a run under ROOT, so that the same command continues from there on another
machine. With --verify, N trainings are repeated with the installed sources. If all scores are reproduced within the
tolerance of `mbcbench.records.reference`, the records count as those of the installed sources, and are marked so;
run.json says how many were the same in each item of each test.

Another processor rounds differently, and a few scores then differ by more than the tolerance. There, write the outcomes
of the earlier sources first (--verify N --baseline FILE, in a checkout of them): with that file, the installed sources
must have the same outcome for each item of each test.
"""

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mbcbench import registry, system
from mbcbench.api.provenance import installed_sources
from mbcbench.execution.suite import Suite
from mbcbench.records import reference, store
from mbcbench.records.cell import Cell
from mbcbench.records.files import CELLS, read_cells
from mbcbench.records.record import BROKEN, Record, Status

TASKS = {"standard-points", "standard-images", "standard-centroids"}
NOT_SHIPPED = ("peak_rss_bytes", "reused_from")  # of details: of the machine and the run, not of the score
ABOUT = ("commit", "created", "hardware", "versions", "threads")
MAX_SECONDS = 120.0  # of a training that is repeated
MEBIBYTE = 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack the newest records of every cell of the runs under a root."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of the runs")
    parser.add_argument("--verify", type=int, default=0, metavar="N", help="repeat N trainings with these sources")
    parser.add_argument("--baseline", type=Path, help="outcomes with earlier sources; written if there is no such file")
    parser.add_argument("--out", type=Path, default=reference.FOLDER, help="folder of the package data")
    parser.add_argument("--unpack", action="store_true", help="make a run of the package data instead")
    options = parser.parse_args(arguments)
    if options.unpack:
        print(f"unpacked to {unpack(options.out, options.root)}")
        return
    cells, records, info = collect(options.root)
    drawn = draw(cells, records, options.verify)
    if options.baseline and not options.baseline.exists():
        write_baseline(options.baseline, drawn)
        return
    if options.verify:
        same = verify(drawn, records, read_baseline(options.baseline))
        info["verified"] = {"commit": system.commit(), "cells": options.verify, "same": same}
        cells, records = stamp(cells, records)
    reference.save(options.out, info, cells, records)
    size = sum(path.stat().st_size for path in options.out.iterdir()) / MEBIBYTE
    print(f"{len(cells)} cells, {len(records)} records, {size:.2f} MiB in {options.out}")


def collect(root: Path) -> tuple[list[Cell], list[Record], dict[str, Any]]:
    """Return the cells of the standard tasks, their records, and a description of the newest run."""
    cells: dict[str, Cell] = {}
    records: dict[str, list[Record]] = {}
    info: dict[str, Any] = {}
    for folder in store.runs(root):
        info = store.info(folder)
        planned = {key: cell for key, cell in read_cells(folder / CELLS).items() if cell.case in TASKS}
        of_run: dict[str, list[Record]] = {}
        for record in store.records(folder):
            if record.cell in planned:
                of_run.setdefault(record.cell, []).append(_without_machine(record))
        for key, of_cell in of_run.items():
            if all(record.status not in BROKEN for record in of_cell) or key not in records:
                cells[key], records[key] = planned[key], of_cell
    ordered = sorted(cells.values(), key=_order)
    return ordered, [r for cell in ordered for r in records[cell.key]], {name: info.get(name) for name in ABOUT}


def unpack(packed: Path, root: Path) -> Path:
    """Write the packed records as a run, whose cells `mbcbench run` does not run again."""
    results = reference.load(packed)
    # When, where and by which sources they were made stays as it is.
    about = {name: results.info[name] for name in ABOUT if name in results.info}
    lists: dict[str, Any] = {"argv": [], "encoders": [], "suites": []}
    run = store.Run.create_from(root, {**about, **lists, "profile": "standard", "seed": 0, "reference": None})
    run.plan(list(results.cells.values()), {})
    run.append(results.records)
    run.close()
    return run.folder


def draw(cells: Sequence[Cell], records: Sequence[Record], count: int) -> list[Cell]:
    """Draw final trainings, the same number from each task, that took at most two minutes."""
    slow = {record.cell for record in records if record.seconds > MAX_SECONDS or record.status is not Status.OK}
    rng, drawn = random.Random(0), list[Cell]()
    for number in range(count):
        case = sorted(TASKS)[number % len(TASKS)]
        left = [c for c in cells if c.case == case and c.params["role"] == reference.FINAL and c.key not in slow]
        drawn.append(rng.choice([cell for cell in left if cell not in drawn]))
    return drawn


def verify(cells: Sequence[Cell], records: Sequence[Record], baseline: Mapping[str, Any]) -> int:
    """Run cells again, and return how many have the same outcome for each item of each test.

    Exit with a message at the first whose scores in one piece differ by more than the tolerance, or at the first whose
    outcomes are not those of the baseline, if there is one.
    """
    same = 0
    for cell in cells:
        expected = [record for record in records if record.cell == cell.key]
        actual, outcomes = repeat(cell)
        name = f"{cell.encoder} on {cell.case}, seed {cell.seed}"
        is_same = outcomes == (baseline[key_of(cell)] if baseline else [*map(outcome, expected)])
        if not is_same and (baseline or not all(map(_is_reproduced, actual, expected))):
            sys.exit(f"{name}, has other scores with these sources")
        print(f"{'the same' if is_same else 'within the tolerance'}: {name}", flush=True)
        same += is_same
    return same


def write_baseline(path: Path, cells: Sequence[Cell]) -> None:
    """Run cells again, and write their outcomes: those of the installed sources on this machine."""
    path.write_text(json.dumps({key_of(cell): repeat(cell)[1] for cell in cells}), encoding="utf-8")


def read_baseline(path: Path | None) -> dict[str, Any]:
    """Return the outcomes that `write_baseline` wrote, by `key_of`; none without a path."""
    return json.loads(path.read_text(encoding="utf-8")) if path else {}


def key_of(cell: Cell) -> str:
    """Return a key of a cell that does not depend on the sources."""
    return json.dumps([cell.suite, cell.case, cell.encoder, cell.seed, cell.params], sort_keys=True)


def repeat(cell: Cell) -> tuple[list[Record], list[Any]]:
    """Run a cell again; return its records and their outcomes, as JSON has them."""
    torch.set_num_threads(1)
    suite: Suite = registry.plugin(registry.SUITES, cell.suite).load()
    records = list(suite.run(cell))
    return records, [outcome(record) for record in records]


def stamp(cells: Sequence[Cell], records: Sequence[Record]) -> tuple[list[Cell], list[Record]]:
    """Return cells and records with the digests of the installed sources in their identity."""
    stamped = {}
    for cell in cells:
        sources = installed_sources(registry.SUITES, cell.suite) | installed_sources(registry.ENCODERS, cell.encoder)
        stamped[cell.key] = replace(cell, identity={**cell.identity, **sources})
    return list(stamped.values()), [replace(record, cell=stamped[record.cell].key) for record in records]


def outcome(record: Record) -> Any:
    """Return the encoder, the metric, its value and the outcome of each item, as JSON has them."""
    fields = [record.encoder, record.metric, record.value, record.detail.get("outcomes")]
    return json.loads(json.dumps(fields))


def _is_reproduced(actual: Record, expected: Record) -> bool:
    """Return True for a score within the tolerance. Streams are not compared, as in `reference.spot_checks`."""
    if expected.detail.get("mode") != "one piece":
        return True
    if actual.value is None or expected.value is None:
        return False
    return abs(actual.value - expected.value) <= reference.TOLERANCE[expected.metric or ""]


def _without_machine(record: Record) -> Record:
    return replace(record, detail={name: value for name, value in record.detail.items() if name not in NOT_SHIPPED})


def _order(cell: Cell) -> tuple[Any, ...]:
    return cell.case, cell.encoder, cell.params["role"], cell.params["lr"], cell.seed


if __name__ == "__main__":
    main()
