"""The suite PLUGIN_NAME, for mbcbench."""

from my_plugin.suite import SUITE

__all__ = ["SUITE"]
