"""Symmetries: what an encoding of a set must not depend on."""

import numpy as np
import torch
from torch import Tensor

from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Classes, Law, encodes_sets, has_slots, maps_elements, masks
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import violation, worse


def check_permutation(subject: Subject, data: ExampleData) -> Comparison:
    """Permuting the elements of a set leaves its encoding unchanged.

    Source: Definition C.1 of the Slot Set Encoder paper; each set of the batch is permuted in its own way.

    Why it matters: a set has no order. Position leaks through a forgotten positional term, a recurrent layer, a
    convolution along n, or ties that are broken by position.

    How to fix a failure: let elements meet only in symmetric operations (sum, mean, maximum, attention without
    positions), and break ties by value.
    """
    n = data.x.shape[1]
    orders = torch.from_numpy(data.rng.permuted(torch.arange(n).expand(len(data.x), n).numpy(), axis=1))
    data.choices["permutation"] = orders
    return subject.compare(subject.encode(_arranged(data.x, orders)), subject.encode(data.x), data.x)


def check_slots(subject: Subject, data: ExampleData) -> Comparison:
    """Permuting the slots permutes the output.

    Source: Proposition 2.2 of the Slot Set Encoder paper, SSE(X, pi S) = pi SSE(X, S).

    Why it matters: slots are drawn alike, so no slot may be special; a mask, bias or normalisation that knows the
    position of a slot makes the number of slots a constant of the architecture.

    How to fix a failure: treat slots as a set too. Deterministic slots keep the law: it permutes them in the state.
    """
    start = subject.init_state(len(data.x))
    order = torch.from_numpy(data.rng.permutation(start.slots.shape[1]))
    data.choices["permutation of the slots"] = order
    got = subject.stream([data.x], subject.replace_slots(start, start.slots[:, order]))
    want = subject.stream([data.x], start)
    if want.dim() > 2 and want.shape[1] == len(order):
        want = want[:, order]
    return subject.compare(got, want, data.x)


def check_batch(subject: Subject, data: ExampleData) -> Comparison:
    """A set's encoding does not depend on its neighbours in the batch, their order or their number.

    Source: a batch is a convenience; the encoder is a function of one set.

    Why it matters: a statistic over the batch (BatchNorm in train mode, a maximum over all sets, slots drawn by
    position in the batch) makes a result depend on what else was encoded, and breaks down at batch size one.

    How to fix a failure: reduce over the elements of a set only; keep the batch dimension out of every reduction.
    """
    size = len(data.x)
    chosen = torch.from_numpy(data.rng.integers(0, size, size=int(data.rng.integers(1, size + 1))))
    data.choices["sets of the other batch"] = chosen
    whole = subject.encode(data.x)
    if whole.shape[0] != size:
        return violation(data, f"{whole.shape[0]} encodings of {size} sets")
    return subject.compare(subject.encode(data.x[chosen]), whole[chosen], data.x[chosen])


def check_elements(subject: Subject, data: ExampleData) -> Comparison:
    """A set-to-set layer is equivariant: permuting the elements permutes its outputs.

    Source: Definition C.2 of the Slot Set Encoder paper; each set of the batch is permuted in its own way.

    Why it matters: an encoder built of equivariant layers and an invariant pool is invariant; one layer that knows
    positions spoils it.

    How to fix a failure: treat elements alike, and mix them only through symmetric statistics or attention.
    """
    n = data.x.shape[1]
    orders = torch.from_numpy(data.rng.permuted(torch.arange(n).expand(len(data.x), n).numpy(), axis=1))
    data.choices["permutation"] = orders
    got = subject.encode(_arranged(data.x, orders))
    want = _arranged(subject.encode(data.x), orders)
    return subject.compare(got, want, data.x)


def _arranged(x: Tensor, orders: Tensor) -> Tensor:
    return x.gather(1, orders[:, :, None].expand(-1, -1, x.shape[2]))


def check_padding(subject: Subject, data: ExampleData) -> Comparison:
    """Masked elements have no influence, whatever they hold.

    Source: batches of sets of unequal sizes are padded; the mask (`B x n`) says what is present.

    Why it matters: zeros times NaN are NaN, a mean over padded n is too small, a maximum over padding that holds zeros
    is never negative, a softmax that counts padding leaks weight to it.

    How to fix a failure: replace masked entries (`torch.where`) before they are used, and count present elements only.
    """
    size, n, dim = data.x.shape
    extra = int(data.rng.integers(1, 4))
    padding = torch.from_numpy(data.rng.standard_normal((size, extra, dim))) * 1e3
    padding[:, 0] = (torch.nan, torch.inf, 0.0)[data.example.seed % 3]
    places = torch.from_numpy(data.rng.permuted(torch.arange(n + extra).expand(size, -1).numpy(), axis=1))
    present = places < n
    orders = torch.where(present, present.cumsum(1) - 1, n + (~present).cumsum(1) - 1)  # the elements keep their order
    padded = _arranged(torch.cat([data.x, padding.to(data.x.dtype)], 1), orders)
    data.choices["positions of the padding"] = ~present
    comparison = subject.compare(subject.encode_masked(padded, present), subject.encode(data.x), data.x)
    return worse(comparison, _ragged(subject, data)) if subject.deterministic else comparison


_RAGGED = 3  # sets of unequal sizes in one batch


def _ragged(subject: Subject, data: ExampleData) -> Comparison:
    """Sets cut to unequal sizes by the mask, side by side, against each on its own without a mask."""
    x = data.x[:_RAGGED]
    rng = np.random.default_rng([data.example.seed, 3])  # as many draws however many sets there are
    counts = rng.integers(1, x.shape[1] + 1, size=_RAGGED)[: len(x)]
    data.choices["sizes of the first sets"] = counts.tolist()
    present = torch.arange(x.shape[1]) < torch.from_numpy(counts)[:, None]
    alone = [subject.encode(one[None, :count]) for one, count in zip(x, counts, strict=True)]
    found = subject.compare(subject.encode_masked(x, present), torch.cat(alone), x)
    rest = torch.zeros(len(data.x) - len(x), dtype=found.gap.dtype)
    return Comparison(torch.cat([found.gap, rest]), torch.cat([found.bound, rest]), found.note)


def check_replication(subject: Subject, data: ExampleData) -> Comparison:
    """X and (X, X, X) encode alike: the encoder is size-free; otherwise it is size-aware.

    Source: multisets; a mean or a maximum is size-free, a sum counts.

    Why it matters: a size-free encoder cannot count, a size-aware one extrapolates to other sizes than trained on.
    This classifies; only an encoder that claims it can fail.

    How to fix a failure: divide what is summed by the number of elements in the read-out.
    """
    return subject.compare(subject.encode(data.x.repeat(1, 3, 1)), subject.encode(data.x), data.x)


PERMUTATION = Law(id="symmetry.permutation", check=check_permutation, requires=(encodes_sets,))
SLOTS = Law(id="symmetry.slots", check=check_slots, requires=(has_slots,))
BATCH = Law(id="symmetry.batch", check=check_batch, batched=False, budget_fraction=0.1)
ELEMENTS = Law(id="symmetry.elements", check=check_elements, requires=(maps_elements,))
PADDING = Law(id="symmetry.padding", check=check_padding, requires=(encodes_sets, masks), budget_fraction=0.5)
REPLICATION = Law(
    id="symmetry.replication",
    check=check_replication,
    requires=(encodes_sets,),
    classes=Classes("size-free", "size-aware"),
    budget_fraction=0.25,
    max_size=129,
)
