"""Families of encoders: those that one module defines."""

from pathlib import PurePath

from mbcbench import registry


def family_of(encoder: str) -> str:
    """Return the family of an encoder: the module of a registered name or a target, in words."""
    plugin = registry.plugins(registry.ENCODERS).get(encoder)
    where = (plugin.target if plugin is not None else encoder).rpartition(":")[0]
    name = PurePath(where).stem if where.endswith(".py") else where.rpartition(".")[2]
    return name.replace("_", " ")
