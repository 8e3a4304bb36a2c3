"""Locate submodules that give equal inputs different outputs."""

from collections.abc import Callable

from torch import Tensor

from mbcbench.protocol.copying import copy_module
from mbcbench.types import Encoder
from mbcbench.verify.call_recording import equal_values, record_calls
from mbcbench.verify.subject import Subject
from mbcbench.verify.whole_pass import describe_call


def locate_random_module(subject: Subject, x: Tensor, encode: Callable[[Encoder, Tensor], object], fault: str) -> str:
    """Return the first submodule whose outputs differ between two calls of the encoder on the same sets."""
    module = copy_module(subject.module)
    first = record_calls(module, lambda module: encode(module, x), seed=0)
    record_calls(module, lambda module: encode(module, x * -0.7 + 0.3))
    second = record_calls(module, lambda module: encode(module, x), seed=1)
    for before, after in first.corresponding(second).values():
        if equal_values(before.inputs, after.inputs) and not equal_values(before.outputs, after.outputs):
            return describe_call(subject.module, before, fault)
    return ""
