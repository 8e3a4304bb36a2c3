"""Reports turn records into tables and figures. A report is pure: it trains nothing and reads no files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mbcbench.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One table or figure, drawn from records alone.

    Parameters
    ----------
    id
        Registered name.
    title
        One line.
    caption
        How to read it.
    data
        Function of the frame of records that returns the numbers of the artefact, tidy and unrounded; an empty frame if
        no record is relevant.
    draw
        Function of these numbers that returns a figure of Matplotlib; None for a table.
    layout
        Function of the numbers of a table that returns the cells to print; None prints the numbers.
    result
        Function of the numbers that returns the result in one or two sentences, which come first in the caption.
    claims
        Ids of the paper's claims that the artefact is about.
    make
        Command that makes records for it.
    """

    id: str
    title: str
    caption: str
    data: "Callable[[pd.DataFrame], pd.DataFrame]"
    draw: "Callable[[pd.DataFrame], Figure] | None" = None
    layout: "Callable[[pd.DataFrame], pd.DataFrame] | None" = None
    result: "Callable[[pd.DataFrame], str] | None" = None
    claims: tuple[str, ...] = ()
    make: str = "mbcbench run --suite paper"


Files = Mapping[str, str | bytes]  # the names of files and their contents
Write = Callable[[Sequence[Artefact], "pd.DataFrame", JsonObject, Sequence[str]], tuple[Files, Mapping[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A view of a frame of records (see `mbcbench.load`), given the description of their run (run.json).

    Parameters
    ----------
    name
        Registered name.
    summary
        One line.
    terminal
        Function of the records and the description that returns a renderable of `rich`.
    html
        Function of the records and the description that returns one self-contained page.
    formats
        Names of the formats that `write` supports.
    write
        Function of the artefacts, records, description and formats that returns the files by name, and advice for each
        artefact without records. Only the report behind `mbcbench report` has it.
    """

    name: str
    summary: str
    terminal: "Callable[[pd.DataFrame, JsonObject], RenderableType]"
    html: "Callable[[pd.DataFrame, JsonObject], str]"
    formats: tuple[str, ...] = ()
    write: Write = lambda artefacts, records, info, formats: ({}, {})
