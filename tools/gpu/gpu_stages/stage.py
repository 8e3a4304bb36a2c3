"""Common parts of stages: options, records that are written at once, and cells that run in turn in one process."""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mbcbench.errors import one_line
from mbcbench.records.cell import Cell
from mbcbench.records.files import encode_records, read_records
from mbcbench.records.record import BROKEN, Record, Status
from mbcbench.suites.resources import measurement


@dataclass(frozen=True)
class Options:
    """Options of a stage.

    out: file of its records.
    work: folder for files that stay there.
    dry: tiny sizes on the CPU.
    """

    out: Path
    work: Path
    dry: bool = False

    @property
    def device(self) -> str:
        return "cpu" if self.dry else "cuda"

    @property
    def meter(self) -> Callable[[measurement.Action], float]:
        """Timer that measures the seconds of an action."""
        meter: Callable[[measurement.Action], float] = (
            measurement.wall_seconds if self.dry else measurement.cuda_seconds
        )
        return meter


def _wall_seconds(action: measurement.Action) -> float:
    return float(measurement.wall_seconds(action))


def _cuda_seconds(action: measurement.Action) -> float:
    return float(measurement.cuda_seconds(action))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options of every stage."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("out", type=Path, help="the file of its records")
    options.add_argument("--work", type=Path, default=Path("."), help="folder for files that stay there")
    options.add_argument("--dry", action="store_true", help="tiny sizes on the CPU")
    return options


def parse(description: str | None) -> Options:
    """Return the options of a stage that has no others."""
    return Options(**vars(parser(description).parse_args()))


def measure(cells: Sequence[Cell], run: Callable[[Cell], Iterable[Record]], out: Path) -> None:
    """Run cells and append their records to a file; a failure is a record too.

    Cells whose records are there are not run again: after an error that a CUDA process does not survive, the program
    starts anew and goes on with the next cell.
    """
    done = {record.cell for record in read(out)}
    for cell in cells:
        if cell.key in done:
            continue
        records, is_device_lost = _try(cell, run)
        with out.open("a", encoding="utf-8") as file:
            file.write(encode_records(records, {}))
        if is_device_lost:
            os.execv(sys.executable, [sys.executable, "-m", _module(), *sys.argv[1:]])
        if any(record.status in BROKEN for record in records):
            _release_memory()


def read(path: Path) -> list[Record]:
    """Return the records of a stage, none if it did not run."""
    return read_records(path) if path.exists() else []


def _try(cell: Cell, run: Callable[[Cell], Iterable[Record]]) -> tuple[list[Record], bool]:
    """Return the records of a cell, and True if CUDA must be started anew."""
    try:
        return list(run(cell)), False
    except torch.OutOfMemoryError as error:
        return [cell.record(Status.OOM, message=one_line(error))], False
    except Exception as error:
        return [cell.record(Status.ERROR, message=one_line(error))], "CUDA error" in str(error)


def _module() -> str:
    """Return the name of the stage that runs."""
    return f"{__package__}.{Path(sys.argv[0]).stem}"


def _release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
