"""Pack the records of the profile `standard` as the reference results that ship with mbcbench.

Usage: python tools/reference.py ROOT, where `mbcbench run --profile standard --no-reference --root ROOT` has run. An
interrupted run may be packed too; an encoder without all its seeds is not ranked.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench.records import reference, store
from mbcbench.records.cell import Cell
from mbcbench.records.files import CELLS, read_cells
from mbcbench.records.record import BROKEN, Record

TASKS = {"standard-points", "standard-images", "standard-centroids"}
NOT_SHIPPED = ("peak_rss_bytes", "reused_from")  # of details: of the machine and the run, not of the score
ABOUT = ("commit", "created", "hardware", "versions", "threads")
MEBIBYTE = 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack the newest records of every cell of the runs under a root."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of the runs")
    parser.add_argument("--out", type=Path, default=reference.FOLDER, help="folder of the package data")
    options = parser.parse_args(arguments)
    cells, records, info = collect(options.root)
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


def _without_machine(record: Record) -> Record:
    return replace(record, detail={name: value for name, value in record.detail.items() if name not in NOT_SHIPPED})


def _order(cell: Cell) -> tuple[Any, ...]:
    return cell.case, cell.encoder, cell.params["role"], cell.params["lr"], cell.seed


if __name__ == "__main__":
    main()
