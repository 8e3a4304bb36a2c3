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
from .board import INCONSISTENT, MARKS, Entry, board_columns, entries
from .cells import Cell, Column, law_groups, view_columns
from .columns import encoders_of, score_columns
from .ranking import Ranking
from .table import notes, ranked_table

STYLES = {"pass": "green", "ok": "", "xfail": "yellow", "undecided": "yellow"}
STYLES |= dict.fromkeys(("skip", "missing", "unranked", "unlearnt"), "dim")
ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "±": "~", "–": "-", "·": ".", "×": "x", "…": ".", "≈": "=", "†": "*", "°": "'"}
)
NAME_WIDTH = 24  # longer names are folded
RANKED_NAME_WIDTH = 27
OMITTED = ("memory.streamed", "state")  # to save width; the page has them
UNLIMITED = 1000  # columns: wider than any table
LEGEND = (
    "\nA badge counts the laws that hold, of those that apply. ± is the 95 % t interval of the mean over seeds; a "
    "value marked ! lacks seeds (2/3: two of three). "
)
COLUMNS = (
    "\nworst: the worst score over the set in one piece and streams in several orders; order: which of them gives it "
    "(any: all alike); whole, random: in one piece, in random chunks; @: larger sets, in one piece. Points and "
    "centroids: accuracy; images: NLL in nats, lower is better."
)


def style(status: str) -> str:
    """Return the style of a status; faults are red."""
    return STYLES.get(status, "bold red")


class TerminalLeaderboard:
    """One table if the width allows it, or else the laws and the measurements one below the other."""

    def __init__(self, frame: pd.DataFrame, info: JsonObject) -> None:
        rows = tidy(frame)
        table, self._ranking = ranked_table(frame, encoders_of(rows, info))
        self._entries, scores = entries(table), score_columns(rows)
        columns = board_columns(table, self._ranking, scores) if self._ranking.tasks else view_columns(table, scores)
        self._columns = [column for column in columns if column.key not in OMITTED]
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
        yield _legend(self._ranking, ascii_only)
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
            tables = [_table(self._entries, part, options.ascii_only) for part in layout if part]
            if _width(tables, console, options) <= options.max_width:
                return tables
        return tables

    def _layouts(self) -> Iterator[Sequence[Sequence[Column]]]:
        """Yield the columns other than the encoder's, in layouts with more and more tables."""
        scores = self._columns[1:]
        if self._ranking.tasks:
            yield from _ranked_layouts(scores)
            return
        main, others = _split(scores, lambda column: not column.is_other_task)
        yield [scores]
        yield [main, others]
        yield [_split(main, lambda column: column.key != "parameters")[0], others]
        yield [*_split(main, lambda column: column.key in self._groups), others]


def _ranked_layouts(columns: Sequence[Column]) -> Iterator[Sequence[Sequence[Column]]]:
    """Yield the columns of ranked encoders, in layouts with more and more tables. Scores for the ranking come first."""
    worst, others = _split(columns, lambda column: column.is_main)
    measured, tests = _split(others, lambda column: not _is_of_task(column))
    laws, costs = _split(measured, lambda column: column.heading == "laws")
    orders = list(map(_order_column, worst))
    yield [[*worst, *orders, *measured, *tests]]
    yield [[*worst, *orders, *measured], tests]
    yield [worst, [*orders, *measured], tests]
    yield [worst, [*orders, *measured]]  # the page has the tests in one piece and in random chunks
    yield [worst, [*orders, *laws, *costs[:1]]]


def _order_column(worst: Column) -> Column:
    """Return a column that names the worst order of each encoder in one word."""
    cells = tuple(Cell(cell.below, status=cell.status) for cell in worst.cells)
    return Column(worst.key.replace("score", "order"), "order", worst.about, False, cells, worst.heading)


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


def _table(rows: Sequence[Entry], columns: Sequence[Column], ascii_only: bool) -> Table:
    """Return a table. It begins with the rank, its interval and group if it has scores that rank, and the name."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, collapse_padding=True)
    has_intervals = columns[0].is_main
    table.add_column("#", justify="right", no_wrap=True)
    if has_intervals:
        table.add_column("95 %", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
    table.add_column("encoder", overflow="fold", max_width=RANKED_NAME_WIDTH if has_intervals else NAME_WIDTH)
    for column in columns:
        heading = f"{column.key.partition('.')[0]}\n{column.label}" if _is_of_task(column) else column.label
        table.add_column(heading, justify="right" if column.numeric else "left", no_wrap=True)
    for index, entry in enumerate(rows):
        if entry.is_apart and not rows[index - 1].is_apart:
            table.add_section()
        lead = [entry.rank or "–", *((entry.interval, entry.group) if has_intervals else ())]
        name = "".join([entry.name, *entry.marks])
        cells = [*map(Text, lead), Text(name), *(_cell(column.cells[index]) for column in columns)]
        table.add_row(*(_translate(cell, ascii_only) for cell in cells), style="dim" if entry.is_apart else None)
    return table


def _is_of_task(column: Column) -> bool:
    """Return True for the columns of a task that ranks encoders: their headings take two lines."""
    return column.heading not in ("", "laws", "cost")


def _cell(cell: Cell) -> Text:
    """Return `0.912 ±0.013`, with a mark and the number of seeds if some are missing; without a value, the status."""
    if "/" in cell.text:
        return Text(f"{symbol(cell.status)} {cell.text}", style=style(cell.status))
    if not cell.text:
        name = "" if cell.status in SYMBOLS else f" {cell.status}"
        return Text(f"{symbol(cell.status)}{name}", style=style(cell.status))
    if cell.status != "ok":
        seeds = cell.beside.partition(" seeds")[0].replace(" of ", "/")
        return Text(f"! {cell.text} {seeds:>6}", style=style(cell.status))
    marks = "".join(cell.marks)
    if not cell.beside:
        return Text(cell.text + marks)
    return Text.assemble((marks, "yellow"), cell.text, (f" {cell.beside}", "dim"))


def _legend(ranking: Ranking, ascii_only: bool) -> Text:
    marks = [
        Text.assemble((symbol(status), style(status)), f" {word}")
        for status, word in STATUS_WORDS.items()
        if not (ranking.tasks and status == "unlearnt")
    ]
    text = Text("   ").join(marks)
    text.append(LEGEND)
    meant = MARKS if ranking.tasks else {INCONSISTENT: MARKS[INCONSISTENT]}
    text.append(". ".join(f"{mark} {words}" for mark, words in meant.items()) + ".")
    if ranking.tasks:
        text.append(COLUMNS)
        text.append(f"\n{ranking.rule} Encoders of one letter cannot be told apart from the first of them.")
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
    """Return a run as `rich` prints it: the leaderboard, a legend, failures, and notes on missing records."""
    return Group(TerminalLeaderboard(frame, info))
