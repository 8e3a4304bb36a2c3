"""Tables that fit the width of the output, with short cells that are never cut and a column of wrapped texts."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

TEXT_WIDTH = 30  # least width of a text next to the cells, unless all texts are shorter
GAP = 3  # columns between two cells, as in `plain_table`
INDENT = 2  # columns before a text below the cells


def fitted_table(
    names: Sequence[str],
    rows: "Sequence[Sequence[Text]]",
    *,
    numbers: Collection[str] = (),
    optional: Sequence[str] = (),
    title: str = "",
) -> "Table":
    """Return rows as a table whose last column holds texts, below the other cells if there is no room next to them.

    numbers: columns that are aligned to the right. optional: columns to leave out, in this order, if space is short.
    """
    from mbcbench.cli.console import output_width, plain_table

    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    shown = list(range(len(names) - 1))
    room = output_width() - min(TEXT_WIDTH, widths[-1]) - 1
    for name in optional:
        if _total(widths, shown) > room:
            shown.remove(names.index(name))
    if _total(widths, shown) > room:
        return _stacked(names, rows, {column: widths[column] for column in shown}, numbers, title)
    cells = [names[column] for column in shown]
    table = plain_table(*cells, names[-1], numbers=set(numbers) & set(cells), unbroken=cells, title=title)
    for row in rows:
        table.add_row(*(row[column] for column in shown), row[-1])
    return table


def _total(widths: Sequence[int], columns: Sequence[int]) -> int:
    """Return the width of some columns with the gaps after them."""
    return sum(widths[column] + GAP for column in columns)


def _stacked(
    names: Sequence[str],
    rows: "Sequence[Sequence[Text]]",
    widths: dict[int, int],
    numbers: Collection[str],
    title: str,
) -> "Table":
    """Return a table with the text of each row below its other cells. widths: those of the columns to show."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from mbcbench.cli.console import plain_table

    def line(cells: "Sequence[Text]") -> Text:
        aligned = [cells[column].copy() for column in widths]
        for cell, (column, width) in zip(aligned, widths.items(), strict=True):
            cell.align("right" if names[column] in numbers else "left", width)
        return Text(" " * GAP).join(aligned)

    table = plain_table(line([Text(name) for name in names]).plain, title=title)
    for row in rows:
        table.add_row(Group(line(row), *([Padding(row[-1], (0, 0, 0, INDENT))] if row[-1] else [])))
    return table
