"""Reports: records in, a table or a figure out. A report is pure: it trains nothing and reads no files."""

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
        Frame of records -> the numbers of the artefact, tidy and unrounded; an empty frame if no record is of use.
    draw
        Those numbers -> a figure; None for a table.
    layout
        Those numbers of a table -> the cells to print; None prints the numbers.
    result
        Those numbers -> what was measured, in one or two sentences that come first in the caption.
    claims
        Ids of the paper's claims that the artefact bears on.
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
        Records and description -> a renderable for `rich`.
    html
        Records and description -> one self-contained page.
    formats
        Names of the formats that `write` knows.
    write
        Artefacts, records, description and formats -> files, and for each artefact that has no records what to do
        about it. Only the report that `mbcbench report` writes has it.
    """

    name: str
    summary: str
    terminal: "Callable[[pd.DataFrame, JsonObject], RenderableType]"
    html: "Callable[[pd.DataFrame, JsonObject], str]"
    formats: tuple[str, ...] = ()
    write: Write = lambda artefacts, records, info, formats: ({}, {})
