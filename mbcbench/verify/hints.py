"""Hints: a convention under which the encoder would keep a law that it breaks."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from mbcbench.adapters import MaskAdapter, additive_mask, compacted, inverted_mask
from mbcbench.errors import ADAPTERS_GUIDE
from mbcbench.verify.law import Law
from mbcbench.verify.subject import Subject

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
    """Return a hint at a convention under which the encoder keeps a law that it breaks, or an empty string."""
    if law.id in checker.breaks:
        return ""
    if law.id == "symmetry.padding" and checker.is_plain:
        return _mask_hint(checker, law)
    return _order_hint(checker, law) if law.id == "mbc.partition" and not checker.is_plain else ""


def _mask_hint(checker: "Checker", law: Law) -> str:
    """Return a hint at the adapter for a mask convention under which padding has no influence.

    An encoder with a mask adapter gets no hint, since its convention is known. A convention does not count if the
    elements have no influence either, for example because the mask makes every encoding NaN.
    """
    if any(isinstance(module, MaskAdapter) for module in checker.subjects()[0].module.modules()):
        return ""
    for name, adapt in MASK_MEANINGS.items():

        def wrap(module: nn.Module, adapt: Callable[[nn.Module], nn.Module] = adapt) -> nn.Module:
            return adapt(module).eval()

        subjects = checker.subjects(wrap)
        if checker.survives_smallest(law, subjects) and _tells_sets_apart(subjects[0]):
            call = f"mbcbench.adapters.{name}(module)"
            return f"it holds with {call}: wrap it if `mask` has that meaning ({ADAPTERS_GUIDE})"
    return ""


def _tells_sets_apart(subject: Subject) -> bool:
    """Return True if two sets with padding have different, finite encodings."""
    n = subject.domain.min_size + 3
    x = torch.randn(2, n, subject.dim_in, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    present = torch.arange(n).expand(2, n) < n - 1
    with torch.no_grad():
        first, second = subject.encode_masked(subject.domain.admit(x), present)
    return bool(first.isfinite().all() and second.isfinite().all()) and not torch.equal(first, second)


def _order_hint(checker: "Checker", law: Law) -> str:
    """Return a hint at `order_sensitive` for a stream that is consistent for contiguous chunks in order."""
    if checker.domain.order_sensitive:
        return ""
    in_order = checker.subjects(domain=replace(checker.domain, order_sensitive=True))
    return ORDER_HINT if checker.survives_smallest(law, in_order) else ""
