"""The set encoder my-plugin."""

from my_plugin.encoder import SPEC, MyPlugin

__all__ = ["SPEC", "MyPlugin"]
