"""Comparisons that are not the gap between two encodings."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from mbcbench.errors import is_out_of_memory, one_line, user_frame
from mbcbench.verify.domain import is_refusal
from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.tolerance import Comparison, gaps, max_norms

T = TypeVar("T")
_SAME = 1e5  # epsilons: two encodings that differ by less are the same


def no_gap(data: ExampleData) -> Comparison:
    """Return a gap of zero for every set of the batch: the law holds."""
    zero = torch.zeros(len(data.x), dtype=torch.float64)
    return Comparison(zero, zero)


def violation(data: ExampleData, note: str) -> Comparison:
    """Return an infinite gap for every set of the batch: the law is broken, whatever the numbers."""
    zero = torch.zeros(len(data.x), dtype=torch.float64)
    return Comparison(zero + torch.inf, zero, note)


def violation_by_error(data: ExampleData, what: str, error: Exception) -> Comparison:
    """Return a violation by an unexpected error; running out of memory is not a violation."""
    if is_out_of_memory(error):
        raise error
    return violation(data, f"{what} raises {one_line(error)}{user_frame(error)}")


def unless_refused(encode: Callable[[], T]) -> T | None:
    """Return an encoding, or None if the encoder refuses the input with a message, which is not a silent fault."""
    try:
        return encode()
    except ValueError as error:
        if not is_refusal(error):
            raise
        return None


def unless_raised(call: Callable[[], T]) -> T | None:
    """Return the result of a call, or None if the encoder raises an error, which another law judges."""
    try:
        return call()
    except NotApplicable:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return None


@contextlib.contextmanager
def skipping_refusals(what: str) -> Iterator[None]:
    """Make a law inapplicable to an input that the encoder refuses with a message; `what` names the input."""
    try:
        yield
    except ValueError as error:
        if not is_refusal(error):
            raise
        raise NotApplicable(f"{what} is refused: {one_line(error)}") from error


def of_sets(comparison: Comparison, rows: Tensor, data: ExampleData) -> Comparison:
    """Return the comparison of sets at some positions of the batch as one of the batch, with zeros for other sets.

    If the positions repeat a set, the largest values of its copies count.
    """

    def scatter(values: Tensor | None) -> Tensor:
        zeros = torch.zeros(len(data.x), dtype=torch.float64)
        return zeros if values is None else zeros.scatter_reduce(0, rows, values.double(), "amax")

    gap, bound, scale = map(scatter, (comparison.gap, comparison.bound, comparison.scale))
    return comparison._replace(gap=gap, bound=bound, scale=scale)


def of_first_sets(comparison: Comparison, data: ExampleData) -> Comparison:
    """Return the comparison of the first sets of a batch, with zeros for the others."""
    return of_sets(comparison, torch.arange(len(comparison.gap)), data)


def are_same(a: Tensor, b: Tensor) -> bool:
    """Return True if the encodings of all sets differ by rounding only."""
    a, b = a.detach(), b.detach()
    return a.shape == b.shape and bool((gaps(a, b) <= _SAME * torch.finfo(a.dtype).eps * max_norms(a)).all())


def worse(a: Comparison, b: Comparison) -> Comparison:
    """Return, per set, the comparison with the larger ratio of gap and bound."""
    take_b = b.ratio > a.ratio
    note = b.note if bool(take_b.any()) and b.note else a.note
    none = torch.zeros_like(a.gap)
    scale = torch.where(take_b, none if b.scale is None else b.scale, none if a.scale is None else a.scale)
    return Comparison(torch.where(take_b, b.gap, a.gap), torch.where(take_b, b.bound, a.bound), note, scale)


def add_part(comparison: Comparison, data: ExampleData, compare: Callable[[], Comparison]) -> Comparison:
    """Return, per set, the worse of a comparison and that of a further part of the law.

    A counterexample shows the choices of the part that fails, since those of the other part do not matter.
    """
    before = dict(data.choices)
    other = compare()
    if comparison.is_broken:
        data.choices = before
    elif other.is_broken:
        data.choices = {name: value for name, value in data.choices.items() if name not in before}
    return worse(comparison, other)
