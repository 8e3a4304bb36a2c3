"""Specs: how an encoder is named and built, and which laws it claims to keep or to break."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mbcbench.types import Hyper

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

WIDTH = "dim_in"  # name of the argument with the element width
SlotReadout = Literal["concat", "max", "mean", "sum"]
SLOT_READOUTS: tuple[SlotReadout, ...] = ("concat", "max", "mean", "sum")


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """An encoder as the registry knows it.

    Parameters
    ----------
    name
        Registered name.
    factory
        Called as `factory(dim_in, **hyper)` with the element width, returns a module.
    summary
        Description in one line.
    paper
        URL of the paper that introduced the encoder.
    hyper
        Default hyper-parameters.
    claims
        Laws that the encoder keeps: the reason by law id. Laws that are not mentioned are tried too, if they apply.
    breaks
        Laws that the encoder breaks: the reason by law id. Such a law must fail; if it holds, its status is `xpass`.
    slot_readout
        How a task reduces an encoding `B x K x d_hat` to a vector; `concat` also serves `B x d_hat`.
    reference
        Independent, slow computation of the encoding: a function of the module (float64, eval mode) and `x`
        (`B x n x d`, a NumPy array) that returns the encoding (`B x ...`) as a NumPy array.
    deliberately_wrong
        True for an encoder that demonstrates a fault. It is checked and measured like any other, but never ranked.
    min_size
        Smallest number of elements of a set that the encoder admits, for example k of a k-nearest-neighbour encoder. A
        module may have it as an attribute instead.
    finite_only
        True if the encoder admits finite elements only. A module may have it as an attribute instead.
    vocabulary
        Number of tokens if the elements are integers from 0 to `vocabulary - 1`, else 0. The adapter `tokens` sets it,
        and turns the numbers of a law into tokens.
    order_sensitive
        True if the encoder reads the elements in order, as a recurrence does: its laws then cut a set into contiguous
        chunks in order. Unless it claims them, it must break `symmetry.permutation`, `symmetry.elements` and
        `mbc.order`. A module may have the attribute instead.

    Raises
    ------
    ValueError
        If a law is both claimed and broken, `slot_readout` is unknown, `min_size` is less than 1, or `vocabulary` is
        negative.
    """

    name: str
    factory: "Callable[..., nn.Module]"
    summary: str = ""
    paper: str = ""
    hyper: Hyper = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    breaks: Mapping[str, str] = field(default_factory=dict)
    slot_readout: SlotReadout = "concat"
    reference: "Callable[[nn.Module, np.ndarray], np.ndarray] | None" = None
    deliberately_wrong: bool = False
    min_size: int = 1
    finite_only: bool = False
    order_sensitive: bool = False
    vocabulary: int = 0

    def __post_init__(self) -> None:
        both = sorted(self.claims.keys() & self.breaks.keys())
        if both:
            raise ValueError(f"spec {self.name!r} both claims and breaks {', '.join(both)}; remove one")
        if self.slot_readout not in SLOT_READOUTS:
            raise ValueError(
                f"spec {self.name!r}: slot_readout={self.slot_readout!r}; expected one of {', '.join(SLOT_READOUTS)}"
            )
        if self.min_size < 1:
            raise ValueError(f"spec {self.name!r}: min_size={self.min_size}; a set has at least 1 element")
        if self.vocabulary < 0:
            raise ValueError(f"spec {self.name!r}: vocabulary={self.vocabulary}; give the number of tokens")

    def build(self, dim_in: int, **hyper: Any) -> "nn.Module":
        """Build a module.

        Parameters
        ----------
        dim_in
            Element width `d`.
        **hyper
            Hyper-parameters that override the defaults.

        Returns
        -------
        torch.nn.Module
            A new module, its parameters drawn from the global generator.
        """
        return self.factory(dim_in, **{**self.hyper, **hyper})
