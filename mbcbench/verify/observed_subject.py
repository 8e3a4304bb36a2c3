"""Observe a law: record the states that it reads out, and its comparisons that fail."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.types import State
from mbcbench.verify.culprit import Locate
from mbcbench.verify.example import ExampleData
from mbcbench.verify.layout import relative_gap
from mbcbench.verify.subject import Quantity, Subject, encoding
from mbcbench.verify.tolerance import Comparison, max_norms
from mbcbench.verify.whole_pass import DIFFER

Check = Callable[[Subject, ExampleData], Comparison]
MAX_LEAVES = 3  # a longer list of leaves says nothing
LEAST_ERROR = 1e-9  # of a gradient, relative to its largest entry


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
        if comparison.is_broken:
            self.failed.append(Compared(actual, expected))
        return comparison

    def encode_masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the encoding of present elements, and remember the state after them."""
        out = super().encode_masked(x, mask)
        if self.streaming:
            self.states.append((out, self.update(self.module.init_state(len(x)), x, mask)))
        return out

    def state_of(self, out: Tensor) -> State | None:
        """Return the state behind an encoding, or None if it is not known."""
        return next((state for encoded, state in self.states if encoded is out), None)


def locate_state(check: Check) -> Locate:
    """Return a function that names the leaves of the state that make a law about streams fail.

    Parameters
    ----------
    check
        Function of the subject and an example that compares two encodings (`Law.check`).

    Returns
    -------
    callable
        `(subject, data) -> str`, for `Law.locate`. The result is empty if no leaf can be named, for example for a plain
        or a random encoder.
    """

    def locate(subject: Subject, data: ExampleData) -> str:
        is_ours = isinstance(subject.module, ChunkAggregation)
        if is_ours or not subject.streaming or not subject.deterministic:
            return ""
        observed = ObservedSubject(subject)
        check(observed, ExampleData(data.example, subject.dim_in))
        for actual, expected in observed.failed:
            a, b = observed.state_of(actual), observed.state_of(expected)
            if a is not None and b is not None:
                return _describe_leaves(subject, a, b, expected)
        return ""

    return locate


def _describe_leaves(subject: Subject, actual: State, expected: State, encoded: Tensor) -> str:
    """Return the leaf that makes the encodings differ, or else all leaves that differ."""
    before, after = list(pytree.named_leaves(expected)), list(pytree.named_leaves(actual))
    if [name for name, _ in before] != [name for name, _ in after]:
        return ""

    def is_repaired(numbers: Sequence[int]) -> bool:
        """Return True if the encodings agree once these leaves do."""
        repaired = pytree.replace_leaves(actual, {i: before[i][1] for i in numbers})
        return relative_gap(subject.module.readout(repaired), encoded) < DIFFER

    differing = [i for i in range(len(before)) if _differ(after[i][1], before[i][1])]
    if not differing or not is_repaired(differing):
        return ""  # the difference is not in the state
    if before[differing[0]][0] == "state":
        return ""  # it is the only leaf
    decisive = next(([i] for i in differing if is_repaired([i])), differing)
    if len(decisive) > MAX_LEAVES:
        return ""
    leaves = [f"{before[i][0]}{_describe_values(after[i][1], before[i][1])}" for i in decisive]
    return f"{leaves[0]} differs" if len(leaves) == 1 else f"{', '.join(leaves)} differ"


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


def locate_parameter(check: Check) -> Locate:
    """Return a function that names the parameter with the largest gradient error in a law about gradients.

    Parameters
    ----------
    check
        Function of the subject and an example that compares two gradients (`Law.check`).

    Returns
    -------
    callable
        `(subject, data) -> str`, for `Law.locate`. The result is empty if no parameter can be named.
    """

    def locate(subject: Subject, data: ExampleData) -> str:
        total = sum(parameter.numel() for _, parameter in subject.parameters)
        if not subject.deterministic:
            return ""
        observed = ObservedSubject(subject)
        check(observed, ExampleData(data.example, subject.dim_in))
        for actual, expected in observed.failed:
            # Gradients for the elements of a set, and then those for all parameters, which are the same for each set.
            if actual.shape == expected.shape == (len(data.x), data.x[0].numel() + total):
                return _describe_parameter(subject, actual[0, -total:], expected[0, -total:])
        return ""

    return locate


def _describe_parameter(subject: Subject, actual: Tensor, expected: Tensor) -> str:
    names = [name for name, _ in subject.parameters]
    sizes = [parameter.numel() for _, parameter in subject.parameters]
    pairs = list(zip(torch.split(actual, sizes), torch.split(expected, sizes), strict=True))
    errors = [_relative_error(a, e) for a, e in pairs]
    worst = max(range(len(names)), key=lambda i: errors[i])
    if not errors[worst] > LEAST_ERROR:
        return ""
    text = f"parameter {names[worst]}: its gradient is off by {100 * errors[worst]:.2g} %"
    if not bool(pairs[worst][0].any()):
        text = f"parameter {names[worst]}: it receives no gradient"
    others = sum(error > LEAST_ERROR for error in errors) - 1
    return f"{text} ({others} more parameter{'s' if others > 1 else ''} off)" if others else text


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    scale = float(torch.maximum(max_norms(actual[None]), max_norms(expected[None])))
    return float((actual - expected).abs().amax()) / scale if scale > 0 else 0.0
