"""Sizes: laws about a single element, and about tens of thousands of elements in one piece."""

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from mbcbench.verify.cost import metered_size, predict_cost
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, NotApplicable, encodes_sets
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, unless_refused, violation, worse

_SIZES = (256, 512, 1024, 4096, 65_537)
_MAX_ENTRIES = 2**25  # of one tensor: 256 MiB in float64
_MAX_ENTRIES_IN_ALL = 2**30  # of all results: about a second per encoding
_MAX_OPERATIONS = 30_000  # more are a loop over elements
# Number of elements that are repeated. With four, the numbers of repetitions would be powers of two. Sums over so many
# repetitions need not round in float32, which would hide the rounding in float64.
_BASE = 5
# Kinds of ordinary magnitude: numerics.scale judges overflow.
_ORDINARY_KINDS = (0, 1, 2, 3, 4, 5, 10, 11)


def check_finite(subject: Subject, data: ExampleData) -> Comparison:
    """A set of finite elements has a finite encoding, from a single element on.

    Source: an encoder is a function on sets of every size that it admits.

    Why it matters: the unbiased standard deviation of one element, a division by n - 1 or by a spread that is zero, and
    the logarithm of a distance between equal elements are NaN; the first set of one element stops a training run.

    How to fix a failure: define these cases (`correction=0`, an epsilon under the root), or refuse small sets: raise
    ValueError with a message, or declare `min_size`.

    The law does not check gradients. That of a square root of a variance is NaN for one element: the variance is zero.
    """
    out = subject.encode(data.x)
    if bool(out.isfinite().all()):
        return no_gap(data)
    n, value = data.x.shape[1], "NaN" if bool(out.isnan().any()) else "infinity"
    elements = "one finite element" if n == 1 else f"{n} finite elements"
    return violation(data, f"a set of {elements} encodes to {value}")


def check_size(subject: Subject, data: ExampleData) -> Comparison:
    """Invariance to order, and to repetition, holds for 256 to 65,537 elements in one piece as it does for small sets.

    Source: Definition C.1 of the Slot Set Encoder paper, for sets of every size. If the encoding of a few
    elements does not change when they are repeated, it must not change for any number of repetitions.

    Why it matters: a set that is sampled, truncated or split into blocks from some size on, a table of 4,096 positions
    or a count in eight bits are right for every small set.

    How to fix a failure: use every element, and the same computation for each size; refuse sets that are too large.

    A size is left out if it would need a tensor of more than 2^25 entries, results of more than 2^30 entries in all, or
    more than 30,000 operations, as predicted from sets of 64 and 128 elements. An invariance that fails on small sets
    already is judged by other laws.
    """
    n = data.x.shape[1]
    smallest = max(_SIZES[0], subject.domain.min_size)
    _require_admitted(subject, data.x[:, :smallest])
    if n > smallest and not _is_affordable(subject, data.x):
        raise NotApplicable(f"{n} elements in one piece would take too much memory or time")
    encoding = _require_admitted(subject, data.x)
    comparisons = []
    if not subject.domain.order_sensitive and _holds_on_small_sets(subject, data, _compare_permuted):
        comparisons.append(_compare_permuted(subject, data.x, data, encoding))
    if _holds_on_small_sets(subject, data, _compare_repeated):
        comparisons.append(_compare_repeated(subject, data.x, data))
    if not comparisons:
        raise NotApplicable("on small sets its encoding depends on order and on the number of elements")
    notes = [comparison.note for comparison in comparisons if comparison.is_broken]
    worst = reduce(worse, comparisons)
    return worst._replace(note=" and ".join(notes) or worst.note)


def _require_admitted(subject: Subject, x: Tensor) -> Tensor:
    encoding = unless_refused(lambda: subject.encode(x))
    if encoding is None:
        raise NotApplicable(f"a set of {x.shape[1]} elements is refused with a message")
    return encoding


def _compare_permuted(subject: Subject, x: Tensor, data: ExampleData, encoding: Tensor | None = None) -> Comparison:
    """Compare permuted elements with `x`. Pass its `encoding` if it is known, since it may take seconds."""
    permutation = torch.from_numpy(data.rng.permutation(x.shape[1]))
    expected = subject.encode(x) if encoding is None else encoding
    comparison = subject.compare(subject.encode(x[:, permutation]), expected, x)
    return comparison._replace(note=f"{x.shape[1]} elements in another order")


def _compare_repeated(subject: Subject, x: Tensor, data: ExampleData) -> Comparison:
    """Compare a few elements with their repetition up to the size of `x`."""
    base = x[:, : max(_BASE, subject.domain.min_size)]
    times = x.shape[1] // base.shape[1]
    repeated = base.repeat(1, times, 1)
    comparison = subject.compare(subject.encode(repeated), subject.encode(base), repeated)
    # Repetitions round alike: in a running sum, their errors add up instead of cancelling like those of other elements.
    bound = comparison.bound * math.sqrt(times)
    return comparison._replace(bound=bound, note=f"{base.shape[1]} elements, repeated {times} times")


def _holds_on_small_sets(
    subject: Subject, data: ExampleData, compare: Callable[[Subject, Tensor, ExampleData], Comparison]
) -> bool:
    base = max(_BASE, subject.domain.min_size)
    small = [compare(subject, data.x[:, : base * times], data) for times in (2, 3, 5)]
    return not any(comparison.is_broken for comparison in small)


def _is_affordable(subject: Subject, x: Tensor) -> bool:
    """Predict if sets like `x` can be encoded in one piece."""
    cost = unless_refused(lambda: predict_cost(subject, x))
    if cost is None:
        raise NotApplicable(f"sets of {metered_size(subject.domain)} elements are refused with a message")
    return (
        cost.operations <= _MAX_OPERATIONS
        and cost.entries <= _MAX_ENTRIES
        and cost.entries_in_all <= _MAX_ENTRIES_IN_ALL
    )


FINITE = Law(id="hygiene.finite", check=check_finite, kinds=_ORDINARY_KINDS, budget_fraction=0.25, max_size=65)
SIZE = Law(
    id="symmetry.size",
    check=check_size,
    requires=(encodes_sets,),
    fixed=tuple(Example(sizes=(n,), kinds=(0,), seed=5) for n in _SIZES),
)
