"""Substance: a constant function passes every invariance. Does the encoder do what it is there for?

These laws say that something *can* change the encoding, so a case is judged by all its sets together: it is a
counterexample when none of them shows the change.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.verify.example import NORMAL_KINDS, ExampleData
from mbcbench.verify.law import Classes, Law, encodes_sets, has_parameters, has_slots
from mbcbench.verify.subject import Subject, encoding
from mbcbench.verify.tolerance import Comparison, gaps, rounding_bound

from .comparison import no_gap, violation

_BEYOND_ROUNDING = 1e3  # a change counts when it is that many times the rounding bound


def changes(got: Tensor, want: Tensor, n: int) -> bool:
    """Whether two encodings differ by more than rounding in at least one set."""
    if got.shape != want.shape:
        return True
    return bool((gaps(got, want) > _BEYOND_ROUNDING * rounding_bound(want, n)).any())


def check_elements(subject: Subject, data: ExampleData) -> Comparison:
    """Every element can change the encoding: leaving it out does, moving a coordinate does, a zero element counts.

    Source: a set encoder is a function of the whole set.

    Why it matters: a constant passes every invariance. Encoders that cap, subsample or skip elements or coordinates
    lose data silently, and without a bias an element of zeros adds nothing to a sum.

    How to fix a failure: use each element in at least one statistic; give the element network a bias.
    """
    at, coordinate = int(data.rng.integers(data.x.shape[1])), int(data.rng.integers(data.x.shape[2]))
    data.choices["element and coordinate"] = [at, coordinate]
    others = data.x[:, [i for i in range(data.x.shape[1]) if i != at]]
    own = data.x[:, at : at + 1]
    only = torch.nn.functional.one_hot(torch.tensor(coordinate), own.shape[2])
    there = [_inserted(others, at, own + shift * only) for shift in (0.0, _ABOVE, _BELOW)]
    if not _tell_apart(subject, there):
        return violation(data, "moving a coordinate of an element changes nothing")
    there = [_inserted(others, at, value) for value in (own, _ABOVE, _BELOW)]
    if not _tell_apart(subject, [others, *there]):
        return violation(data, "leaving an element out changes nothing")
    for shift in (0.0, _ABOVE, _BELOW):  # a maximum sees a zero only above the others, a minimum only below
        if _tell_apart(subject, [others + shift, _inserted(others + shift, at, 0.0)]):
            return no_gap(data)
    return violation(data, "an element of zeros is not seen")


_ABOVE, _BELOW = 5.0, -5.0


def _inserted(others: Tensor, at: int, value: Tensor | float) -> Tensor:
    return torch.cat([others[:, :at], torch.zeros_like(others[:, :1]) + value, others[:, at:]], 1)


def _tell_apart(subject: Subject, sets: Sequence[Tensor]) -> bool:
    """Whether the encodings of some two of these sets differ."""
    first, *rest = [subject.encode(x) for x in sets]
    return any(changes(other, first, sets[0].shape[1] + 1) for other in rest)


def check_slots(subject: Subject, data: ExampleData) -> Comparison:
    """The slots can change the encoding.

    Source: equations 2 to 4 of the Slot Set Encoder paper. Its weights sum to one over slots, so that with K=1, and
    under a sum or mean over slots, sum_k W_ik v(x_i) = v(x_i): the slots cancel.

    Why it matters: slots, keys and queries are then dead parameters and the encoder is sum pooling of v(x).

    How to fix a failure: K of two or more, and a read-out that keeps slots apart (maximum, concatenation).
    """
    start = subject.init_state(len(data.x))
    other = torch.from_numpy(data.rng.standard_normal(tuple(start.slots.shape)))
    got = subject.stream([data.x], subject.replace_slots(start, start.slots + other))
    if changes(got, subject.stream([data.x], start), data.x.shape[1]):
        return no_gap(data)
    return violation(data, "other slots, the same encoding")


def check_parameters(subject: Subject, data: ExampleData) -> Comparison:
    """Every trainable parameter can receive a gradient.

    Source: a parameter that never does is not trained, whatever the optimiser says.

    Why it matters: `torch.normal(mean, std)` passes no gradient to mean and std; a key bias cancels in a softmax over
    keys; with one slot the whole attention does.

    How to fix a failure: reparametrise (mu + sigma * noise), drop what cancels, or freeze it openly.
    """
    with torch.enable_grad():
        out = subject.module(data.x)
        generator = torch.Generator().manual_seed(data.example.seed)
        loss = (out * torch.randn(out.shape, generator=generator, dtype=torch.float64)).sum()
        wanted = [parameter for _, parameter in subject.parameters]
        if not loss.requires_grad:
            return violation(data, "the encoding has no graph: no parameter receives a gradient")
        found = torch.autograd.grad(loss, wanted, allow_unused=True)
    sizes = [0.0 if g is None else float(g.abs().max()) for g in found]
    floor = 1e-12 * max(sizes)
    dead = [name for (name, _), size in zip(subject.parameters, sizes, strict=True) if size <= floor]
    return violation(data, f"no gradient: {', '.join(dead)}") if dead else no_gap(data)


def check_attention(subject: Subject, data: ExampleData) -> Comparison:
    """The encoder is not a linear pooling of its elements in disguise.

    Source: facts about the Slot Set Encoder: with K=1, or slots that are summed, it is sum_i v(x_i) to the last digit.

    Why it matters: what is advertised as attention then is `x.sum(1) @ W`, with many more parameters.

    How to fix a failure: let weights depend on the data (two slots or more, a read-out that is not their sum), or put a
    nonlinearity before the pool. Plain sums and means of the raw elements break this law, and may say so.
    """
    n = data.x.shape[1]
    one, two = (torch.from_numpy(data.rng.standard_normal(tuple(data.x.shape))) for _ in range(2))
    first = subject.encode(data.x + one) - subject.encode(data.x)
    second = subject.encode(data.x + one + two) - subject.encode(data.x + two)
    scale = subject.encode(data.x + one + two)
    curved = gaps(first, second) > _BEYOND_ROUNDING * (rounding_bound(scale, n) + rounding_bound(first, n))
    return no_gap(data) if bool(curved.any()) else violation(data, "the encoding is affine in the elements")


def check_interactions(subject: Subject, data: ExampleData) -> Comparison:
    """The encoder is additive over elements before the read-out; otherwise it models interactions.

    Source: second differences: s(A+x+y) - s(A+x) - s(A+y) + s(A) vanishes for every sum over elements.

    Why it matters: the paper says that stacking models pairwise and higher-order interactions between elements; what a
    sum over elements feeds, however deep the read-out, knows elements only one by one.
    This classifies, in the coordinates of the state (the output, for a plain module); only a claim can fail.

    How to fix a failure: nothing to fix: choose the encoder that the task needs.
    """
    A, x, y = data.x[:, 2:], data.x[:, :1], data.x[:, 1:2]
    sets = (data.x, torch.cat([x, A], 1), torch.cat([y, A], 1), A)
    quantity = _state if subject.streaming and _of_fixed_size(subject.module, sets) else encoding
    both, with_x, with_y, alone = (quantity(subject.module, s) for s in sets)
    return subject.compare(both - with_x, with_y - alone, data.x, quantity)


def _state(module: Any, x: Tensor) -> Tensor:
    """What the state holds of each set, `B x ...`."""
    state = module.update(module.init_state(len(x)), x)
    parts = [t for t in pytree.tensors(state) if t.dim() > 0 and t.shape[0] == len(x)]
    return torch.cat([x.new_zeros(len(x), 0), *(t.reshape(len(x), -1).double() for t in parts)], 1)


def _of_fixed_size(module: Any, sets: Sequence[Tensor]) -> bool:
    """Whether the state holds something of each set, and as much of a large one as of a small one."""
    widths = {_state(module, x).shape[1] for x in sets}
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
    id="substance.attention", check=check_attention, requires=(encodes_sets,), batched=False, kinds=NORMAL_KINDS,
    min_size=3, max_size=9, budget_fraction=0.02,
)  # fmt: skip
INTERACTIONS = Law(
    id="substance.interactions", check=check_interactions, requires=(encodes_sets,), min_size=3, max_size=9,
    kinds=NORMAL_KINDS, classes=Classes("additive before the read-out", "models interactions"), budget_fraction=0.1,
)  # fmt: skip
