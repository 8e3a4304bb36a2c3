"""Controls: deliberately wrong encoders, each named after its defect, each breaking one law.

A control is a class with an attribute `breaks`, the law that must catch it. `also` lists laws that it inevitably breaks
too; `claims` are those of its spec, `reference` is an independent computation to compare with.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from mbcbench.protocol.spec import EncoderSpec

# mbc.program tries these laws together, so an encoder that breaks one of them breaks it too.
MONOID = {"mbc.partition", "mbc.order", "mbc.merge", "mbc.empty", "mbc.resume", "mbc.fork"}
GROUPS = (
    "mbc", "merge", "states", "distributed", "masks", "sizes", "training", "gradients", "symmetry", "determinism",
    "hygiene", "numerics", "substance", "reference",
)  # fmt: skip


@dataclass(frozen=True)
class Control:
    """A wrong encoder, the law it breaks, and the laws that it inevitably breaks too."""

    encoder: type[nn.Module]
    group: str

    @property
    def name(self) -> str:
        return self.encoder.__name__

    @property
    def breaks(self) -> str:
        return str(getattr(self.encoder, "breaks"))  # noqa: B009 # each class declares its own

    @property
    def also(self) -> tuple[str, ...]:
        declared = getattr(self.encoder, "also", ())
        program = ("mbc.program",) if MONOID & {self.breaks, *declared} else ()
        return tuple(law for law in (*declared, *program) if law != self.breaks)

    @property
    def summary(self) -> str:
        return (self.encoder.__doc__ or "").strip().partition("\n")[0]

    @property
    def spec(self) -> EncoderSpec:
        optional: dict[str, Any] = {
            name: getattr(self.encoder, name) for name in ("claims", "reference") if hasattr(self.encoder, name)
        }
        return EncoderSpec(name=self.name, factory=self.encoder, summary=self.summary, **optional)


def controls() -> list[Control]:
    """Return every control, in the order of the source."""
    all_controls = []
    for group in GROUPS:
        module = import_module(f".{group}", __package__)
        for encoder in vars(module).values():
            is_own_class = isinstance(encoder, type) and encoder.__module__ == module.__name__
            if is_own_class and "breaks" in vars(encoder):
                all_controls.append(Control(encoder, group))
    return all_controls


def control(name: str) -> Control:
    """Return the control of that name."""
    return next(control for control in controls() if control.name == name)
