"""The artefact PLUGIN_NAME, for mbcbench."""

from my_plugin.artefact import ARTEFACT

__all__ = ["ARTEFACT"]
