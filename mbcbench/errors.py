"""Errors that reach a user as one line, and the exit codes of the command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command tells the shell."""

    AS_CLAIMED = 0
    LAW_BROKEN = 1
    BROKE = 2
    USAGE = 3
    REGRESSION = 4
    INTERRUPTED = 130


class UsageError(Exception):
    """The caller gave something that cannot be used; the message shows the value and the fix."""


class BrokenPluginError(Exception):
    """The plug-in's own code raised while it was imported, built or run; the message is one line."""


def one_line(error: BaseException) -> str:
    """An exception as one line: its type and the first line of its message."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
