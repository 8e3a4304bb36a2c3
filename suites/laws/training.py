"""Train mode: changes that must not change the encoding of a set in training."""

import torch
from torch import Tensor

from mbcbench.protocol.copying import copy_module
from mbcbench.types import Encoder
from mbcbench.verify.culprit import Part, locate_module
from mbcbench.verify.example import ExampleData
from mbcbench.verify.isolation import seed_torch
from mbcbench.verify.law import Law, NotApplicable
from mbcbench.verify.layout import Alignment
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, skipping_refusals


def check_train(subject: Subject, data: ExampleData) -> Comparison:
    """In train mode too, the encoding of a set does not depend on the other sets of the batch.

    Source: a batch is a convenience; what is trained must be the function that is evaluated.

    Why it matters: BatchNorm couples the sets of a batch, and the elements of a set, in train mode only. A model
    trained on large batches is a different function from the one that is evaluated on one set at a time.

    How to fix a failure: use LayerNorm in place of BatchNorm, or freeze its statistics; update a running mean only
    after it has been used for the batch. An encoder that is meant to use BatchNorm declares that it breaks this law.

    Random numbers are drawn from the same seed for both batches, which have the same shape, so dropout does not fail.
    Each batch is encoded by a copy of the encoder: what one leaves in a buffer, such as a running mean, does not reach
    the other. An encoder that still gives a batch two encodings draws from a generator of its own, and is not compared.
    """
    if len(data.x) < 2:
        raise NotApplicable("a batch of one set has no other sets")
    training, seed = subject.in_train_mode, data.example.seed

    def encode(module: Encoder, x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            seed_torch(seed)
            out: Tensor = copy_module(module)(x.clone())  # which the encoder may write into
        return out

    changed = _draw_changed(data)
    with skipping_refusals("such a batch in train mode"):  # by InstanceNorm, of sets of one element
        first = encode(training.module, data.x)
    if not torch.equal(encode(training.module, data.x).nan_to_num(), first.nan_to_num()):
        raise NotApplicable("in train mode it draws from a generator of its own, so no two encodings can be compared")
    others = _change_sets(subject, data.x, changed)
    second = encode(training.module, others)
    if second.shape != first.shape or len(first) != len(data.x):
        return no_gap(data)  # symmetry.batch judges this
    is_changed = changed.reshape(-1, *[1] * (first.dim() - 1))
    return training.compare(torch.where(is_changed, first, second), first, data.x, encode)


def locate_train(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule that treats a set differently next to other sets, in train mode."""
    changed = _draw_changed(data)
    batch_size, n = data.x.shape[:2]
    rows, elements = torch.arange(batch_size), torch.arange(n).expand(batch_size, n)
    alignment = Alignment(rows, elements, batch_size, n, compared=rows[~changed])
    others = Part(lambda module: module(_change_sets(subject, data.x, changed)), alignment)
    fault = "depends on the other sets of the batch in train mode"
    return locate_module(subject.in_train_mode, data.x, lambda module: module(data.x), [others], fault)


def _draw_changed(data: ExampleData) -> Tensor:
    """Return the sets that change, `B`."""
    changed = torch.from_numpy(data.rng.random(len(data.x)) < 0.5)
    changed[0], changed[-1] = True, False
    data.choices["sets that change"] = changed
    return changed


def _change_sets(subject: Subject, x: Tensor, changed: Tensor) -> Tensor:
    return torch.where(changed[:, None, None], subject.domain.admit(-3 * x + 1), x)


TRAIN = Law(
    id="symmetry.train",
    check=check_train,
    batched=False,
    budget_fraction=0.05,
    max_size=65,
    locate=locate_train,
)
