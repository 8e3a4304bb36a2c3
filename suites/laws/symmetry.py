"""Symmetries: changes of a set that must not change its encoding."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor

from mbcbench.verify.culprit import Part, locate_module
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Classes, Law, NotApplicable, encodes_sets, has_slots, maps_elements
from mbcbench.verify.layout import Alignment, ElementAxis
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject, slots_of
from mbcbench.verify.tolerance import Comparison, gaps

from .comparison import add_part, no_gap, of_sets, violation
from .positions import locate_positions

_MAX_ENTRIES = 2**23  # of the outputs of a layer
_MANY_SETS = 300


def check_permutation(subject: Subject, data: ExampleData) -> Comparison:
    """Permuting the elements of a set does not change its encoding.

    Source: Definition C.1 of the Slot Set Encoder paper; each set of the batch has its own permutation.

    Why it matters: a set has no order. Positions leak through a forgotten positional term, a recurrent layer, a
    convolution along n, or ties that are broken by position.

    How to fix a failure: combine elements only through symmetric operations (sum, mean, maximum, attention without
    positions), and break ties by value.
    """
    permutations = _draw_permutations(data)
    permuted = _permute(data.x, permutations)
    return subject.compare(subject.encode(permuted), subject.encode(data.x), data.x)


def locate_permutation(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule that does not treat permuted elements like the elements in order."""
    permutations = _draw_permutations(data)
    batch_size, n = permutations.shape
    alignment = Alignment(torch.arange(batch_size), permutations, batch_size, n, may_ignore_order=True)
    permuted = Part(lambda module: module(_permute(data.x, permutations)), alignment)
    fault = "depends on the order of elements"
    culprit = locate_module(subject, data.x, lambda module: module(data.x), [permuted], fault)
    culprit = culprit or locate_positions(subject, data.x, permutations)
    return culprit or locate_state(check_permutation)(subject, data)


def check_slots(subject: Subject, data: ExampleData) -> Comparison:
    """Permuting the slots permutes the output, or leaves it as it is.

    Source: Proposition 2.2 of the Slot Set Encoder paper, SSE(X, pi S) = pi SSE(X, S). A read-out that pools over the
    slots is invariant.

    Why it matters: all slots are drawn from one distribution, so none is special; a mask, bias or normalisation that
    knows the position of a slot makes the number of slots a constant of the architecture.

    How to fix a failure: treat the slots as a set too. Learnt slots can keep the law: it permutes them in the state.
    """
    start = subject.init_state(len(data.x))
    slots = slots_of(start)
    assert slots is not None
    permutation = torch.from_numpy(data.rng.permutation(slots.shape[1]))
    data.choices["permutation of the slots"] = permutation
    actual = subject.stream([data.x], subject.replace_slots(start, slots[:, permutation]))
    expected = subject.stream([data.x], start)
    outputs = [expected]
    if expected.dim() > 2 and actual.shape == expected.shape and expected.shape[1] == len(permutation):
        outputs = [expected[:, permutation], expected]
    return subject.compare(actual, min(outputs, key=lambda out: float(gaps(actual, out).amax())), data.x)


def check_batch(subject: Subject, data: ExampleData) -> Comparison:
    """The encoding of a set does not depend on the other sets of the batch, their order or their number.

    Source: a batch is a convenience; the encoder is a function of one set.

    Why it matters: a statistic over the batch (BatchNorm in train mode, a maximum over all sets, slots drawn by
    position in the batch) makes a result depend on what else is encoded, and fails for a batch of one.

    A batch of 300 small sets is tried as well, in one piece and streamed: a table of 32 or 256 rows is right for fewer
    sets.

    How to fix a failure: reduce over the elements of a set only; keep the batch dimension out of every reduction.
    """
    rows = _draw_rows(data)
    comparison = _compare_batches(subject, data, rows, subject.encode)
    if len(data.x) < _MANY_SETS or not subject.streaming:
        return comparison
    return add_part(comparison, data, lambda: _compare_streams(subject, data, rows))


def _compare_streams(subject: Subject, data: ExampleData, rows: Tensor) -> Comparison:
    """Compare streams of the sets of two batches, unless two streams of one batch differ."""

    def stream(x: Tensor) -> Tensor:
        return subject.stream(torch.split(x, list(data.example.sizes), 1), subject.init_state(len(x)))

    if not torch.equal(stream(data.x), stream(data.x)):
        return no_gap(data)
    return _compare_batches(subject, data, rows, stream)


def _compare_batches(
    subject: Subject, data: ExampleData, rows: Tensor, encode: Callable[[Tensor], Tensor]
) -> Comparison:
    batch_size = len(data.x)
    encoding = encode(data.x)
    if encoding.shape[0] != batch_size:
        return violation(data, f"{encoding.shape[0]} encodings of {batch_size} sets")
    return of_sets(subject.compare(encode(data.x[rows]), encoding[rows], data.x[rows]), rows, data)


def locate_batch(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule that treats a set differently next to other sets."""
    rows = _draw_rows(data)
    batch_size, n = data.x.shape[:2]
    alignment = Alignment(rows, torch.arange(n).expand(len(rows), n), batch_size, n)
    others = Part(lambda module: module(data.x[rows]), alignment)
    fault = "depends on the other sets of the batch"
    return locate_module(subject, data.x, lambda module: module(data.x), [others], fault)


def _draw_rows(data: ExampleData) -> Tensor:
    """Return the positions of the sets of another batch, some of them repeated."""
    batch_size = len(data.x)
    rows = torch.from_numpy(data.rng.integers(0, batch_size, size=int(data.rng.integers(1, batch_size + 1))))
    data.choices["sets of the other batch"] = rows
    return rows


def check_elements(subject: Subject, data: ExampleData) -> Comparison:
    """A set-to-set layer is equivariant: permuting the elements permutes its outputs.

    Source: Definition C.2 of the Slot Set Encoder paper; each set of the batch has its own permutation.

    Why it matters: an encoder made of equivariant layers and an invariant pool is invariant; one layer that knows
    positions spoils it.

    How to fix a failure: treat all elements alike, and mix them only through symmetric statistics or attention.

    A layer with an output for each pair or triple of elements, `B x n x n`, may permute several axes. Elements may also
    be along another axis, `B x d x n`, or before or after tokens, `B x (n + 1) x d`. The outputs may also stay as they
    are, if they belong to the set and not to its elements, such as sorted features or n eigenvalues. Sets with more
    than 2^23 outputs are left out.
    """
    n, num_axes = data.x.shape[1], len(subject.element_axes)
    if len(data.x) * n**num_axes > _MAX_ENTRIES:
        raise NotApplicable(f"{n} elements have too many outputs, one for each combination of {num_axes} elements")
    permutations = _draw_permutations(data)
    actual = subject.encode(_permute(data.x, permutations))
    whole = subject.encode(data.x)
    if actual.shape != whole.shape:
        return subject.compare(actual, whole, data.x)
    outputs = _permuted_outputs(whole, permutations, subject.element_axes)
    return subject.compare(actual, min(outputs, key=lambda out: float(gaps(actual, out).amax())), data.x)


def _permuted_outputs(whole: Tensor, permutations: Tensor, axes: Sequence[ElementAxis]) -> Iterator[Tensor]:
    """Yield the outputs of a layer, permuted in each way that is an equivariance; last the outputs as they are."""
    n = permutations.shape[1]
    present = [axis for axis in axes if whole.dim() > axis.number and whole.shape[axis.number] == n + axis.extra]
    for number in range(1, len(present) + 1):
        for moved in combinations(present, number):
            # Tokens are before the elements along all axes, or after them.
            for elements_first in (False, True) if any(axis.extra for axis in moved) else (False,):
                expected = whole
                for axis in moved:
                    expected = _permute_along(expected, permutations, axis, elements_first=elements_first)
                yield expected
    yield whole


def _permute_along(out: Tensor, permutations: Tensor, axis: ElementAxis, *, elements_first: bool) -> Tensor:
    """Permute the elements along one axis of an output; tokens before or after them keep their places."""
    batch_size, n = permutations.shape
    if elements_first:
        parts = [permutations, torch.arange(n, n + axis.extra).expand(batch_size, -1)]
    else:
        parts = [torch.arange(axis.extra).expand(batch_size, -1), permutations + axis.extra]
    return _permute(out.transpose(1, axis.number), torch.cat(parts, 1)).transpose(1, axis.number)


def _draw_permutations(data: ExampleData) -> Tensor:
    """Return a permutation of the elements for each set, `B x n`."""
    batch_size, n = data.x.shape[:2]
    permutations = torch.from_numpy(data.rng.permuted(torch.arange(n).expand(batch_size, n).numpy(), axis=1))
    data.choices["permutation"] = permutations
    return permutations


def _permute(x: Tensor, permutations: Tensor) -> Tensor:
    """Return the elements (`B x n x ...`) of each set in another order (`B x n`)."""
    return x.gather(1, permutations.reshape(*permutations.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:]))


def check_replication(subject: Subject, data: ExampleData) -> Comparison:
    """X and (X, X, X) have the same encoding: the encoder is size-free; otherwise it is size-aware.

    Source: multisets; a mean or a maximum is size-free, a sum counts.

    Why it matters: a size-free encoder cannot count; a size-aware one has to extrapolate to sizes that it was not
    trained on. This law classifies; only an encoder that declares the law, as claimed or broken, can fail it.

    How to fix a failure: divide what is summed by the number of elements in the read-out.
    """
    return subject.compare(subject.encode(data.x.repeat(1, 3, 1)), subject.encode(data.x), data.x)


PERMUTATION = Law(
    id="symmetry.permutation", check=check_permutation, requires=(encodes_sets,), locate=locate_permutation
)
SLOTS = Law(id="symmetry.slots", check=check_slots, requires=(has_slots,))
BATCH = Law(
    id="symmetry.batch",
    check=check_batch,
    batched=False,
    then=(Example(sizes=(1, 2), kinds=(0,) * _MANY_SETS, seed=3, variant=1),),
    budget_fraction=0.1,
    locate=locate_batch,
)
ELEMENTS = Law(id="symmetry.elements", check=check_elements, requires=(maps_elements,), locate=locate_permutation)
REPLICATION = Law(
    id="symmetry.replication",
    check=check_replication,
    requires=(encodes_sets,),
    classes=Classes("size-free", "size-aware"),
    budget_fraction=0.25,
    max_size=129,
)
