"""Observe a law: which states were read out, and which of its comparisons failed."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.types import State
from mbcbench.verify.culprit import DIFFER
from mbcbench.verify.example import ExampleData
from mbcbench.verify.layout import relative_gap
from mbcbench.verify.subject import Quantity, Subject, encoding
from mbcbench.verify.tolerance import Comparison, max_norms

Check = Callable[[Subject, ExampleData], Comparison]
MAX_LEAVES = 3  # more leaves that differ say nothing


class Compared(NamedTuple):
    """Two quantities that a law compared."""

    actual: Tensor
    expected: Tensor


class ObservedSubject(Subject):
    """A subject that remembers the state behind each encoding, and the comparisons that failed.

    Parameters
    ----------
    subject
        The subject to observe.
    """

    def __init__(self, subject: Subject) -> None:
        vars(self).update(vars(subject))
        self.states: list[tuple[Tensor, State]] = []
        self.failed: list[Compared] = []

    def readout(self, state: State) -> Tensor:
        """Return the encoding of a state, and remember the state."""
        read = pytree.clone(state)
        out = super().readout(state)
        self.states.append((out, read))
        return out

    def encode(self, x: Tensor, start: State = None) -> Tensor:
        """Return the encoding of `x` in one piece, and remember the state after it."""
        out = super().encode(x, start)
        if self.streaming:
            first = self.module.init_state(len(x)) if start is None else start
            self.states.append((out, self.module.update(first, x)))
        return out

    def compare(self, actual: Tensor, expected: Tensor, x: Tensor, quantity: Quantity = encoding) -> Comparison:
        """Compare two quantities, and remember them if they differ."""
        comparison = super().compare(actual, expected, x, quantity)
        if bool((comparison.gap > comparison.bound).any()):
            self.failed.append(Compared(actual, expected))
        return comparison

    def state_of(self, out: Tensor) -> State | None:
        """Return the state behind an encoding, or None if it is not known."""
        return next((state for encoded, state in self.states if encoded is out), None)


def locate_state(check: Check) -> Callable[[Subject, ExampleData], str]:
    """Return a function that names the leaves of the state that make a law about streams fail."""

    def locate(subject: Subject, data: ExampleData) -> str:
        if isinstance(subject.module, ChunkAggregation):
            return ""  # its state is ours
        observed = ObservedSubject(subject)
        check(observed, data)
        for actual, expected in observed.failed:
            a, b = observed.state_of(actual), observed.state_of(expected)
            if a is not None and b is not None:
                return _describe_leaves(subject, a, b, expected)
        return ""

    return locate


def _describe_leaves(subject: Subject, actual: State, expected: State, encoded: Tensor) -> str:
    before, after = list(pytree.named_leaves(expected)), list(pytree.named_leaves(actual))
    if [name for name, _ in before] != [name for name, _ in after]:
        return ""
    values = [value for _, value in before]
    differing = [i for i, (_, value) in enumerate(after) if _differ(value, values[i])]

    def is_repaired(numbers: list[int]) -> bool:
        repaired = pytree.replace_leaves(actual, {i: values[i] for i in numbers})
        return relative_gap(subject.module.readout(repaired), encoded) < DIFFER

    if not differing or not is_repaired(differing):
        return ""
    guilty = differing
    for number in differing:
        others = [i for i in guilty if i != number]
        if others and is_repaired(others):
            guilty = others
    if len(guilty) > MAX_LEAVES:
        return ""
    described = [f"{after[i][0]}{_describe_values(after[i][1], values[i])}" for i in guilty]
    return f"{', '.join(described)}: {'differs' if len(guilty) == 1 else 'differ'} between the two streams"


def _differ(actual: object, expected: object) -> bool:
    if isinstance(actual, Tensor) and isinstance(expected, Tensor):
        return actual.shape != expected.shape or relative_gap(actual, expected) > DIFFER
    return type(actual) is not type(expected) or actual != expected


def _describe_values(actual: object, expected: object) -> str:
    """Return both values if they are single numbers."""
    values = [
        value.item() if isinstance(value, Tensor) and value.numel() == 1 else value for value in (actual, expected)
    ]
    if not all(isinstance(value, int | float) for value in values):
        return ""
    return f" ({values[0]:.6g} instead of {values[1]:.6g})"


def locate_parameter(check: Check) -> Callable[[Subject, ExampleData], str]:
    """Return a function that names the parameter whose gradient is furthest off in a law about gradients."""

    def locate(subject: Subject, data: ExampleData) -> str:
        observed = ObservedSubject(subject)
        check(observed, data)
        total = sum(parameter.numel() for _, parameter in subject.parameters)
        if data.x[0].numel() == total:
            return ""  # gradients for the elements look the same
        for actual, expected in observed.failed:
            if total and actual.shape == expected.shape == (1, total):
                return _describe_parameter(subject, actual[0], expected[0])
        return ""

    return locate


def _describe_parameter(subject: Subject, actual: Tensor, expected: Tensor) -> str:
    sizes = [parameter.numel() for _, parameter in subject.parameters]
    largest, name, is_zero = 0.0, "", False
    for (parameter_name, _), a, e in zip(
        subject.parameters, torch.split(actual, sizes), torch.split(expected, sizes), strict=True
    ):
        scale = float(torch.maximum(max_norms(a[None]), max_norms(e[None])))
        gap = float((a - e).abs().amax()) / scale if scale > 0 else 0.0
        if gap > largest:
            largest, name, is_zero = gap, parameter_name, not bool(a.any())
    if not name:
        return ""
    fault = (
        "receives no gradient through the stream" if is_zero else f"its gradient is off by {largest:.2g} of its size"
    )
    return f"parameter {name}: {fault}"
