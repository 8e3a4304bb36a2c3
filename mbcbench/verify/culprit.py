"""Culprits: find the part of an encoder that breaks a law, from a counterexample.

A law finds it with `Law.locate`, which returns an empty string if no part can be named.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mbcbench.verify.call_recording import CallKey, Run
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.isolation import isolated
from mbcbench.verify.layout import Alignment
from mbcbench.verify.subject import Subject, encoding
from mbcbench.verify.whole_pass import Encode, WholePass, record

if TYPE_CHECKING:
    from mbcbench.verify.law import Law

Locate = Callable[[Subject, ExampleData], str]

MAX_ELEMENTS = 2048  # of a set whose activations are recorded
MAX_REPAIRS = 8  # submodules at fault, one after the other


class Part(NamedTuple):
    """A pass of the encoder on a part of the sets and elements, and the correspondence of the part to the whole."""

    run: Run
    alignment: Alignment


def find_culprit(law: "Law", subjects: Sequence[Subject], example: Example) -> str:
    """Return the part of the encoder that breaks a law in a counterexample, or an empty string.

    An exception here, of the encoder or of `Law.locate`, means that no culprit is known; the verdict stands.
    """
    if law.locate is None or example.n > MAX_ELEMENTS:
        return ""
    subject = subjects[example.variant % len(subjects)]
    try:
        with isolated(example.seed), torch.no_grad():
            return law.locate(subject, ExampleData(example, subject.dim_in))
    except Exception:
        return ""


def locate_module(
    subject: Subject, x: Tensor, whole: Run, parts: Sequence[Part], fault: str, *, encode: Encode = encoding
) -> str:
    """Return the first submodule whose outputs differ between a part and the whole although its inputs agree.

    The submodule is named only if the results agree once this submodule, and the next ones like it, return their
    outputs from the whole: a later submodule may undo the effect of an earlier one.

    Parameters
    ----------
    subject
        The encoder.
    x
        The sets, `B x n x d`.
    whole, parts
        A pass on whole sets, and passes on parts of them.
    fault
        Description of the fault, to follow the name of the submodule.
    encode
        Function that encodes sets of any shape as `whole` does.

    Returns
    -------
    str
        Name, class and fault of the submodule; empty if there is none, or if the encoder is not deterministic.
    """
    if not subject.deterministic:
        return ""  # a difference may come from a random draw
    reference = WholePass(subject.module, whole, x, encode)
    known: list[CallKey] = []
    while len(known) <= MAX_REPAIRS:
        passes = [record(subject.module, run, reference.repairing(known, alignment)) for run, alignment in parts]
        pairs = [(calls, alignment) for calls, (_, alignment) in zip(passes, parts, strict=True)]
        if all(reference.agrees(calls, alignment) for calls, alignment in pairs):
            return reference.describe(known[0], fault) if known else ""
        key = reference.first([reference.first_to_blame(calls, alignment, known=known) for calls, alignment in pairs])
        if key is None:
            return ""
        known.append(key)
    return ""
