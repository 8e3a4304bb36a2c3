"""The report PLUGIN_NAME, for mbcbench."""

from my_plugin.report import REPORT

__all__ = ["REPORT"]
