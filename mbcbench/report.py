"""Reports: records in, a table or a figure out. A report is pure: it trains nothing and reads no files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True)
class Report:
    """What turns a frame of records (see `mbcbench.record.frame`) and a run's description (run.json) into something
    to look at.

    terminal: what `rich` prints. html: one self-contained page.
    """

    name: str
    summary: str
    terminal: "Callable[[pd.DataFrame, Mapping[str, Any]], RenderableType]"
    html: "Callable[[pd.DataFrame, Mapping[str, Any]], str]"
