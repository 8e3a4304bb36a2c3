"""The leaderboard in the terminal."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mbcbench.types import JsonObject

from ..formatting import STATUS_WORDS, SYMBOLS, facts, failures, symbol
from ..provenance import record_lines
from ..selection import tidy
from .cells import Cell, Column, law_groups, view_columns
from .columns import encoders_of, score_columns
from .table import leaderboard_table, notes

STYLES = {"pass": "green", "ok": "", "xfail": "yellow"}
STYLES |= dict.fromkeys(("skip", "missing", "unranked", "unlearnt"), "dim")
ASCII = str.maketrans({"✓": "+", "✗": "x", "±": "~", "–": "-", "·": ".", "×": "x", "…": ".", "≈": "=", "†": "*"})
NAME_WIDTH = 24  # longer names are folded
OMITTED = ("memory.streamed", "state")  # for lack of width; the page has them
UNLIMITED = 1000  # columns: wider than any table
LEGEND = (
    "\nA badge counts the laws that hold, of those that apply. ± is the 95 % t interval of the mean over seeds; a "
    "value marked ! lacks seeds (2/3: two of three) and is not ranked. † breaks a law of mbc: chunks change its "
    "encoding."
)


def style(status: str) -> str:
    """Return the style of a status; whatever is wrong is red."""
    return STYLES.get(status, "bold red")


class TerminalLeaderboard:
    """One table if the width allows it, or else the laws and the measurements one below the other."""

    def __init__(self, frame: pd.DataFrame, info: JsonObject) -> None:
        rows = tidy(frame)
        table = leaderboard_table(frame, encoders_of(rows, info))
        self._columns = [column for column in view_columns(table, score_columns(rows)) if column.key not in OMITTED]
        self._groups = law_groups(table)
        self._facts = facts(rows, info)
        self._origin = record_lines(info)
        self._failures = failures(rows)
        self._notes = notes(frame, info, table)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        ascii_only = options.ascii_only
        yield Text("mbcbench leaderboard", style="bold")
        for label, text in self._facts:
            yield _hanging(f"{label:9}", Text(text), ascii_only)
        for origin in self._origin:
            yield _hanging("", Text(origin), ascii_only)
        yield from self._tables(console, options)
        yield _legend(ascii_only)
        if self._failures:
            yield Text("\nWhat went wrong", style="bold")
        for encoder, status, where, why in self._failures:
            line = Text.assemble((encoder, "bold"), "  ", (status, style(status)), f"  {where}", (f"  {why}", "dim"))
            yield _hanging(symbol(status), line, ascii_only)
        if self._notes:
            yield Text("\nWhat this run lacks", style="bold")
        for note in self._notes:
            yield _hanging("-", Text(note), ascii_only)

    def _tables(self, console: Console, options: ConsoleOptions) -> Sequence[Table]:
        """Return the tables of the first layout that fits, or of the last."""
        if len(self._columns[0].cells) == 0 or len(self._columns) == 1:
            return []
        tables: list[Table] = []
        for layout in self._layouts():
            tables = [_table([self._columns[0], *part], options.ascii_only) for part in layout if part]
            if _width(tables, console, options) <= options.max_width:
                return tables
        return tables

    def _layouts(self) -> Iterator[Sequence[Sequence[Column]]]:
        """Yield the columns other than the encoder's, in more and more tables."""
        scores = self._columns[1:]
        main, others = _split(scores, lambda column: not column.is_other_task)
        yield [scores]
        yield [main, others]
        yield [_split(main, lambda column: column.key != "parameters")[0], others]
        yield [*_split(main, lambda column: column.key in self._groups), others]


def _split(columns: Sequence[Column], belongs: Callable[[Column], bool]) -> tuple[list[Column], list[Column]]:
    """Return the columns that belong to the first table, and the others."""
    first: list[Column] = []
    others: list[Column] = []
    for column in columns:
        if belongs(column):
            first.append(column)
        else:
            others.append(column)
    return first, others


def _width(tables: Sequence[Table], console: Console, options: ConsoleOptions) -> int:
    """Return the width of the widest table."""
    unlimited = options.update(width=UNLIMITED)
    return max(Measurement.get(console, unlimited, table).maximum for table in tables)


def _table(columns: Sequence[Column], ascii_only: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, collapse_padding=True)
    table.add_column("#", justify="right", no_wrap=True)
    for column in columns:
        if column.numeric:
            table.add_column(column.label, justify="right", overflow="fold")
            continue
        is_short = max(len(cell.text) for cell in column.cells) <= NAME_WIDTH
        table.add_column(column.label, overflow="fold", no_wrap=is_short, max_width=NAME_WIDTH)
    for encoder, *scores in zip(*(column.cells for column in columns), strict=True):
        rank = _translate(Text(encoder.beside or "–", style=style(encoder.status)), ascii_only)
        texts = [_translate(_cell(score), ascii_only) for score in scores]
        table.add_row(rank, Text(encoder.text), *texts)
    return table


def _cell(cell: Cell) -> Text:
    """Return `0.912 ±0.013`; a value that lacks seeds has a mark and how many it has; without a value, the status."""
    if "/" in cell.text:
        return Text(f"{symbol(cell.status)} {cell.text}", style=style(cell.status))
    if not cell.text:
        name = "" if cell.status in SYMBOLS else f" {cell.status}"
        return Text(f"{symbol(cell.status)}{name}", style=style(cell.status))
    if cell.status != "ok":
        seeds = cell.beside.partition(" seeds")[0].replace(" of ", "/")
        return Text(f"! {cell.text} {seeds:>6}", style=style(cell.status))
    if not cell.beside:
        return Text(cell.text)
    return Text.assemble(cell.text, (f" {cell.beside}", "dim"))


def _legend(ascii_only: bool) -> Text:
    marks = [Text.assemble((symbol(status), style(status)), f" {word}") for status, word in STATUS_WORDS.items()]
    text = Text("   ").join(marks)
    text.append(LEGEND)
    return _translate(text, ascii_only)


def _hanging(lead: str, text: Text, ascii_only: bool) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(_translate(Text(lead), ascii_only), _translate(text, ascii_only))
    return grid


def _translate(text: Text, ascii_only: bool) -> Text:
    if ascii_only:
        text.plain = text.plain.translate(ASCII)
    return text


def terminal(frame: pd.DataFrame, info: JsonObject) -> RenderableType:
    """Return a run as `rich` prints it: the leaderboard, a legend, what went wrong, and what the run lacks."""
    return Group(TerminalLeaderboard(frame, info))
