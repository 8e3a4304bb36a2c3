"""The law PLUGIN_NAME, for mbcbench."""

from my_plugin.law import LAW

__all__ = ["LAW"]
