"""Reports: records in, a table or a figure out. A report is pure: it trains nothing and reads no files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True)
class Report:
    """What turns a frame of records (see `mbcbench.load`) and a run's description (run.json) into something to look at.

    terminal: what `rich` prints. html: one self-contained page.
    """

    name: str
    summary: str
    terminal: "Callable[[pd.DataFrame, Mapping[str, Any]], RenderableType]"
    html: "Callable[[pd.DataFrame, Mapping[str, Any]], str]"


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One table or figure, drawn from records alone.

    id: its registered name. caption: how to read it. claims: the ids of the claims that it speaks of. make: the command
    that makes records for it. data: frame of records -> its numbers, tidy and unrounded; empty where no record serves.
    draw: those numbers -> a figure; None for a table. result: those numbers -> what was measured, in one or two
    sentences, with which its caption begins.
    """

    id: str
    title: str
    caption: str
    data: "Callable[[pd.DataFrame], pd.DataFrame]"
    draw: "Callable[[pd.DataFrame], Figure] | None" = None
    result: "Callable[[pd.DataFrame], str] | None" = None
    claims: tuple[str, ...] = ()
    make: str = "mbcbench run --suite paper"


Written = Mapping[str, str | bytes]  # the names of files and what they hold


@dataclass(frozen=True)
class Writer:
    """What makes files of artefacts.

    formats: what it can write. write: artefacts, records, the run's description and formats -> files, and a line for
    each artefact that has no records.
    """

    formats: tuple[str, ...]
    write: "Callable[[Sequence[Artefact], pd.DataFrame, Mapping[str, Any], Sequence[str]], tuple[Written, list[str]]]"
