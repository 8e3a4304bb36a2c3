"""Tables as text: formatted numbers, Markdown and LaTeX."""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from .rendering import template

# Characters that are special in LaTeX, or that are not ASCII.
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "×": r"$\times$", "–": "--", "…": r"\dots{}", "−": "$-$", "|": r"\textbar{}", '"': "''",
    "†": r"$\dagger$", "[": "{[}",  # after the end of a row, `[` would begin an argument
}  # fmt: skip

MAX_WIDTH = 200  # characters of a padded Markdown table


def format_cells(data: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text: columns of whole numbers without decimals, others with four digits."""
    return pd.DataFrame({str(name): _format_column(data[name]) for name in data.columns}, dtype=object)


def _format_column(column: pd.Series) -> list[str]:
    numbers = [value for value in column if isinstance(value, float) and not math.isnan(value)]
    if all(number.is_integer() for number in numbers):
        return [_format(value, ".0f") for value in column]
    largest = max(map(abs, numbers))
    return [_format(value, ".4f" if 1e-3 <= largest < 1e4 else ".4g") for value in column]


def _format(value: Any, number_format: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return format(value, number_format) if isinstance(value, float) else str(value)


def format_known(value: Any, number_format: str) -> str:
    """Return a number as text, or an empty string if it is missing."""
    return "" if pd.isna(value) else format(float(value), number_format)


def markdown_table(data: pd.DataFrame) -> str:
    """Return the data as a Markdown table, with numbers aligned to the right."""
    align = "".join("r" if pd.api.types.is_numeric_dtype(data[name]) else "l" for name in data.columns)
    cells = format_cells(data)
    return markdown(list(cells.columns), cells.to_numpy().tolist(), align)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """Return a Markdown table, one line for each row.

    align: `l`, `r` or `c` for each column; to the left by default. Columns are padded unless the table is too wide.
    """
    from tabulate import tabulate

    names = {"l": "left", "r": "right", "c": "center"}
    columns = [names[letter] for letter in align or "l" * len(headings)] if rows else None
    cells = [[_escape_markdown(cell) for cell in row] for row in rows]
    table = tabulate(cells, list(headings), tablefmt="pipe", disable_numparse=True, colalign=columns)
    if table.index("\n") > MAX_WIDTH:
        table = re.sub(r"-{3,}", "--", re.sub(r" {2,}", " ", table))
    return f"{table}\n"


def _escape_markdown(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def latex_table(title: str, caption: str, data: pd.DataFrame) -> str:
    """Return a section with a table for `booktabs` and `longtable`, in columns of equal width that break long words."""
    cells = format_cells(data)
    width = f"{0.8 / len(cells.columns):.3f}\\textwidth"
    return template("table.tex").render(
        title=title, caption=caption, width=width, head=list(cells.columns), rows=cells.to_numpy().tolist()
    )


def escape_latex(text: str) -> str:
    """Return text in ASCII without characters that are special in LaTeX."""
    escaped = "".join(LATEX.get(character, character) for character in " ".join(text.split()))
    return escaped.encode("ascii", "replace").decode()
