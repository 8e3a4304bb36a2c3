"""Symmetries: what an encoding of a set must not depend on."""

from typing import Any

import torch
from torch import Tensor

from mbcbench.cases import Drawn
from mbcbench.law import Law, streams
from mbcbench.subject import Subject
from mbcbench.tolerance import Evidence

from .evidence import violated


def check_permutation(subject: Subject, drawn: Drawn) -> Evidence:
    """Permuting the elements of a set leaves its encoding unchanged.

    Source: Definition C.1 of the Slot Set Encoder paper; each set of the batch is permuted in its own way.

    Why it matters: a set has no order. Position leaks through a forgotten positional term, a recurrent layer, a
    convolution along n, or ties that are broken by position.

    How to fix a failure: let elements meet only in symmetric operations (sum, mean, maximum, attention without
    positions), and break ties by value.
    """
    n = drawn.x.shape[1]
    orders = torch.from_numpy(drawn.rng.permuted(torch.arange(n).expand(len(drawn.x), n).numpy(), axis=1))
    drawn.told["permutation"] = orders
    permuted = drawn.x.gather(1, orders[:, :, None].expand_as(drawn.x))
    return subject.compare(subject.encode(permuted), subject.encode(drawn.x), drawn.x)


def check_slots(subject: Subject, drawn: Drawn) -> Evidence:
    """Permuting the slots permutes the output.

    Source: Proposition 2.2 of the Slot Set Encoder paper, SSE(X, pi S) = pi SSE(X, S).

    Why it matters: slots are drawn alike, so no slot may be special; a mask, bias or normalisation that knows the
    position of a slot makes the number of slots a constant of the architecture.

    How to fix a failure: treat slots as a set too. Deterministic slots keep the law: it permutes them in the state.
    """
    start = subject.start(len(drawn.x))
    order = torch.from_numpy(drawn.rng.permutation(start.slots.shape[1]))
    drawn.told["permutation of the slots"] = order
    got = subject.stream([drawn.x], _with_slots(start, start.slots[:, order]))
    want = subject.stream([drawn.x], start)
    if want.dim() > 2 and want.shape[1] == len(order):
        want = want[:, order]
    return subject.compare(got, want, drawn.x)


def _with_slots(state: Any, slots: Tensor) -> Any:
    return state._replace(slots=slots)


def has_slots(subject: Subject) -> str | None:
    """The law speaks of slots: a field `slots` (`B x K x h`) of the state."""
    if streams(subject):
        return streams(subject)
    return None if hasattr(subject.start(1), "slots") else "its state has no field `slots`"


def check_batch(subject: Subject, drawn: Drawn) -> Evidence:
    """A set's encoding does not depend on its neighbours in the batch, their order or their number.

    Source: a batch is a convenience; the encoder is a function of one set.

    Why it matters: a statistic over the batch (BatchNorm in train mode, a maximum over all sets, slots drawn by
    position in the batch) makes a result depend on what else was encoded, and breaks down at batch size one.

    How to fix a failure: reduce over the elements of a set only; keep the batch dimension out of every reduction.
    """
    size = len(drawn.x)
    chosen = torch.from_numpy(drawn.rng.integers(0, size, size=int(drawn.rng.integers(1, size + 1))))
    drawn.told["sets of the other batch"] = chosen
    whole = subject.encode(drawn.x)
    if whole.shape[0] != size:
        return violated(drawn, f"{whole.shape[0]} encodings of {size} sets")
    return subject.compare(subject.encode(drawn.x[chosen]), whole[chosen], drawn.x[chosen])


PERMUTATION = Law(id="symmetry.permutation", check=check_permutation)
SLOTS = Law(id="symmetry.slots", check=check_slots, requires=(has_slots,))
BATCH = Law(id="symmetry.batch", check=check_batch, side_by_side=False, share=0.1)
