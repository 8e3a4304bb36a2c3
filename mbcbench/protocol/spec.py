"""Specs: how an encoder is named and built, what it claims, what it breaks and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SlotReadout = Literal["concat", "max", "mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """An encoder as the registry knows it.

    name: the registered name.
    factory: called as `factory(dim_in, **hyper)`, gives the module.
    summary: one line.
    paper: where the encoder comes from (a URL).
    hyper: default hyper-parameters, overridden by the caller's.
    claims: law id -> why it holds. Laws not spoken of are chosen from the encoder's shape.
    breaks: law id -> why it is broken. Such a law must fail: if it does not, that is reported.
    slot_readout: how a task reduces an encoding `B x K x d_hat` to a vector; `concat` also serves `B x d_hat`.
    reference: an independent, slow computation: called with the module (float64, eval()) and `x` (`B x n x d`), it
        gives the encoding.
    """

    name: str
    factory: "Callable[..., nn.Module]"
    summary: str = ""
    paper: str = ""
    hyper: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    breaks: Mapping[str, str] = field(default_factory=dict)
    slot_readout: SlotReadout = "concat"
    reference: "Callable[[nn.Module, np.ndarray], np.ndarray] | None" = None

    def __post_init__(self) -> None:
        both = sorted(self.claims.keys() & self.breaks.keys())
        if both:
            raise ValueError(f"spec {self.name!r} both claims and breaks {', '.join(both)}")
        if self.slot_readout not in ("concat", "max", "mean", "sum"):
            raise ValueError(
                f"spec {self.name!r}: slot_readout={self.slot_readout!r} is none of concat, max, mean, sum"
            )

    def build(self, dim_in: int, **hyper: Any) -> "nn.Module":
        """A fresh module for elements of width `dim_in`; `hyper` overrides the spec's defaults."""
        return self.factory(dim_in, **{**self.hyper, **hyper})
