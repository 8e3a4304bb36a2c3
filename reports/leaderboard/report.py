"""The leaderboard: badges of laws first, then scores with intervals, throughput and memory.

Failed and missing cells are shown as such; no mean hides them.
"""

from collections.abc import Sequence

import pandas as pd

from mbcbench.reporting import Artefact, Files, Report
from mbcbench.types import JsonObject

from .html import html
from .terminal import terminal

FORMATS = ("html", "md", "latex", "csv", "png", "svg")


def write(
    artefacts: Sequence[Artefact], frame: pd.DataFrame, info: JsonObject, formats: Sequence[str]
) -> tuple[Files, dict[str, str]]:
    """Return the leaderboard and the artefacts as files, and advice for each artefact without records."""
    from .. import writer  # imports the plotting libraries

    return writer.write(artefacts, frame, info, formats)


REPORT = Report(
    name="leaderboard",
    summary="laws kept, scores with intervals, throughput and memory: one row per encoder",
    terminal=terminal,
    html=html,
    formats=FORMATS,
    write=write,
)
