"""The set encoder PLUGIN_NAME, for mbcbench."""

from my_plugin.encoder import SPEC, MyPlugin

__all__ = ["SPEC", "MyPlugin"]
