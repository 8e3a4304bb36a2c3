"""Locate a table of positions: a submodule whose outputs depend on the position of an element and on nothing else."""

from functools import partial

import torch
from torch import Tensor

from mbcbench.verify.call_recording import Call, CallKey, equal_values
from mbcbench.verify.layout import Layout, relative_gap
from mbcbench.verify.subject import Subject, encoding
from mbcbench.verify.whole_pass import DIFFER, describe_call, infer_layouts, record


def locate_positions(subject: Subject, x: Tensor, permutations: Tensor) -> str:
    """Return the submodule with an output of its own for each position of a set (`B x n x d`), if it alone is at fault.

    It is at fault if the encoding is independent of the order of elements once its outputs are permuted with them.
    """
    is_moved = (permutations != torch.arange(x.shape[1])).any(1)
    if not subject.deterministic or not bool(is_moved.any()):
        return ""
    row = int(is_moved.long().argmax())
    return _locate_for_set(subject, x[row : row + 1], permutations[row])


def _locate_for_set(subject: Subject, x: Tensor, permutation: Tensor) -> str:
    layouts = infer_layouts(subject.module, x, encoding)
    permuted = x[:, permutation]
    passes = [
        record(subject.module, partial(encoding, x=inputs)) for inputs in (x, permuted, subject.domain.admit(2 * x + 1))
    ]
    for key, call in passes[0].by_key.items():
        layout = layouts.get(key)
        if layout is None or len(layout.outputs) != 1 or layout.outputs[0] is None:
            continue
        same = [of_pass.by_key.get(key) for of_pass in passes]
        if all(other is not None and equal_values(call.outputs, other.outputs) for other in same):
            moved = _permute_outputs(call, layout.outputs[0], permutation)
            if moved is not None and _is_repaired(subject, x, permutation, key, moved):
                return describe_call(subject.module, call, "depends on the order of elements")
    return ""


def _permute_outputs(call: Call, layout: Layout, permutation: Tensor) -> Tensor | None:
    """Return the output with its elements permuted, or None if that changes nothing."""
    (out,) = call.outputs
    assert isinstance(out, Tensor)
    moved = out
    for number, axis in enumerate(layout):
        if axis.elements and axis.rest == 1:
            moved = moved.index_select(number, permutation)
    return None if torch.equal(moved, out) else moved


def _is_repaired(subject: Subject, x: Tensor, permutation: Tensor, key: CallKey, moved: Tensor) -> bool:
    """Return True if permuted elements are encoded as they should be if a call returns `moved`."""
    expected = subject.copy().module(x)
    if subject.is_layer:
        expected = expected[:, permutation]
    run = partial(encoding, x=x[:, permutation])
    patched = record(subject.module, run, lambda called, outputs: moved if called == key else outputs)
    return relative_gap(patched.result, expected) < DIFFER
