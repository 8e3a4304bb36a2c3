"""Reference: an independent computation of the same encoding."""

import torch

from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Law, has_reference
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison


def check_equal(subject: Subject, data: ExampleData) -> Comparison:
    """The encoder equals an independent reference implementation, if there is one.

    Source: the equations of the encoder's paper, in plain loops and float64; or `--reference TARGET`.

    Why it matters: a consistent encoder may still compute the wrong function. A missing scale, a transposed weight or
    attention over the wrong axis is perfectly consistent.

    How to fix a failure: compare both term by term, on the smallest set shown.
    """
    assert subject.reference is not None
    expected = torch.from_numpy(subject.reference(subject.module, data.x.numpy().copy())).to(data.x.dtype)
    return subject.compare(subject.encode(data.x), expected, data.x)


# Normal, zero rows, negative, outlier, large, offset: kinds that find wrong implementations. References are slow.
_KINDS = (0, 4, 5, 6, 8, 15)
EQUAL = Law(
    id="reference.equal",
    check=check_equal,
    requires=(has_reference,),
    kinds=_KINDS,
    budget_fraction=0.1,
    max_size=12,
)
