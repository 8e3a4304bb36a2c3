"""The leaderboard: property badges first, then accuracy with an interval, throughput and memory.

A cell that failed, or is missing, shows as what it is, and is never averaged away.
"""

from mbcbench.reporting import Report

from .html import html
from .terminal import terminal

REPORT = Report(
    name="leaderboard",
    summary="laws kept, accuracy with an interval, throughput and memory: one row an encoder",
    terminal=terminal,
    html=html,
)
