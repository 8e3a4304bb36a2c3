"""Exit code of a command that ran cells."""

from collections.abc import Iterable

from mbcbench.errors import ExitCode
from mbcbench.records.record import BROKEN, UNEXPECTED, Record


def exit_code(records: Iterable[Record]) -> ExitCode:
    """Return the exit code for some records; a cell that broke takes precedence over a broken law."""
    statuses = {record.status for record in records}
    if statuses & BROKEN:
        return ExitCode.BROKE
    return ExitCode.LAW_BROKEN if statuses & UNEXPECTED else ExitCode.AS_CLAIMED
