"""Output of the commands. `rich` is imported when something is printed, so that `--help` does not pay for it."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbcbench.errors import ExitCode, Interrupted
from mbcbench.types import JsonObject

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from mbcbench.records.record import Status

WIDTH_OF_PIPES = 160  # columns where standard output is not a terminal and COLUMNS is not set


def print_error(message: str) -> None:
    """Print a message to standard error, as one line."""
    sys.stderr.write(f"mbcbench: {' '.join(message.split())}\n")


def print_interrupted(reason: Interrupted | str) -> ExitCode:
    """Print how far a command got before Ctrl-C, and return its exit code."""
    print_error(str(reason))
    return ExitCode.INTERRUPTED


def print_out(text: "RenderableType", **options: Any) -> None:
    """Print text or a table to standard output. In a pipe, tables are wide and have no trailing blanks."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(emoji=False).print(text, **options)
        return
    console = Console(width=output_width(), emoji=False)
    with console.capture() as captured:
        console.print(text, **options)
    sys.stdout.write(re.sub(r"[ ]+$", "", captured.get(), flags=re.MULTILINE))


def output_width() -> int:
    """Return the number of columns of standard output."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console().width
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) else WIDTH_OF_PIPES


def print_line(text: str) -> None:
    """Print a line as it is: never wrapped, no markup, no colours."""
    print_out(text, markup=False, highlight=False, soft_wrap=True)


def stderr() -> "Console":
    """Return the console that shows progress."""
    from rich.console import Console

    return Console(stderr=True, emoji=False)


def plain_table(*columns: str, numbers: Iterable[str] = (), unbroken: Iterable[str] = (), title: str = "") -> "Table":
    """Return an empty table; columns of numbers are aligned to the right, `unbroken` ones are never wrapped."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    numeric, fixed = set(numbers), {*numbers, *unbroken}
    for name in columns:
        table.add_column(name, justify="right" if name in numeric else "left", no_wrap=name in fixed)
    return table


def facts(rows: JsonObject) -> "Table":
    """Return names and values as a table, one per line. Names without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value not in (None, "", {}, []):
            table.add_row(Text(name, style="bold"), facts(value) if isinstance(value, Mapping) else Text(str(value)))
    return table


def format_number(value: Any, spec: str = ".1e") -> str:
    """Return a float in the given format, an integer as it is, and nothing for None and NaN."""
    if value is None or value != value:  # noqa: PLR0124 # NaN differs from itself
        return ""
    return f"{value:{spec}}" if isinstance(value, float) else str(value)


def status_style(status: "Status") -> str:
    """Return the colour of a status."""
    colours = {"pass": "green", "ok": "green", "xfail": "yellow", "skip": "dim"}
    return colours.get(str(status), "red")


def command_line() -> list[str]:
    """Return the command that is running, without the folder of the program."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def log_to_stderr() -> None:
    """Print the warnings that mbcbench logs as lines on standard error."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_error(record.getMessage())

    logging.getLogger("mbcbench").handlers = [Handler()]
