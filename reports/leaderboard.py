"""The leaderboard: property badges first, then accuracy with an interval, throughput and memory.

A cell that failed, or is missing, shows as what it is, and is never averaged away.
"""

from mbcbench.report import Report

from .leaderboard_html import html
from .leaderboard_terminal import terminal

REPORT = Report(
    name="leaderboard",
    summary="laws kept, accuracy with an interval, throughput and memory: one row an encoder",
    terminal=terminal,
    html=html,
)
