"""Hints: another convention under which a law holds that fails."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from mbcbench.adapters import additive_mask, compacted, inverted_mask
from mbcbench.adapters.advice import PAGE
from mbcbench.verify.law import Law

if TYPE_CHECKING:
    from mbcbench.verify.checker import Checker

MASK_MEANINGS: Mapping[str, Callable[[nn.Module], nn.Module]] = {
    "inverted_mask": inverted_mask,
    "additive_mask": additive_mask,
    "compacted": compacted,
}
ORDER_HINT = (
    "it holds for contiguous chunks in order: if the order of elements is meant, declare `order_sensitive = True`"
)


def convention_hint(checker: "Checker", law: Law) -> str:
    """Return the convention under which an encoder keeps a law that it fails, if there is one, or an empty string."""
    if law.id in checker.breaks:
        return ""
    if law.id == "symmetry.padding" and checker.is_plain:
        return _mask_hint(checker, law)
    return _order_hint(checker, law) if law.id == "mbc.partition" and not checker.is_plain else ""


def _mask_hint(checker: "Checker", law: Law) -> str:
    """Return the adapter for the meaning of a mask under which padding has no influence."""
    for name, adapt in MASK_MEANINGS.items():

        def wrap(module: nn.Module, adapt: Callable[[nn.Module], nn.Module] = adapt) -> nn.Module:
            return adapt(module).eval()

        if checker.survives_smallest(law, checker.subjects(wrap)):
            return f"it holds through mbcbench.adapters.{name}(module): wrap it if `mask` is meant so ({PAGE})"
    return ""


def _order_hint(checker: "Checker", law: Law) -> str:
    """Return how to declare a stream that is consistent for contiguous chunks in order, and for these only."""
    if checker.domain.order_sensitive:
        return ""
    in_order = checker.subjects(domain=replace(checker.domain, order_sensitive=True))
    return ORDER_HINT if checker.survives_smallest(law, in_order) else ""
