"""Prepare data once for all cells that need them, without a time limit and before any cell starts."""

import importlib.util
import json
import tempfile
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mbcbench import system
from mbcbench.errors import EXTRAS, UsageError, install_hint
from mbcbench.execution import runner
from mbcbench.execution.runner import Event, Finished, Job, Limits
from mbcbench.execution.suite import PROBE, DataNeed
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, NOT_RUN, Record, Status

if TYPE_CHECKING:
    from mbcbench.datasets.progress import Report

PREPARE = "prepare"  # case of the probe that prepares data
LIMITS = Limits(seconds=None, memory_bytes=16 * 2**30)  # more memory than any data set takes
SECONDS_BETWEEN_REPORTS = 0.5


def prepare_data(jobs: Sequence[Job], workers: int, libraries: Sequence[str] = ()) -> Generator[Event, None, list[Job]]:
    """Prepare the data that jobs need, and return the jobs that can run. workers, libraries: see `runner.run`.

    The others end here, with a record that says why their data are missing: that is not the fault of an encoder.
    Raises UsageError if the libraries that prepare data are not installed.
    """
    _require_libraries({job.cell.suite for job in jobs if job.needs})
    needs = {need.key: need for job in jobs for need in job.needs}
    failures: dict[str, Record] = {}  # by key of the need
    with tempfile.TemporaryDirectory(prefix="mbcbench-") as folder:
        preparations = [_preparation(need, Path(folder) / f"{n}.json") for n, need in enumerate(needs.values())]
        for event in runner.run(preparations, workers=workers, libraries=libraries):
            if not isinstance(event, Finished):
                yield event
                continue
            (record,) = event.records
            if record.status is not Status.OK:
                failures[_need_of(event.cell).key] = record
            yield Finished(event.cell, ())  # what went wrong is in the records of the cells
    ready = []
    for job in jobs:
        missing = next((need for need in job.needs if need.key in failures), None)
        if missing is None:
            ready.append(job)
        else:
            yield Finished(job.cell, (_not_run(job.cell, missing, failures[missing.key]),))
    return ready


def _require_libraries(suites: Collection[str]) -> None:
    if not suites:
        return
    missing = [module for module, extra in EXTRAS.items() if extra == "tasks" and not importlib.util.find_spec(module)]
    if missing:
        names, verb = ", ".join(sorted(suites)), "needs" if len(suites) == 1 else "need"
        raise UsageError(f"{names} {verb} data sets, which {missing[0]} helps to prepare; {install_hint(missing[0])}")


def run_probe(cell: Cell) -> None:
    """Prepare the data of a probe. Raises UsageError with the remedy if that fails."""
    from mbcbench.datasets import data_set
    from mbcbench.datasets.progress import listen

    need = _need_of(cell)
    with listen(_Reporter(Path(cell.params["progress"]))):
        data_set(need.name).prepare(need.loader, need.arguments)


def _preparation(need: DataNeed, progress: Path) -> Job:
    params = {"need": asdict(need), "progress": str(progress)}
    return Job(Cell(suite=PROBE, case=PREPARE, encoder="", params=params), LIMITS, progress=progress)


def _need_of(cell: Cell) -> DataNeed:
    return DataNeed(**cell.params["need"])


def _not_run(cell: Cell, need: DataNeed, cause: Record) -> Record:
    """Return the record of a cell whose data cannot be prepared."""
    remedy = "" if cause.status is Status.USAGE else f"; try: mbcbench data fetch {need.name}"
    message = f"{NOT_RUN}the data set {need.name} cannot be prepared: {cause.message}{remedy}"
    return cell.record(cause.status if cause.status in BROKEN else Status.ERROR, message=message)


class _Reporter:
    """Writes the latest report of this process to a file, where the runner reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = -SECONDS_BETWEEN_REPORTS

    def __call__(self, report: "Report") -> None:
        now = time.monotonic()
        if report.done == 0 or now - self._last >= SECONDS_BETWEEN_REPORTS:
            self._last = now
            system.write_atomically(self._path, json.dumps(asdict(report)).encode())
