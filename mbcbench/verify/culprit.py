"""Culprits: which part of an encoder breaks a law, seen on a counterexample.

Two passes of the encoder are recorded, whose sets and elements correspond to each other. A submodule is to blame if its
inputs agree and its outputs do not: it is blamed for what it does, not for what it was given. Calls are compared in the
order in which they end, so the innermost of nested submodules is named. Where nothing can be said, nothing is said.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from mbcbench.types import Encoder
from mbcbench.verify.call_recording import Call, Calls, Run, record_calls
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.isolation import isolated
from mbcbench.verify.layout import PROBE_SHAPES, Alignment, Layout, has_elements, infer_layout
from mbcbench.verify.subject import Subject, encoding

if TYPE_CHECKING:
    from mbcbench.verify.law import Law

Encode = Callable[[Encoder, Tensor], object]
Locate = Callable[[Subject, ExampleData], str]

# In units of the rounding error of the largest entry.
AGREE = 1e3  # inputs of a submodule that differ by less agree
DIFFER = 1e5  # outputs that differ by more do not: 2e-11 in float64
AMPLIFIED = 1e3  # ... unless the inputs differed by more than a thousandth of it
MAX_ELEMENTS = 2048  # of a set whose activations are recorded
MAX_CHUNKS = 16


class Part(NamedTuple):
    """A pass of the encoder on sets and elements of the whole, and how they correspond to it."""

    run: Run
    alignment: Alignment


class CallLayout(NamedTuple):
    """Layouts of the inputs and outputs of a call; None for a value that has none."""

    inputs: tuple[Layout | None, ...]
    outputs: tuple[Layout | None, ...]


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
    except ImportError:
        return ""


def locate_module(
    subject: Subject,
    x: Tensor,
    whole: Run,
    parts: Sequence[Part],
    fault: str,
    *,
    encode: Encode = encoding,
    elements_only: bool = False,
) -> str:
    """Return the first submodule whose outputs in a part are not those in the whole, though its inputs are.

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
        Encodes sets of any shape as `whole` does; tells which axes stand for sets and elements.
    elements_only
        True if only outputs per element are compared.
    """
    if not subject.deterministic:
        return ""  # what differs may be a random draw
    layouts = _infer_layouts(subject.module, x, encode)
    reference = _record(subject.module, whole)
    order = {id(call): number for number, call in enumerate(reference.calls)}
    blamed = []
    for part in parts:
        for before, after, layout in _matching_calls(reference, _record(subject.module, part.run), layouts):
            if _is_to_blame(before, after, layout, part.alignment, elements_only=elements_only):
                blamed.append(before)
                break
    first = min(blamed, key=lambda call: order[id(call)], default=None)
    return "" if first is None else describe_call(subject.module, first, fault)


def describe_call(module: nn.Module, call: Call, fault: str) -> str:
    """Return name, class and fault of a submodule; an empty string if it is the encoder itself, inside a wrapper."""
    wrapper = _wrapper_path(module)
    name = call.name.removeprefix(f"{wrapper}.") if wrapper else call.name
    return "" if name == wrapper else f"{name} ({call.type_name}): {fault}"


def _wrapper_path(module: nn.Module) -> str:
    """Return the path of the encoder inside the wrappers of mbcbench, empty if it is not wrapped."""
    names = []
    while type(module).__module__.startswith("mbcbench.") and len(children := list(module.named_children())) == 1:
        name, module = children[0]
        names.append(name)
    return ".".join(names)


def _record(module: Encoder, run: Run) -> Calls:
    """Record a pass of a copy of the encoder, so that no pass leaves a trace for the next."""
    return record_calls(copy.deepcopy(module), run)


def _infer_layouts(module: Encoder, x: Tensor, encode: Encode) -> Mapping[tuple[str, int], CallLayout]:
    """Return the layouts of each call, by name of the submodule and number of the call."""

    def probe(num_sets: int, num_elements: int) -> Mapping[str, list[Call]]:
        batch = _resize(x, num_sets, num_elements)
        return _record(module, lambda module: encode(module, batch)).by_name()

    probes = [probe(*shape) for shape in PROBE_SHAPES]
    layouts = {}
    for name, first in probes[0].items():
        calls = [probe.get(name, []) for probe in probes]
        if len({len(of_probe) for of_probe in calls}) == 1:  # else a loop over sets or elements
            for number in range(len(first)):
                inputs = _layouts([of_probe[number].inputs for of_probe in calls])
                outputs = _layouts([of_probe[number].outputs for of_probe in calls])
                layouts[name, number] = CallLayout(inputs, outputs)
    return layouts


def _layouts(values: Sequence[tuple[object, ...]]) -> tuple[Layout | None, ...]:
    """Return the layout of each value, from the values for each probe."""
    return tuple(
        infer_layout([value.shape for value in same if isinstance(value, Tensor)])
        if all(isinstance(value, Tensor) for value in same)
        else None
        for same in zip(*values, strict=False)
    )


def _resize(x: Tensor, num_sets: int, num_elements: int) -> Tensor:
    """Return a batch of another shape, made of the same elements."""
    rows, elements = torch.arange(num_sets) % x.shape[0], torch.arange(num_elements) % x.shape[1]
    return x[rows][:, elements]


def _matching_calls(
    whole: Calls, part: Calls, layouts: Mapping[tuple[str, int], CallLayout]
) -> list[tuple[Call, Call, CallLayout]]:
    """Return the calls of both passes that correspond to each other, in order of execution."""
    whole_calls, part_calls = whole.by_name(), part.by_name()
    matches = []
    for number, before in _numbered(whole):
        layout = layouts.get((before.name, number))
        same = part_calls.get(before.name, [])
        if layout is not None and len(same) == len(whole_calls[before.name]):
            matches.append((before, same[number], layout))
    return matches


def _numbered(calls: Calls) -> list[tuple[int, Call]]:
    """Return each call with its number among those of its submodule."""
    numbers: dict[str, int] = {}
    numbered = []
    for call in calls.calls:
        numbers[call.name] = numbers.get(call.name, -1) + 1
        numbered.append((numbers[call.name], call))
    return numbered


def _is_to_blame(whole: Call, part: Call, layout: CallLayout, alignment: Alignment, *, elements_only: bool) -> bool:
    given = _discrepancies(whole.inputs, part.inputs, layout.inputs, alignment)
    if given is None or any(difference is None or difference > AGREE for difference in given):
        return False
    returned = _discrepancies(whole.outputs, part.outputs, layout.outputs, alignment)
    if returned is None:
        return False
    limit = max([DIFFER, *(AMPLIFIED * difference for difference in given if difference is not None)])
    return any(
        difference is not None and difference > limit
        for difference, axes in zip(returned, layout.outputs, strict=True)
        if axes is not None and (has_elements(axes) or not elements_only)
    )


def _discrepancies(
    whole: tuple[object, ...], part: tuple[object, ...], layouts: tuple[Layout | None, ...], alignment: Alignment
) -> list[float | None] | None:
    """Return the difference of each value, None for one that cannot be aligned; or None if their numbers differ."""
    if not len(whole) == len(part) == len(layouts):
        return None
    differences: list[float | None] = []
    for before, after, layout in zip(whole, part, layouts, strict=True):
        if isinstance(before, Tensor) and isinstance(after, Tensor):
            differences.append(None if layout is None else alignment.discrepancy(before, after, layout))
        else:
            differences.append(0.0 if type(before) is type(after) and before == after else None)
    return differences
