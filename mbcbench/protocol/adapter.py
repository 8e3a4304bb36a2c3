"""Base class of adapters, and attributes that a module declares, possibly inside adapters."""

from torch import nn

from mbcbench.types import Encoder


class Adapter(nn.Module):
    """Base class of modules that give an encoder another interface and compute nothing themselves.

    Parameters
    ----------
    module
        The encoder, or another adapter.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module: Encoder = module


def declared_int(module: object, name: str) -> int | None:
    """Return an integer attribute of a module, or of the encoder that it adapts, or None."""
    value = _declared(module, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def declares(module: object, name: str) -> bool:
    """Return True if an attribute of a module, or of the encoder that it adapts, is True."""
    return _declared(module, name) is True


def _declared(module: object, name: str) -> object:
    value: object = getattr(module, name, None)
    if value is None and isinstance(module, Adapter):
        return _declared(module.module, name)
    return value
