"""Symmetries: changes of a set that must not change its encoding."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from mbcbench.types import Encoder
from mbcbench.verify.culprit import Part, locate_module
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Classes, Law, NotApplicable, encodes_sets, has_slots, maps_elements, masks_sets
from mbcbench.verify.layout import Alignment, ElementAxis
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject, slots_of
from mbcbench.verify.tolerance import Comparison, gaps

from .comparison import add_part, no_gap, unless_refused, violation
from .masks import PADDING_SCALE, Padded, describe_padding, first_padding, pad_sets, with_finite_padding
from .positions import locate_positions

_ORDINARY_SIZES = (2, 5)
_MAX_ENTRIES = 2**23  # of the outputs of a layer
_NUM_RAGGED = 3  # sets of unequal sizes in one batch


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
    """Permuting the slots permutes the output.

    Source: Proposition 2.2 of the Slot Set Encoder paper, SSE(X, pi S) = pi SSE(X, S).

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
    if expected.dim() > 2 and expected.shape[1] == len(permutation):
        expected = expected[:, permutation]
    return subject.compare(actual, expected, data.x)


def check_batch(subject: Subject, data: ExampleData) -> Comparison:
    """The encoding of a set does not depend on the other sets of the batch, their order or their number.

    Source: a batch is a convenience; the encoder is a function of one set.

    Why it matters: a statistic over the batch (BatchNorm in train mode, a maximum over all sets, slots drawn by
    position in the batch) makes a result depend on what else is encoded, and fails for a batch of one.

    How to fix a failure: reduce over the elements of a set only; keep the batch dimension out of every reduction.
    """
    batch_size = len(data.x)
    rows = _draw_rows(data)
    encoding = subject.encode(data.x)
    if encoding.shape[0] != batch_size:
        return violation(data, f"{encoding.shape[0]} encodings of {batch_size} sets")
    return _worst_of_copies(
        subject.compare(subject.encode(data.x[rows]), encoding[rows], data.x[rows]), rows, batch_size
    )


def _worst_of_copies(comparison: Comparison, rows: Tensor, batch_size: int) -> Comparison:
    """Return the worst comparison among the copies of each set (`B`); a set without copies has no gap."""

    def largest(values: Tensor | None) -> Tensor:
        nothing = torch.zeros(batch_size, dtype=torch.float64)
        return nothing if values is None else nothing.scatter_reduce(0, rows, values.double(), "amax")

    gap, bound, scale = map(largest, (comparison.gap, comparison.bound, comparison.scale))
    return comparison._replace(gap=gap, bound=bound, scale=scale)


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
    are, as those of a layer that sorts them or returns n eigenvalues: these belong to the set. Sets with more than 2^23
    outputs are left out.
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


def check_padding(subject: Subject, data: ExampleData) -> Comparison:
    """Masked elements have no influence, whatever their values.

    Source: batches of sets of unequal sizes are padded; the mask (`B x n`) marks the elements that are present.

    Why it matters: zero times NaN is NaN, a mean over the padded n is too small, a maximum over padding that holds
    zeros is never negative, and a softmax that counts padding leaks weight to it.

    Sets of unequal sizes are tried in one batch, and a set without any element next to others: its encoding is finite
    or a clear ValueError, not NaN. Of a set-to-set layer the outputs of present elements are compared.

    How to fix a failure: replace masked entries (`torch.where`) before they are used, and count present elements only.
    Mask logits with `torch.finfo(dtype).min`, not with -inf, and multiply the weights by the mask: a softmax over -inf
    alone is NaN. Divide by at least 1, for a set without any element.
    """
    first = first_padding(subject, data)
    padded, present = _draw_padded(subject, data)
    data.choices["positions of the padding"] = ~present
    if first is not None:
        data.choices["padding"] = f"one {first:g}, others of size {PADDING_SCALE:g}"
    actual = unless_refused(lambda: subject.encode_masked(padded, present))
    if actual is None:
        # The encoder refuses padding that is not finite with a message. Finite padding must still have no influence.
        actual = subject.encode_masked(padded.nan_to_num(posinf=0.0), present)
    actual = _of_present(subject, actual, present, data.x)
    comparison = subject.compare(actual, subject.encode(data.x), data.x)
    if not subject.deterministic:
        return comparison
    if first is not None and not math.isfinite(first) and comparison.is_broken:
        comparison = comparison._replace(note=_describe_leak(subject, data, padded, present))
    comparison = add_part(comparison, data, lambda: _compare_ragged(subject, data))
    return add_part(comparison, data, lambda: _compare_beside_absent_set(subject, data))


def _describe_leak(subject: Subject, data: ExampleData, padded: Tensor, present: Tensor) -> str:
    """Describe whether finite padding changes the encoding too, if padding with NaN or infinity does.

    The smallest example is not enough: with a single element, the weight that a softmax leaks has no effect. Ordinary
    sets are tried as well.
    """
    tried = [(data.x, with_finite_padding(Padded(padded, present)))]
    for size in _ORDINARY_SIZES:
        example = subject.domain.fit(Example(sizes=(size,), kinds=(0, 0), seed=size))
        other = ExampleData(example, data.x.shape[2], dtype=data.x.dtype)
        tried.append((other.x, pad_sets(other.x, 2, other, subject.domain)))
    return describe_padding(is_finite_fine=not any(_changes(subject, x, padding) for x, padding in tried))


def _changes(subject: Subject, x: Tensor, padding: Padded) -> bool:
    """Return True if padding changes the encoding of sets."""
    actual = unless_refused(lambda: subject.encode_masked(*padding))
    if actual is None:
        return False
    return subject.compare(_of_present(subject, actual, padding.present, x), subject.encode(x), x).is_broken


def _of_present(subject: Subject, out: Tensor, present: Tensor, x: Tensor) -> Tensor:
    """Return the encodings of padded sets; of a layer, the outputs of their present elements, as those of `x`."""
    return out[present].reshape(*x.shape[:2], *out.shape[2:]) if subject.is_layer else out


def _draw_padded(subject: Subject, data: ExampleData) -> Padded:
    """Return the sets with padding between their elements, some of it not finite if the encoder admits that."""
    return pad_sets(data.x, int(data.rng.integers(1, 4)), data, subject.domain, first_padding(subject, data))


def locate_padding(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule whose outputs for present elements depend on masked ones."""
    padded, present = _draw_padded(subject, data)
    batch_size, n = data.x.shape[:2]
    positions = present.nonzero()[:, 1].reshape(batch_size, n)
    alignment = Alignment(torch.arange(batch_size), positions, *present.shape)
    without_padding = Part(_masked(data.x, torch.ones(batch_size, n).bool()), alignment)
    return (
        _locate_masked(subject, padded, present, [without_padding])
        or _locate_ragged(subject, data)
        or _locate_beside_absent_set(subject, data)
        or locate_state(check_padding)(subject, data)
    )


def _locate_ragged(subject: Subject, data: ExampleData) -> str:
    x, sizes, present = _draw_ragged(subject, data)
    parts = []
    for row, size in enumerate(sizes):
        alignment = Alignment(torch.tensor([row]), torch.arange(size)[None], *present.shape)
        parts.append(Part(_masked(x[row, None, :size], torch.ones(1, size).bool()), alignment))
    return _locate_masked(subject, x, present, parts)


def _locate_beside_absent_set(subject: Subject, data: ExampleData) -> str:
    batch, present = _with_absent_set(subject, data.x)
    batch_size, n = present.shape
    rows, elements = torch.arange(batch_size), torch.arange(n).expand(batch_size, n)
    alignment = Alignment(rows, elements, batch_size, n, compared=rows[:-1])
    return _locate_masked(subject, batch, present, [Part(_masked(batch, torch.ones_like(present)), alignment)])


def _locate_masked(subject: Subject, x: Tensor, present: Tensor, parts: list[Part]) -> str:
    def encode(module: Encoder, x: Tensor) -> object:
        return _masked(x, torch.ones(x.shape[:2]).bool())(module)

    return locate_module(subject, x, _masked(x, present), parts, "depends on masked elements", encode=encode)


def _masked(x: Tensor, present: Tensor) -> Callable[[Encoder], object]:
    return lambda module: module(x, mask=present)


def _compare_ragged(subject: Subject, data: ExampleData) -> Comparison:
    """Compare sets that a mask cuts to unequal sizes, in one batch, with each set alone and without a mask."""
    x, sizes, present = _draw_ragged(subject, data)
    data.choices["sizes of the first sets"] = sizes
    encodings = [subject.encode(elements[None, :size]) for elements, size in zip(x, sizes, strict=True)]
    actual = subject.encode_masked(x, present)
    if subject.is_layer:
        actual = _zero_absent(actual, present)
        encodings = [_pad_rows(encoding, x.shape[1]) for encoding in encodings]
    return _of_first_sets(subject.compare(actual, torch.cat(encodings), x), data)


def _draw_ragged(subject: Subject, data: ExampleData) -> tuple[Tensor, list[int], Tensor]:
    """Return the first sets, sizes to cut them to, and a mask that does so."""
    x = data.x[:_NUM_RAGGED]
    rng = np.random.default_rng([data.example.seed, 3])
    # The number of draws is fixed, so that a set keeps its size when the search tries it alone.
    sizes = rng.integers(subject.domain.min_size, x.shape[1] + 1, size=_NUM_RAGGED)[: len(x)]
    return x, sizes.tolist(), torch.arange(x.shape[1]) < torch.from_numpy(sizes)[:, None]


def _zero_absent(out: Tensor, present: Tensor) -> Tensor:
    """Return the outputs of a layer with zeros for masked elements, whatever it returned there."""
    return out.masked_fill(~present.reshape(*present.shape, *[1] * (out.dim() - 2)), 0)


def _pad_rows(out: Tensor, n: int) -> Tensor:
    """Return the outputs of a layer for one set, followed by zeros for masked elements."""
    return torch.cat([out, out.new_zeros(1, n - out.shape[1], *out.shape[2:])], 1)


def _of_first_sets(comparison: Comparison, data: ExampleData) -> Comparison:
    """Return the comparison of the first sets of a batch, with zeros for the others."""
    others = torch.zeros(len(data.x) - len(comparison.gap), dtype=comparison.gap.dtype)
    scale = comparison.scale if comparison.scale is not None else torch.zeros_like(comparison.gap)
    gap, bound, scale = (torch.cat([values, others]) for values in (comparison.gap, comparison.bound, scale))
    return Comparison(gap, bound, comparison.note, scale)


def _compare_beside_absent_set(subject: Subject, data: ExampleData) -> Comparison:
    """Compare sets next to one that is masked entirely with the same sets next to one that is present."""
    x = data.x[:_NUM_RAGGED]
    batch, present = _with_absent_set(subject, data.x)
    actual = unless_refused(lambda: subject.encode_masked(batch, present))
    if actual is None:
        return no_gap(data)
    data.choices["masked entirely"] = f"set {len(batch)} of {len(batch)}"
    if not subject.is_layer and bool(actual[-1].isnan().any()):
        return violation(data, "a set that is masked entirely, beside others, encodes to NaN")
    expected = subject.encode_masked(batch, batch.new_ones(present.shape).bool())
    return _of_first_sets(subject.compare(actual[:-1], expected[:-1], x), data)


def _with_absent_set(subject: Subject, x: Tensor) -> Padded:
    """Return the first sets and one more, which is masked entirely."""
    batch = torch.cat([x[:_NUM_RAGGED], subject.domain.admit(3 * x[:1] + 1)])
    present = batch.new_ones(batch.shape[:2]).bool()
    present[-1] = False
    return Padded(batch, present)


def check_replication(subject: Subject, data: ExampleData) -> Comparison:
    """X and (X, X, X) have the same encoding: the encoder is size-free; otherwise it is size-aware.

    Source: multisets; a mean or a maximum is size-free, a sum counts.

    Why it matters: a size-free encoder cannot count, a size-aware one extrapolates to other sizes than it was trained
    on. This law classifies; only an encoder that claims the law can fail it.

    How to fix a failure: divide what is summed by the number of elements in the read-out.
    """
    return subject.compare(subject.encode(data.x.repeat(1, 3, 1)), subject.encode(data.x), data.x)


PERMUTATION = Law(
    id="symmetry.permutation", check=check_permutation, requires=(encodes_sets,), locate=locate_permutation
)
SLOTS = Law(id="symmetry.slots", check=check_slots, requires=(has_slots,))
BATCH = Law(id="symmetry.batch", check=check_batch, batched=False, budget_fraction=0.1, locate=locate_batch)
ELEMENTS = Law(id="symmetry.elements", check=check_elements, requires=(maps_elements,), locate=locate_permutation)
PADDING = Law(
    id="symmetry.padding", check=check_padding, requires=(masks_sets,), budget_fraction=0.5, locate=locate_padding
)
REPLICATION = Law(
    id="symmetry.replication",
    check=check_replication,
    requires=(encodes_sets,),
    classes=Classes("size-free", "size-aware"),
    budget_fraction=0.25,
    max_size=129,
)
