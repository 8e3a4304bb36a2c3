"""The leaderboard: badges of laws first, then scores with intervals, throughput and memory.

A cell that failed or is missing is shown as what it is and never averaged away.
"""

from mbcbench.reporting import Report

from .html import html
from .terminal import terminal

REPORT = Report(
    name="leaderboard",
    summary="laws kept, scores with intervals, throughput and memory: one row per encoder",
    terminal=terminal,
    html=html,
)
