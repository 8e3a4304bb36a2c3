"""Locate submodules that give equal inputs different outputs."""

import copy

import torch
from torch import Tensor

from mbcbench.types import Encoder
from mbcbench.verify.call_recording import record_calls
from mbcbench.verify.culprit import describe_call
from mbcbench.verify.subject import Subject


def locate_random_module(subject: Subject, x: Tensor, fault: str) -> str:
    """Return the first submodule whose outputs differ between two calls of the encoder on the same sets."""
    module = copy.deepcopy(subject.module)

    def encode(module: Encoder) -> object:
        return module(x)

    first = record_calls(module, encode, seed=0).calls
    record_calls(module, lambda m: m(x * -0.7 + 0.3))
    second = record_calls(module, encode, seed=1).calls
    for before, after in zip(first, second, strict=False):
        if before.name != after.name:
            break
        if _equal(before.inputs, after.inputs) and not _equal(before.outputs, after.outputs):
            return describe_call(subject.module, before, fault)
    return ""


def _equal(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    """Return True if all values are equal, NaN included."""
    if len(first) != len(second):
        return False
    for a, b in zip(first, second, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num()):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True
