"""Compare the calls of submodules in a pass on some sets and elements with those in a pass on the whole.

A submodule is to blame if its inputs in both passes agree but its outputs do not: it is not blamed for the faults of
its inputs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.state import leaves, replace_leaves
from mbcbench.types import Encoder
from mbcbench.verify.call_recording import Call, CallKey, Calls, Patch, Run, equal_values, record_calls
from mbcbench.verify.layout import (
    PROBE_SHAPES,
    Alignment,
    CallLayout,
    has_elements,
    infer_call_layout,
    relative_gap,
)

Encode = Callable[[Encoder, Tensor], object]

# In units of the rounding error of the largest entry.
AGREE = 1e3  # inputs of a submodule that differ by less agree
DIFFER = 1e5  # outputs that differ by more do not: 2e-11 in float64
AMPLIFIED = 1e3  # ... unless the inputs differed by more than a thousandth of that
_RESULT = CallKey("", 0)  # stands for the whole run


def record(module: Encoder, run: Run, patch: Patch = lambda _, outputs: outputs) -> Calls:
    """Record a pass of a copy of the encoder, so that no pass affects the next."""
    return record_calls(copy_module(module), run, patch=patch)


class WholePass:
    """Calls of the submodules in a pass on whole sets, and their layouts.

    Parameters
    ----------
    module
        The encoder.
    run
        The pass.
    x
        Its sets, `B x n x d`.
    encode
        Function that encodes sets of any shape as `run` does, to infer which axes stand for sets and elements.
    """

    def __init__(self, module: nn.Module, run: Run, x: Tensor, encode: Encode) -> None:
        self.module = module
        self.calls = record(module, run)
        self.layouts = infer_layouts(module, x, encode)
        self.result_layout = self.layouts[_RESULT].outputs
        self._order = {key: number for number, key in enumerate(self.calls.by_key)}

    def first_to_blame(
        self, part: Calls, alignment: Alignment, *, elements_only: bool = False, known: Collection[CallKey] = ()
    ) -> CallKey | None:
        """Return the first call of a submodule that is to blame, apart from known ones.

        Calls are compared in the order in which they end, so the innermost of nested submodules is named.
        """
        for key, (before, after) in self.calls.corresponding(part).items():
            layout = self.layouts.get(key)
            if layout is None or key in known:
                continue
            if _is_to_blame(before, after, layout, alignment, elements_only=elements_only):
                return key
        return None

    def ignoring_order(self, reordered: Calls) -> set[CallKey]:
        """Return the calls that give the same outputs in a pass on the same elements in another order."""
        pairs = self.calls.corresponding(reordered)
        return {
            key
            for key, (before, after) in pairs.items()
            if equal_values(before.outputs, after.outputs) and not equal_values(before.inputs, after.inputs)
        }

    def first(self, keys: Collection[CallKey | None]) -> CallKey | None:
        """Return the call that ended first."""
        return min((key for key in keys if key is not None), key=lambda key: self._order[key], default=None)

    def agrees(self, part: Calls, alignment: Alignment) -> bool:
        """Return True if the result of a pass on a part is that of the whole."""
        differences = alignment.discrepancies(
            tuple(leaves(self.calls.result)), tuple(leaves(part.result)), self.result_layout
        )
        return differences is not None and all(d is not None and d < DIFFER for d in differences)

    def repairing(self, keys: Collection[CallKey], alignment: Alignment, *, elements_only: bool = False) -> Patch:
        """Return a patch that replaces the outputs of some calls in a part by those in the whole."""

        def patch(key: CallKey, outputs: object) -> object:
            return self._repaired(key, outputs, alignment, elements_only) if key in keys else outputs

        return patch

    def _repaired(self, key: CallKey, outputs: object, alignment: Alignment, elements_only: bool) -> object:
        tensors = {}
        layouts = self.layouts[key].outputs
        for number, (leaf, right, layout) in enumerate(
            zip(leaves(outputs), self.calls.by_key[key].outputs, layouts, strict=True)
        ):
            if layout is None or not (isinstance(leaf, Tensor) and isinstance(right, Tensor)):
                continue
            if has_elements(layout) or not elements_only:
                aligned = alignment.transfer(right, leaf, layout)
                if aligned is not None:
                    tensors[number] = aligned
        return replace_leaves(outputs, tensors)

    def describe(self, key: CallKey, fault: str) -> str:
        """Return name, class and fault of a submodule; an empty string if it is the encoder itself in a wrapper."""
        return describe_call(self.module, self.calls.by_key[key], fault)


def describe_call(module: nn.Module, call: Call, fault: str) -> str:
    """Return name, class and fault of a submodule; an empty string for the encoder itself and for its wrappers."""
    wrapper = _wrapper_path(module)
    name = call.key.name
    if f"{wrapper}.".startswith(f"{name}."):
        return ""
    return f"{name.removeprefix(f'{wrapper}.') if wrapper else name} ({call.type_name}): {fault}"


def _wrapper_path(module: nn.Module) -> str:
    """Return the path of the encoder inside the wrappers of mbcbench, empty if it is not wrapped."""
    names = []
    while type(module).__module__.startswith("mbcbench.") and len(children := list(module.named_children())) == 1:
        name, module = children[0]
        names.append(name)
    return ".".join(names)


def infer_layouts(module: Encoder, x: Tensor, encode: Encode) -> Mapping[CallKey, CallLayout]:
    """Return the layouts of each call of a submodule that is called equally often for batches of every shape."""

    def probe(num_sets: int, num_elements: int) -> Calls:
        batch = _resize(x, num_sets, num_elements)
        return record(module, lambda module: encode(module, batch))

    first, *others = probes = [probe(*shape) for shape in PROBE_SHAPES]
    results = [Call(_RESULT, "", (), tuple(leaves(of_probe.result))) for of_probe in probes]
    return {_RESULT: infer_call_layout(results)} | {
        key: infer_call_layout([call, *(other.by_key[key] for other in others)])
        for key, call in first.by_key.items()
        if all(other.numbers.get(key.name) == first.numbers[key.name] for other in others)
    }


def _resize(x: Tensor, num_sets: int, num_elements: int) -> Tensor:
    """Return a batch of another shape, made of the same elements."""
    rows, elements = torch.arange(num_sets) % x.shape[0], torch.arange(num_elements) % x.shape[1]
    return x[rows][:, elements]


def _is_to_blame(whole: Call, part: Call, layout: CallLayout, alignment: Alignment, *, elements_only: bool) -> bool:
    inputs = alignment.discrepancies(whole.inputs, part.inputs, layout.inputs)
    if inputs is None or any(difference is None or difference > AGREE for difference in inputs):
        return False
    if alignment.may_ignore_order and _mixes_orders(whole, part, layout, alignment):
        return False
    outputs = alignment.discrepancies(whole.outputs, part.outputs, layout.outputs, elements_only=elements_only)
    limit = max([DIFFER, *(AMPLIFIED * difference for difference in inputs if difference is not None)])
    return any(
        difference is not None and difference > limit
        for difference, axes in zip(outputs or (), layout.outputs, strict=False)
        if axes is not None and (has_elements(axes) or not elements_only)
    )


def _mixes_orders(whole: Call, part: Call, layout: CallLayout, alignment: Alignment) -> bool:
    """Return True if some inputs follow the order of the elements and others, such as a table of positions, do not."""
    follows = replace(alignment, may_ignore_order=False).discrepancies(whole.inputs, part.inputs, layout.inputs)
    if follows is None or all(difference is not None and difference <= AGREE for difference in follows):
        return False
    pairs = zip(whole.inputs, part.inputs, strict=True)
    return any(isinstance(a, Tensor) and isinstance(b, Tensor) and relative_gap(b, a) > AGREE for a, b in pairs)
