"""Errors that reach a user as one line, and the exit codes of the command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command tells the shell."""

    AS_CLAIMED = 0
    LAW_BROKEN = 1
    BROKE = 2
    USAGE = 3
    REGRESSION = 4


class UsageError(Exception):
    """The caller gave something that cannot be used; the message shows the value and the fix."""
