"""Padding: masked elements of whole sets must not change an encoding."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mbcbench.types import Encoder
from mbcbench.verify.culprit import Part, locate_module
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, NotApplicable, masks_sets
from mbcbench.verify.layout import Alignment
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import add_part, are_same, no_gap, of_first_sets, unless_refused, violation
from .masked_gradients import compare_gradients
from .padded import (
    PADDING_SCALE,
    Padded,
    corner,
    describe_padding,
    first_padding,
    of_present,
    pad_sets,
    padded_with_zeros,
    with_finite_padding,
)
from .train_mode import compare_padded, seeded_encoding

_ORDINARY_SIZES = (2, 5)
_NUM_RAGGED = 3  # sets of unequal sizes in one batch


def check_padding(subject: Subject, data: ExampleData) -> Comparison:
    """Masked elements have no influence, whatever their values.

    Source: batches of sets of unequal sizes are padded; the mask (`B x n`) marks the elements that are present.

    Why it matters: zero times NaN is NaN, a mean over the padded n is too small, a maximum over padding that holds
    zeros is never negative, and a softmax that counts padding leaks weight to it.

    Sets of unequal sizes are tried in one batch, and a set without any element next to others: its encoding is finite
    or a clear ValueError, not NaN. Of a set-to-set layer the outputs of present elements are compared. The gradient
    of a padded set, on data without ties, is that of the set alone, and zero for padding. Padding has no influence in
    train mode either; this is tried unless the encoder draws random numbers there or mixes the sets of a batch.

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
        padded = padded.nan_to_num(posinf=0.0)
        actual = subject.encode_masked(padded, present)
    expected = subject.encode(data.x)
    if actual.shape != expected.shape and not subject.is_layer:
        n, length = data.x.shape[1], padded.shape[1]
        if subject.encode(data.x[:, torch.arange(length) % n]).shape != expected.shape:
            raise NotApplicable("sets of different sizes have encodings of different shapes, which cannot be compared")
    comparison = subject.compare(_of_present(subject, actual, Padded(padded, present), expected), expected, data.x)
    if not subject.deterministic:
        return comparison
    if comparison.is_broken and not bool(padded.isfinite().all()):
        comparison = comparison._replace(note=_describe_leak(subject, data, padded, present))
    comparison = add_part(comparison, data, lambda: _compare_ragged(subject, data))
    comparison = add_part(comparison, data, lambda: _compare_beside_absent_set(subject, data))
    if comparison.is_broken:
        return comparison
    compare = _compare_in_train_mode if data.example.seed % 2 else _compare_gradients
    with_part = add_part(comparison, data, lambda: compare(subject, data))
    # A fault that shows in the encodings of ordinary sets is better explained by one of them.
    return comparison if with_part.is_broken and _changes_ordinary(subject, data) else with_part


def _describe_leak(subject: Subject, data: ExampleData, padded: Tensor, present: Tensor) -> str:
    """Describe whether finite padding changes the encoding too, if padding with NaN or infinity does.

    The smallest example is not enough: with a single element, the weight that a softmax leaks has no effect. Ordinary
    sets are tried as well.
    """
    changes = _changes(subject, data.x, with_finite_padding(Padded(padded, present)))
    return describe_padding(is_finite_fine=not (changes or _changes_ordinary(subject, data)))


def _changes_ordinary(subject: Subject, data: ExampleData) -> bool:
    """Return True if finite padding changes the encoding of an ordinary set."""
    for size in _ORDINARY_SIZES:
        example = subject.domain.fit(Example(sizes=(size,), kinds=(0, 0), seed=size))
        other = ExampleData(example, data.x.shape[2], dtype=data.x.dtype)
        if _changes(subject, other.x, pad_sets(other.x, 2, other, subject.domain)):
            return True
    return False


def _changes(subject: Subject, x: Tensor, padding: Padded) -> bool:
    """Return True if padding changes the encoding of sets."""
    actual = unless_refused(lambda: subject.encode_masked(*padding))
    if actual is None:
        return False
    expected = subject.encode(x)
    return subject.compare(_of_present(subject, actual, padding, expected), expected, x).is_broken


def _of_present(subject: Subject, out: Tensor, padded: Padded, like: Tensor) -> Tensor:
    """Return the encodings of padded sets; of a layer, the outputs of present elements, of the shape of `like`.

    Outputs that belong to the set and not to its elements, such as sorted ones, are the first, before those of padding.
    `like` are the outputs for the sets without padding.
    """
    if not subject.is_layer:
        return out
    outputs = of_present(out, padded.present, like)
    if are_same(outputs, like):
        return outputs
    # Sorted outputs, say, stay as they are when the elements are reversed.
    x = padded.x[padded.present].view(len(padded.x), -1, padded.x.shape[2])
    return corner(out, like) if are_same(subject.encode(x.flip(1)), like) else outputs


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
        like = actual[:1]
        of_first = [corner(out, encoding) for out, encoding in zip(torch.split(actual, 1), encodings, strict=True)]
        actual = torch.cat([padded_with_zeros(out, like) for out in of_first])
        encodings = [padded_with_zeros(encoding, like) for encoding in encodings]
    return of_first_sets(subject.compare(actual, torch.cat(encodings), x), data)


def _draw_ragged(subject: Subject, data: ExampleData) -> tuple[Tensor, list[int], Tensor]:
    """Return the first sets, sizes to cut them to, and a mask that does so."""
    x = data.x[:_NUM_RAGGED]
    rng = np.random.default_rng([data.example.seed, 3])
    # The number of draws is fixed, so that a set keeps its size when the search tries it alone.
    sizes = rng.integers(subject.domain.min_size, x.shape[1] + 1, size=_NUM_RAGGED)[: len(x)]
    return x, sizes.tolist(), torch.arange(x.shape[1]) < torch.from_numpy(sizes)[:, None]


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
    return of_first_sets(subject.compare(actual[:-1], expected[:-1], x), data)


def _compare_in_train_mode(subject: Subject, data: ExampleData) -> Comparison:
    """Compare padded sets with the same sets without padding, in train mode."""

    def encode_padded(module: Encoder) -> Tensor:
        padded, present = pad_sets(data.x, 2, data, subject.domain)
        data.choices["positions of the padding in train mode"] = ~present
        training = Subject(module, subject.dim_in, domain=subject.domain)
        out = training.encode_masked(padded, present)
        like = training.encode(data.x) if subject.is_layer else out  # else not needed, and a module may count its calls
        return _of_present(training, out, Padded(padded, present), like)

    return compare_padded(subject, data, seeded_encoding, encode_padded)


def _compare_gradients(subject: Subject, data: ExampleData) -> Comparison:
    """Compare the gradients of padded sets with those of the sets without padding."""

    def encode_padded(parts: Sequence[Padded], like: Tensor) -> Tensor:
        (padded,) = parts
        return _of_present(subject, subject.encode_masked(*padded), padded, like)

    return compare_gradients(subject, data, lambda x, _: [x], lambda module, parts: module(parts[0]), encode_padded)


def _with_absent_set(subject: Subject, x: Tensor) -> Padded:
    """Return the first sets and one more, which is masked entirely."""
    batch = torch.cat([x[:_NUM_RAGGED], subject.domain.admit(3 * x[:1] + 1)])
    present = batch.new_ones(batch.shape[:2]).bool()
    present[-1] = False
    return Padded(batch, present)


PADDING = Law(
    id="symmetry.padding", check=check_padding, requires=(masks_sets,), budget_fraction=0.5, locate=locate_padding
)
