"""Hygiene: an encoder in eval() is a function, and leaves what it is given alone."""

import torch
from torch import Tensor

from mbcbench.cases import Drawn
from mbcbench.law import Law
from mbcbench.subject import Subject
from mbcbench.tolerance import Evidence

from .evidence import violated, worse


def check_determinism(subject: Subject, drawn: Drawn) -> Evidence:
    """In eval(), the same input gives the same output, whatever was encoded in between.

    Source: every other law compares two encodings, and means nothing where one input has two.

    Why it matters: slots drawn anew at each call, dropout that stays on, buffers that remember the last set.

    How to fix a failure: draw in training only, or once per stream from a generator of the encoder's own; keep
    nothing on the module during a call.
    """
    first = subject.module(drawn.x)
    subject.module(drawn.x * -0.7 + 0.3)
    return subject.compare(subject.module(drawn.x), first, drawn.x)


def check_inputs(subject: Subject, drawn: Drawn) -> Evidence:
    """The input is not modified, and its memory layout does not matter.

    Source: a function of values must not depend on strides, nor write to what it was lent.

    Why it matters: chunks are views of a larger tensor; an operation in place on one changes the others, and
    `view` where `reshape` is meant fails or scrambles on a transposed input.

    How to fix a failure: no in-place operation on x (`x -= mean`, `x.clamp_()`), `reshape` instead of `view`.
    """
    given = drawn.x.clone()
    want = subject.encode(given)
    if not torch.equal(given, drawn.x):
        return violated(drawn, "the input was modified")
    evidence = subject.compare(subject.encode(_strided(drawn.x)), want, drawn.x)
    return worse(evidence, subject.compare(subject.encode(_transposed(drawn.x)), want, drawn.x))


def _strided(x: Tensor) -> Tensor:
    """The same values, as every second entry of a larger tensor."""
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), 7.0)
    wide[..., ::2] = x
    return wide[..., ::2]


def _transposed(x: Tensor) -> Tensor:
    """The same values, stored element-first."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


DETERMINISM = Law(id="hygiene.determinism", check=check_determinism, share=0.5)
INPUTS = Law(id="hygiene.inputs", check=check_inputs, share=0.5)
