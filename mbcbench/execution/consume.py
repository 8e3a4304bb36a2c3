"""Consume the steps of a plan: show progress, store the records, and end early on Ctrl-C."""

import contextlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mbcbench.errors import plural
from mbcbench.execution.exit_code import exit_code
from mbcbench.execution.planner import Planned, Step, Steps
from mbcbench.execution.progress import Progress, watch
from mbcbench.execution.runner import Finished
from mbcbench.records import store
from mbcbench.records.record import BROKEN, Record, frame

if TYPE_CHECKING:
    import pandas as pd

    from mbcbench.errors import ExitCode

logger = logging.getLogger(__name__)

PLANNING = ("plan", "follow-up")  # probes that ask suites for cells


@dataclass
class RunResult:
    """Result of running cells.

    Attributes
    ----------
    progress
        Numbers of cells that were run, reused or failed, and their durations.
    records
        Records of all cells, without those of successful probes for planning.
    folder
        Folder of the run that stores the records; None if they are not stored.
    interrupted
        True after Ctrl-C.
    frame : pandas.DataFrame
        The records, one row each.
    exit_code : ExitCode
        Exit code of a command with these records.
    """

    progress: Progress
    records: list[Record] = field(default_factory=list)
    folder: Path | None = None
    interrupted: bool = False

    @property
    def frame(self) -> "pd.DataFrame":
        """The records as a frame, one row each."""
        return frame(self.records)

    @property
    def exit_code(self) -> "ExitCode":
        """Exit code of a command with these records."""
        return exit_code(self.records)

    @property
    def progress_text(self) -> str:
        """Message with the number of cells that ended before the interruption."""
        done, total = self.progress.done, self.progress.total
        count = plural(done, "cell") if total is None else f"{done} of {plural(total, 'cell')}"
        return f"interrupted after {count}"


def consume(steps: Steps, jobs: int, *, run: store.Run | None = None, quiet: bool = False) -> RunResult:
    """Run all steps, show progress on standard error unless `quiet`, and store the records in `run`."""
    from rich.console import Console

    result = RunResult(Progress(jobs), folder=run.folder if run is not None else None)
    with watch(Console(stderr=True, emoji=False), result.progress, quiet=quiet) as see:
        try:
            with contextlib.closing(steps):
                for step in steps:
                    see(step)
                    _store(step, result, run)
        except KeyboardInterrupt:
            result.interrupted = True
    for record in result.records:
        if record.case in PLANNING:
            logger.warning("the suite %s broke: %s", record.params["suite"], record.message)
    return result


def _store(step: Step, result: RunResult, run: store.Run | None) -> None:
    if isinstance(step, Planned) and run is not None:
        run.plan(step.cells, step.experiments, step.digest, step.hardware)
    if isinstance(step, Finished):
        records = [record for record in step.records if not _is_sound_probe(record)]
        result.records += records
        if run is not None:
            run.append(records)


def _is_sound_probe(record: Record) -> bool:
    """Return True for the record of a successful probe for planning, which is not stored."""
    return record.case in (*PLANNING, "source") and record.status not in BROKEN
