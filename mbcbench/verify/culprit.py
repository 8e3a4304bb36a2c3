"""Culprits: which part of an encoder breaks a law, seen on a counterexample.

A law names it with `Law.locate`. Where nothing can be said, nothing is said.
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
    """A pass of the encoder on sets and elements of the whole, and how they correspond to it."""

    run: Run
    alignment: Alignment


def find_culprit(law: "Law", subjects: Sequence[Subject], example: Example) -> str:
    """Return which part of the encoder breaks a law in a counterexample, or an empty string.

    An encoder that fails here, in its own or in our code, has no known culprit; its verdict stands.
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
    """Return the first submodule whose outputs in a part are not those in the whole, though its inputs are.

    It is named only if the results agree once it, and the next ones like it, return what they return in the whole: what
    a submodule does may be undone later.

    Parameters
    ----------
    subject
        The encoder.
    x
        The sets, `B x n x d`.
    whole, parts
        A pass on whole sets, and passes on parts of them.
    fault
        What the submodule then does, in words.
    encode
        Encodes sets of any shape as `whole` does.
    """
    if not subject.deterministic:
        return ""  # what differs may be a random draw
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
