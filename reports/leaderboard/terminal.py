"""The leaderboard in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..aggregation import tidy
from ..formatting import SYMBOLS, WORDS, Column, Shown, columns, facts, failures, other_task, symbol
from .columns import encoders_of, slots
from .table import leaderboard_table, notes

STYLES = {"pass": "green", "ok": "", "xfail": "yellow"}
STYLES |= dict.fromkeys(("skip", "missing", "unranked", "undecided"), "dim")
PLAIN = str.maketrans({"✓": "+", "✗": "x", "±": "~", "–": "-", "·": ".", "×": "x", "…": ".", "≈": "="})
NAME_WIDTH = 24  # names that fit into this are not folded
OMITTED = ("memory.streamed", "state")  # for want of width; the page has them


def style(status: str) -> str:
    """The colour of a status; whatever is wrong is red."""
    return STYLES.get(status, "bold red")


class TerminalLeaderboard:
    """One table where the width allows it, and otherwise the laws and the measurements beneath each other."""

    def __init__(self, frame: pd.DataFrame, info: Mapping[str, Any]) -> None:
        table = leaderboard_table(frame, encoders_of(tidy(frame), info))
        self._columns = [c for c in columns(table, slots(tidy(frame))) if c.key not in OMITTED]
        self._groups = {c.removeprefix("laws.") for c in table.columns if c.startswith("laws.")}
        self._facts = facts(tidy(frame), info)
        self._failures = failures(tidy(frame))
        self._notes = notes(frame, info, table)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        plain = options.ascii_only
        yield Text("mbcbench leaderboard", style="bold")
        for label, text in self._facts:
            yield _hanging(f"{label:9}", Text(text), plain)
        yield from self._tables(console, options)
        yield _legend(plain)
        if self._failures:
            yield Text("\nWhat went wrong", style="bold")
        for encoder, status, where, why in self._failures:
            line = Text.assemble((encoder, "bold"), "  ", (status, style(status)), f"  {where}", (f"  {why}", "dim"))
            yield _hanging(symbol(status), line, plain)
        if self._notes:
            yield Text("\nWhat this run does not say", style="bold")
        for note in self._notes:
            yield _hanging("-", Text(note), plain)

    def _tables(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if len(self._columns[0].cells) == 0 or len(self._columns) == 1:
            return
        for layout in self._layouts():
            tables = [_table([self._columns[0], *part], options.ascii_only) for part in layout if part]
            wide = options.update(width=1000)
            if max(Measurement.get(console, wide, table).maximum for table in tables) <= options.max_width:
                break
        yield from tables

    def _layouts(self) -> Iterator[Sequence[Sequence[Column]]]:
        """The columns beside the encoder's, in ever more tables."""
        rest = self._columns[1:]
        others = [column for column in rest if other_task(column)]
        main = [column for column in rest if not other_task(column)]
        yield [rest]
        yield [main, others]
        yield [[column for column in main if column.key != "parameters"], others]
        laws = [column for column in main if column.key in self._groups]
        yield [laws, [column for column in main if column not in laws], others]


def _table(shown: Sequence[Column], plain: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, collapse_padding=True)
    table.add_column("#", justify="right", no_wrap=True)
    for column in shown:
        if column.numeric:
            table.add_column(column.label, justify="right", overflow="fold")
            continue
        short = max(len(cell.text) for cell in column.cells) <= NAME_WIDTH
        table.add_column(column.label, overflow="fold", no_wrap=short, max_width=NAME_WIDTH)
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(_clean(Text(row[0].beside or "–", style=style(row[0].status)), plain), *_cells(row, plain))
    return table


def _cells(row: Sequence[Shown], plain: bool) -> list[Text]:
    return [Text(row[0].text), *(_clean(_cell(shown), plain) for shown in row[1:])]


def _cell(shown: Shown) -> Text:
    """`0.912 ±0.013`; a value that lacks seeds carries a mark and how many it has; without a value, the status."""
    if "/" in shown.text:
        return Text(f"{symbol(shown.status)} {shown.text}", style=style(shown.status))
    if not shown.text:
        told = symbol(shown.status) if shown.status in SYMBOLS else f"! {shown.status}"
        return Text(told, style=style(shown.status))
    if shown.status == "undecided":
        return Text(f"{symbol(shown.status)} {shown.text} {shown.beside}", style=style(shown.status))
    if shown.status != "ok":
        seeds = shown.beside.partition(" seeds")[0].replace(" of ", "/")
        return Text(f"! {shown.text} {seeds:>6}", style=style(shown.status))
    return Text.assemble(shown.text, (f" {shown.beside}" if shown.beside else "", "dim"))


def _legend(plain: bool) -> Text:
    marks = [Text.assemble((symbol(status), style(status)), f" {word}") for status, word in WORDS.items()]
    text = Text("   ").join(marks)
    text.append(
        "\nA badge counts the laws that hold, of those that apply. ± is the 95% t interval of the mean over seeds;"
    )
    text.append(" a value marked ! lacks seeds (2/3: two of three) and is not ranked.")
    return _clean(text, plain)


def _hanging(lead: str, text: Text, plain: bool) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(_clean(Text(lead), plain), _clean(text, plain))
    return grid


def _clean(text: Text, plain: bool) -> Text:
    if plain:
        text.plain = text.plain.translate(PLAIN)
    return text


def terminal(frame: pd.DataFrame, info: Mapping[str, Any]) -> RenderableType:
    """What `rich` prints of a run: the leaderboard, a legend, what went wrong, and what the run does not say."""
    return Group(TerminalLeaderboard(frame, info))
