"""Controls: deliberately wrong encoders, each named after its vice, each breaking one law.

A control is a class with an attribute `breaks`: the law it must be caught by. `also` names laws that it cannot help
breaking too; `claims` are its spec's, `reference` is an independent computation to be compared with.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from mbcbench.protocol.spec import EncoderSpec

# What mbc.program tries together: who breaks one of these breaks it too.
MONOID = {"mbc.partition", "mbc.order", "mbc.merge", "mbc.empty", "mbc.resume", "mbc.fork"}
GROUPS = ("mbc", "merge", "states", "gradients", "symmetry", "hygiene", "numerics", "substance", "reference")


@dataclass(frozen=True)
class Control:
    """A wrong encoder, the law it breaks, and the laws that fall with it."""

    vice: type[nn.Module]
    group: str

    @property
    def name(self) -> str:
        return self.vice.__name__

    @property
    def breaks(self) -> str:
        return str(getattr(self.vice, "breaks"))  # noqa: B009 # declared by each class on its own

    @property
    def also(self) -> tuple[str, ...]:
        said = getattr(self.vice, "also", ())
        together = ("mbc.program",) if MONOID & {self.breaks, *said} else ()
        return tuple(law for law in (*said, *together) if law != self.breaks)

    @property
    def summary(self) -> str:
        return (self.vice.__doc__ or "").strip().partition("\n")[0]

    @property
    def spec(self) -> EncoderSpec:
        said: dict[str, Any] = {
            key: getattr(self.vice, key) for key in ("claims", "reference") if key in dir(self.vice)
        }
        return EncoderSpec(name=self.name, factory=self.vice, summary=self.summary, **said)


def controls() -> list[Control]:
    """Every control, in the order in which they are written down."""
    modules = [(group, import_module(f".{group}", __package__)) for group in GROUPS]
    return [
        Control(vice, group)
        for group, module in modules
        for vice in vars(module).values()
        if isinstance(vice, type) and "breaks" in vars(vice) and vice.__module__ == module.__name__
    ]


def control(name: str) -> Control:
    """The control of that name."""
    return next(control for control in controls() if control.name == name)
