"""Substance: laws that a constant function breaks, although it passes every invariance.

They say that something *can* change the encoding. An example is therefore judged as a whole: it is a
counterexample if none of its sets shows the change.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.types import Encoder
from mbcbench.verify.example import NORMAL_KINDS, ExampleData
from mbcbench.verify.isolation import seed_torch
from mbcbench.verify.law import Classes, Law, NotApplicable, encodes_sets, has_parameters, has_slots, reads_numbers
from mbcbench.verify.subject import Subject, encoding, slots_of
from mbcbench.verify.tolerance import Comparison, gaps, rounding_bound

from .comparison import no_gap, unless_raised, violation
from .gradients import gradients_of

_BEYOND_ROUNDING = 1e3  # a change counts if it exceeds the rounding bound by this factor
# Above and below nearly all normal data; irrational, since a periodic encoder does not see a multiple of its period.
_ABOVE, _BELOW = 3 + math.sqrt(5), -3 * math.sqrt(3)
_NEGLIGIBLE = 1e-12  # a gradient this much smaller than the largest one is rounding
_UNUSUAL_SIZES = (1, 2, 3, 17, 33, 64, 257)  # in addition to those of the examples
Encode = Callable[[Subject], Tensor]


def is_changed(actual: Tensor, expected: Tensor, n: int) -> bool:
    """Return True if two encodings differ by more than rounding in at least one set."""
    if actual.shape != expected.shape:
        return True
    return bool((gaps(actual, expected) > _BEYOND_ROUNDING * rounding_bound(expected, n)).any())


def check_elements(subject: Subject, data: ExampleData) -> Comparison:
    """Every element can change the encoding: leaving it out does, moving a coordinate does, a zero element counts.

    Source: a set encoder is a function of the whole set.

    Why it matters: a constant passes every invariance. Encoders that cap, subsample or skip elements or coordinates
    lose data silently, and without a bias an element of zeros adds nothing to a sum.

    How to fix a failure: use each element in at least one statistic; give the element network a bias.
    """
    n, dim = data.x.shape[1:]
    position, coordinate = int(data.rng.integers(n)), int(data.rng.integers(dim))
    data.choices["element and coordinate"] = [position, coordinate]
    others = data.x[:, [i for i in range(n) if i != position]]
    element = data.x[:, position : position + 1]
    direction = torch.nn.functional.one_hot(torch.tensor(coordinate), dim)
    zero = torch.zeros_like(element)
    above, below = (subject.domain.admit(zero + shift) for shift in (_ABOVE, _BELOW))
    moved = [element, *(subject.domain.admit(element + shift * direction) for shift in (_ABOVE, _BELOW))]
    if not _can_distinguish(subject, [_insert(others, position, value) for value in moved]):
        return violation(data, "moving a coordinate of an element changes nothing")
    present = [_insert(others, position, value) for value in (element, above, below)]
    if not _can_distinguish(subject, [others, *present]):
        return violation(data, "leaving an element out changes nothing")
    # A maximum notices a zero only if all others are negative, a minimum only if all are positive.
    for rest in (others, *(subject.domain.admit(others + shift) for shift in (_ABOVE, _BELOW))):
        if _can_distinguish(subject, [rest, _insert(rest, position, zero)]):
            return no_gap(data)
    return violation(data, "an element of zeros changes nothing")


def _insert(others: Tensor, position: int, element: Tensor) -> Tensor:
    """Return the sets `others` with one more element (`B x 1 x d`)."""
    return torch.cat([others[:, :position], element, others[:, position:]], 1)


def _can_distinguish(subject: Subject, sets: Sequence[Tensor]) -> bool:
    """Return True if one of these sets is encoded differently from the first."""
    first, *others = [subject.encode(x) for x in sets]
    return any(is_changed(other, first, sets[0].shape[1] + 1) for other in others)


def check_slots(subject: Subject, data: ExampleData) -> Comparison:
    """The slots can change the encoding.

    Source: equations 2 to 4 of the Slot Set Encoder paper. Its weights sum to one over slots, so that with K=1, and
    under a sum or mean over slots, sum_k W_ik v(x_i) = v(x_i): the slots cancel.

    Why it matters: slots, keys and queries are then unused parameters, and the encoder is sum pooling of v(x).

    How to fix a failure: two slots or more, and a read-out that keeps them apart (maximum, concatenation).
    """
    start = subject.init_state(len(data.x))
    slots = slots_of(start)
    assert slots is not None
    noise = torch.from_numpy(data.rng.standard_normal(tuple(slots.shape)))
    actual = subject.stream([data.x], subject.replace_slots(start, slots + noise))
    if is_changed(actual, subject.stream([data.x], start), data.x.shape[1]):
        return no_gap(data)
    return violation(data, "other slots give the same encoding")


def check_parameters(subject: Subject, data: ExampleData) -> Comparison:
    """Every trainable parameter can receive a gradient.

    Source: a parameter that never receives one is not trained, whatever the optimiser reports.

    Why it matters: `torch.normal(mean, std)` passes no gradient to mean and std; a key bias cancels in a softmax over
    keys; with one slot, the whole attention cancels.

    How to fix a failure: remove what cancels, such as a bias that all logits of a softmax share (keys: `bias=False`),
    reparametrise (mu + sigma * noise), or freeze it explicitly.

    A parameter is dead if it receives no gradient in any of these ways: in eval mode and in train mode, with perturbed
    weights and as built, from sets of 1 to 257 elements, from a set without elements, under a mask that hides some or
    all elements, with elements that are NaN, and in a stream.
    """
    unused = [name for name, _ in subject.parameters]
    for find_unused in _attempts(subject, data):
        unused_here = find_unused()
        unused = [name for name in unused if name in unused_here]
        if not unused:
            return no_gap(data)
    if len(unused) == len(subject.parameters):
        return violation(data, "no parameter receives a gradient")
    return violation(data, f"no gradient: {', '.join(unused)}")


def _attempts(subject: Subject, data: ExampleData) -> Iterator[Callable[[], list[str]]]:
    """Yield functions that return the parameters without a gradient, each for one way to encode sets.

    Perturbed weights may saturate a softmax, so the weights as built are tried too. Only the first way must succeed:
    others may be refused, as by BatchNorm in train mode, which other laws judge.
    """
    encode_example = partial(_encode_whole, data.x)
    yield partial(_unused_parameters, subject, data, encode_example)
    as_built = Subject(subject.rebuild(), subject.dim_in, domain=subject.domain)
    encoders = (subject, subject.in_train_mode, as_built)
    ways: Iterable[Encode] = chain([encode_example], _unusual_inputs(subject, data))
    for encode in ways:
        for encoder in encoders:
            yield partial(_unused_if_encoded, encoder, data, encode)


def _unusual_inputs(subject: Subject, data: ExampleData) -> Iterator[Encode]:
    """Yield ways to encode sets that may need further parameters, such as one for an empty set."""
    x, half = data.x, data.x.shape[1] // 2
    for n in (0, *_UNUSUAL_SIZES):
        yield partial(_encode_whole, _draw_sets(subject, data, n))
    if subject.takes_mask:
        some = (torch.arange(x.shape[1]) % 2 == 0).expand(x.shape[:2])
        for mask in (some, torch.zeros_like(some), torch.ones_like(some)):
            yield partial(_encode_masked, x, mask)
    if subject.domain.admits_nonfinite:
        yield partial(_encode_whole, torch.cat([x[:, :1] * torch.nan, x[:, 1:]], 1))
    if subject.streaming:
        yield lambda encoder: encoder.readout(encoder.init_state(len(x)))
        yield lambda encoder: encoder.stream([x[:, :half], x[:, half:]], encoder.init_state(len(x)))
    if subject.mergeable:
        yield lambda encoder: _encode_merged(encoder, x[:, :half], x[:, half:])


def _draw_sets(subject: Subject, data: ExampleData, n: int) -> Tensor:
    """Return a batch of normal sets of `n` elements."""
    generator = torch.Generator().manual_seed(data.example.seed)
    return subject.domain.admit(torch.randn(2, n, subject.dim_in, generator=generator, dtype=torch.float64))


def _encode_whole(x: Tensor, encoder: Subject) -> Tensor:
    return encoding(encoder.module, x)


def _encode_masked(x: Tensor, mask: Tensor, encoder: Subject) -> Tensor:
    return encoder.encode_masked(x, mask)


def _encode_merged(encoder: Subject, left: Tensor, right: Tensor) -> Tensor:
    start = encoder.init_state(len(left))
    return encoder.readout(encoder.module.merge(encoder.update(start, left), encoder.update(start, right)))


def _unused_if_encoded(subject: Subject, data: ExampleData, encode: Encode) -> list[str]:
    """Return the parameters without a gradient; all of them if such sets are not encoded."""
    with torch.random.fork_rng(devices=[]):
        seed_torch(data.example.seed)
        unused = unless_raised(lambda: _unused_parameters(subject, data, encode))
    return [name for name, _ in subject.parameters] if unused is None else unused


def _unused_parameters(subject: Subject, data: ExampleData, encode: Encode) -> list[str]:
    """Return the names of the parameters that receive no gradient."""
    names = [name for name, _ in subject.parameters]
    with torch.enable_grad():
        out = encode(subject)
        generator = torch.Generator().manual_seed(data.example.seed)
        loss = (out * torch.randn(out.shape, generator=generator, dtype=torch.float64)).sum()
        gradients = gradients_of(loss, [parameter for _, parameter in subject.parameters])
    # A gradient that is NaN, as where an element is NaN, says nothing.
    sizes = [0.0 if gradient is None else float(gradient.abs().nan_to_num(0).max()) for gradient in gradients]
    floor = _NEGLIGIBLE * max(sizes)
    return [name for name, size in zip(names, sizes, strict=True) if size <= floor]


def check_attention(subject: Subject, data: ExampleData) -> Comparison:
    """The encoder is not a linear pooling of its elements in disguise.

    Source: with K=1, or slots that are summed, a Slot Set Encoder equals sum_i v(x_i) up to rounding.

    Why it matters: the attention is then just `x.sum(1) @ W` with many more parameters.

    How to fix a failure: let weights depend on the data (two slots or more, a read-out that is not their sum), or put a
    nonlinearity before the pool. Plain sums and means of the raw elements break this law, and may declare so.
    """
    n, shape = data.x.shape[1], tuple(data.x.shape)
    step, offset = (torch.from_numpy(data.rng.standard_normal(shape)) for _ in range(2))
    # An affine function changes by the same amount wherever the same step is taken.
    sets = (data.x + step, data.x, data.x + step + offset, data.x + offset)
    encodings = [subject.encode(x) for x in sets]
    if not _have_equal_shapes(encodings):
        return no_gap(data)
    first, second, scale = encodings[0] - encodings[1], encodings[2] - encodings[3], encodings[2]
    is_nonlinear = gaps(first, second) > _BEYOND_ROUNDING * (rounding_bound(scale, n) + rounding_bound(first, n))
    if bool(is_nonlinear.any()):
        return no_gap(data)
    return violation(data, "the encoding is affine in the elements")


def check_interactions(subject: Subject, data: ExampleData) -> Comparison:
    """The encoder is additive over elements before the read-out; otherwise it models interactions.

    Source: second differences: s(A+x+y) - s(A+x) - s(A+y) + s(A) vanishes for every sum over elements.

    Why it matters: the paper says that stacking models pairwise and higher-order interactions between elements. A sum
    over elements has no interactions, however deep the read-out. This law classifies, in the coordinates of the state
    (the output, for a plain module); only an encoder that declares the law, as claimed or broken, can fail it. It does
    not apply if the shape of an encoding depends on the size of the set.

    How to fix a failure: there is nothing to fix; choose the encoder that the task needs.
    """
    A, x, y = data.x[:, 2:], data.x[:, :1], data.x[:, 1:2]
    sets = (data.x, torch.cat([x, A], 1), torch.cat([y, A], 1), A.contiguous())
    has_comparable_state = subject.streaming and _has_fixed_size_state(subject.module, sets)
    quantity = _flat_state if has_comparable_state else encoding
    encodings = [quantity(subject.module, s) for s in sets]
    if not _have_equal_shapes(encodings):
        raise NotApplicable("sets of different sizes have encodings of different shapes, which have no differences")
    with_both, with_x, with_y, with_none = encodings
    return subject.compare(with_both - with_x, with_y - with_none, data.x, quantity)


def _have_equal_shapes(encodings: Sequence[Tensor]) -> bool:
    return len({out.shape for out in encodings}) == 1


def _flat_state(module: Encoder, x: Tensor) -> Tensor:
    """Return the state of each set as one vector, `B x ...`."""
    state = module.update(module.init_state(len(x)), x)
    per_set = [t for t in pytree.tensors(state) if t.dim() > 0 and t.shape[0] == len(x)]
    return torch.cat([x.new_zeros(len(x), 0), *(t.reshape(len(x), -1).double() for t in per_set)], 1)


def _has_fixed_size_state(module: Encoder, sets: Sequence[Tensor]) -> bool:
    """Return True if the state has entries for each set, as many for a large set as for a small one."""
    widths = {_flat_state(module, x).shape[1] for x in sets}
    return len(widths) == 1 and 0 not in widths


ELEMENTS = Law(
    id="substance.elements", check=check_elements, requires=(encodes_sets,), batched=False, kinds=NORMAL_KINDS,
    min_size=2, max_size=9, budget_fraction=0.02,
)  # fmt: skip
SLOTS = Law(
    id="substance.slots", check=check_slots, requires=(has_slots,), batched=False, kinds=NORMAL_KINDS,
    max_size=9, budget_fraction=0.02,
)  # fmt: skip
PARAMETERS = Law(
    id="substance.parameters", check=check_parameters, requires=(has_parameters,), batched=False,
    kinds=NORMAL_KINDS, min_size=4, max_size=12, budget_fraction=0.02,
)  # fmt: skip
ATTENTION = Law(
    id="substance.attention", check=check_attention, requires=(encodes_sets, reads_numbers), batched=False,
    kinds=NORMAL_KINDS, min_size=3, max_size=9, budget_fraction=0.02,
)  # fmt: skip
INTERACTIONS = Law(
    id="substance.interactions", check=check_interactions, requires=(encodes_sets,), min_size=3, max_size=9,
    kinds=NORMAL_KINDS, classes=Classes("additive before the read-out", "models interactions"), budget_fraction=0.1,
)  # fmt: skip
