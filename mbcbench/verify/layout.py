"""Layouts: which axes of a tensor stand for the sets of a batch and for the elements of a set.

A submodule may return `B x n x h`, `(B n) x h`, `B x h x n` or `B x n x n`, and its names of axes are unknown. The
encoder is therefore called on batches of three shapes: an axis that grows like B, n or B n stands for sets, elements or
both.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, permutations, product
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.verify.call_recording import Call
from mbcbench.verify.tolerance import gaps, max_norms

PROBE_SHAPES = ((3, 11), (5, 11), (3, 13))  # sets and elements of the batches from which layouts are inferred
_MAX_ORDERS = 24  # ways to read a tensor that are tried

PLAIN = bool | int | float | str | None
SETS, ELEMENTS, REST = "sets", "elements", "rest"
Order = tuple[tuple[str, ...], ...]


class Axis(NamedTuple):
    """An axis of a tensor, the product of up to three factors.

    Parameters
    ----------
    sets, elements
        True if the number of sets, or of elements, is a factor.
    rest
        The factor that depends on neither.
    extra
        Number of additional entries before or after those of the elements: tokens that belong to the set.
    """

    sets: bool
    elements: bool
    rest: int
    extra: int = 0

    def factors(self) -> tuple[str, ...]:
        """Return the names of the factors; a factor of one is left out unless it is the only one."""
        names = [name for name, present in ((SETS, self.sets), (ELEMENTS, self.elements)) if present]
        return tuple(names + ([REST] if self.rest != 1 or not names else []))


Layout = tuple[Axis, ...]


class CallLayout(NamedTuple):
    """Layouts of the inputs and outputs of a call; None for a value that has none."""

    inputs: tuple[Layout | None, ...]
    outputs: tuple[Layout | None, ...]


def infer_call_layout(calls: Sequence[Call]) -> CallLayout:
    """Return the layouts of a call from the same call for each of the batches `PROBE_SHAPES`."""
    return CallLayout(_infer_layouts([c.inputs for c in calls]), _infer_layouts([c.outputs for c in calls]))


def _infer_layouts(values: Sequence[tuple[object, ...]]) -> tuple[Layout | None, ...]:
    layouts = []
    for same in zip(*values, strict=False):
        shapes = [value.shape for value in same if isinstance(value, Tensor) and not value.is_nested]
        layouts.append(infer_layout(shapes) if len(shapes) == len(same) else None)
    return tuple(layouts)


def infer_layout(shapes: Sequence[torch.Size]) -> Layout | None:
    """Return the layout of a tensor from its shapes for the batches `PROBE_SHAPES`, or None if it has no layout."""
    if len({len(shape) for shape in shapes}) != 1:
        return None
    axes = [_infer_axis(sizes) for sizes in zip(*shapes, strict=True)]
    known = tuple(axis for axis in axes if axis is not None)
    is_clear = len(known) == len(axes) and sum(axis.sets for axis in known) <= 1
    return known if is_clear else None


def _infer_axis(sizes: Sequence[int]) -> Axis | None:
    for sets, elements in product((False, True), repeat=2):
        factors = [(b if sets else 1) * (n if elements else 1) for b, n in PROBE_SHAPES]
        quotients = {size / factor for size, factor in zip(sizes, factors, strict=True)}
        quotient = quotients.pop()
        if not quotients and quotient == int(quotient) and quotient > 0:
            return Axis(sets, elements, int(quotient))
    extras = {size - n for size, (_, n) in zip(sizes, PROBE_SHAPES, strict=True)}
    extra = extras.pop()
    return Axis(sets=False, elements=True, rest=1, extra=extra) if not extras and extra > 0 else None


class ElementAxis(NamedTuple):
    """An axis of an output with one entry for each element, and perhaps some for tokens before or after them.

    Parameters
    ----------
    number
        Position of the axis.
    extra
        Number of tokens.
    """

    number: int
    extra: int


def element_axes(sizes: Sequence[int], shapes: Sequence[torch.Size]) -> tuple[ElementAxis, ...]:
    """Return the axes of elements of an output from its shapes for one set of each of these sizes."""
    if len({len(shape) for shape in shapes}) != 1:
        return ()
    axes = []
    for number, lengths in enumerate(zip(*shapes, strict=True)):
        extras = {length - n for n, length in zip(sizes, lengths, strict=True)}
        if number > 0 and len(extras) == 1 and min(extras) >= 0:
            axes.append(ElementAxis(number, extras.pop()))
    return tuple(axes)


def describe_output(shape: torch.Size, axes: Sequence[ElementAxis]) -> str:
    """Return the shape of an output as text, as `B x (n + 1) x 8`."""
    names = ["B", *map(str, shape[1:])]
    for number, extra in axes:
        names[number] = f"(n + {extra})" if extra else "n"
    return " x ".join(names)


def has_elements(layout: Layout) -> bool:
    """Return True if a tensor with this layout has an axis of elements."""
    return any(axis.elements for axis in layout)


@dataclass(frozen=True)
class Alignment:
    """Correspondence of the sets and elements of a batch to those of another, the whole.

    Parameters
    ----------
    rows
        For each set of the batch, the set of the whole that it is taken from, `R`.
    elements
        For each element, the position in that set of the whole, `R x m`.
    num_sets, num_elements
        Size of the whole.
    may_ignore_order
        True if a tensor that equals the one of the whole without alignment agrees too, as if the order of elements had
        no effect on it.
    compared
        Sets of the batch that are compared; all of them if None.
    """

    rows: Tensor
    elements: Tensor
    num_sets: int
    num_elements: int
    may_ignore_order: bool = False
    compared: Tensor | None = None

    def discrepancy(self, whole: Tensor, part: Tensor, layout: Layout, *, elements_only: bool = False) -> float | None:
        """Return the largest difference of `part` and the aligned entries of `whole`, or None if they have none.

        The unit is the rounding error of the largest entry. Values that are not rounded differ by 0 or infinity. With
        `elements_only`, only the entries of the elements are compared.
        """
        number = next((number for number, axis in enumerate(layout) if axis.extra), None)
        if number is not None:
            return self._discrepancy_beside_tokens(whole, part, layout, number, elements_only=elements_only)
        results = [self._discrepancy_in(order, whole, part, layout) for order in _orders(layout)]
        if self.may_ignore_order and whole.shape == part.shape:
            results.append(relative_gap(part, whole))
        return min((result for result in results if result is not None), default=None)

    def _discrepancy_beside_tokens(
        self, whole: Tensor, part: Tensor, layout: Layout, number: int, *, elements_only: bool
    ) -> float | None:
        """Return the discrepancy of the elements, and of the tokens before or after them, along one axis."""
        extra = layout[number].extra
        body, tokens = _layouts_beside_tokens(layout, number)
        results = []
        for elements_first in (False, True):
            whole_elements, whole_tokens = _split_tokens(whole, number, extra, elements_first=elements_first)
            part_elements, part_tokens = _split_tokens(part, number, extra, elements_first=elements_first)
            both = [self.discrepancy(whole_elements, part_elements, body, elements_only=elements_only)]
            if not elements_only:
                both.append(self.discrepancy(whole_tokens, part_tokens, tokens))
            known = [result for result in both if result is not None]
            results.append(max(known) if len(known) == len(both) else None)
        return min((result for result in results if result is not None), default=None)

    def discrepancies(
        self,
        whole: tuple[object, ...],
        part: tuple[object, ...],
        layouts: tuple[Layout | None, ...],
        *,
        elements_only: bool = False,
    ) -> list[float | None] | None:
        """Return the discrepancy of each value, None for one that cannot be aligned; or None if their numbers differ.

        Values that are neither tensors nor plain values are not compared.
        """
        if not len(whole) == len(part) == len(layouts):
            return None
        differences: list[float | None] = []
        for before, after, layout in zip(whole, part, layouts, strict=True):
            if isinstance(before, Tensor) and isinstance(after, Tensor):
                differences.append(
                    None if layout is None else self.discrepancy(before, after, layout, elements_only=elements_only)
                )
            elif isinstance(before, PLAIN) or isinstance(after, PLAIN):
                differences.append(0.0 if type(before) is type(after) and before == after else None)
            else:
                differences.append(0.0)
        return differences

    def transfer(self, whole: Tensor, part: Tensor, layout: Layout) -> Tensor | None:
        """Return the aligned entries of `whole` in the layout of `part`; those of `part` for sets not compared."""
        number = next((number for number, axis in enumerate(layout) if axis.extra), None)
        if number is not None:
            return self._transfer_beside_tokens(whole, part, layout, number)
        order = next(_orders(layout))
        pair = self._align_in(order, whole, part, layout)
        if pair is None:
            return None
        selected, own = pair
        if self.compared is not None and any(axis.sets for axis in layout):
            selected = own.clone().index_copy(0, self.compared, selected[self.compared])
        positions = _split_positions(order)
        inverse = [positions.index(place) for place in range(len(positions))]
        return selected.permute(inverse).reshape(part.shape)

    def _transfer_beside_tokens(self, whole: Tensor, part: Tensor, layout: Layout, number: int) -> Tensor | None:
        """Return the aligned entries of `whole`, with tokens before those of the elements along one axis."""
        body, tokens, extra = *_layouts_beside_tokens(layout, number), layout[number].extra
        whole_elements, whole_tokens = _split_tokens(whole, number, extra, elements_first=False)
        part_elements, part_tokens = _split_tokens(part, number, extra, elements_first=False)
        of_tokens = self.transfer(whole_tokens, part_tokens, tokens)
        of_elements = self.transfer(whole_elements, part_elements, body)
        if of_tokens is None or of_elements is None:
            return None
        return torch.cat([of_tokens, of_elements], number)

    def _discrepancy_in(self, order: Order, whole: Tensor, part: Tensor, layout: Layout) -> float | None:
        pair = self._align_in(order, whole, part, layout)
        if pair is None:
            return None
        if self.compared is not None and any(axis.sets for axis in layout):
            pair = pair[0][self.compared], pair[1][self.compared]
        return relative_gap(pair[1], pair[0])

    def _align_in(self, order: Order, whole: Tensor, part: Tensor, layout: Layout) -> tuple[Tensor, Tensor] | None:
        num_rows, num_elements = self.elements.shape
        before = _split_axes(whole, layout, order, self.num_sets, self.num_elements)
        after = _split_axes(part, layout, order, num_rows, num_elements)
        if before is None or after is None:
            return None
        has_sets = any(axis.sets for axis in layout)
        num_element_axes = sum(axis.elements for axis in layout)
        selected = self._select(before, has_sets, num_element_axes)
        return None if selected is None else (selected, after)

    def _select(self, tensor: Tensor, has_sets: bool, num_element_axes: int) -> Tensor | None:
        """Return the aligned entries of a tensor whose first axes are those of sets and elements."""
        if has_sets:
            tensor = tensor[self.rows]
        elif num_element_axes and bool((self.elements != self.elements[:1]).any()):
            return None  # the elements differ between sets, and the tensor has no axis of sets
        for axis in range(num_element_axes):
            if not has_sets:
                tensor = tensor.index_select(axis, self.elements[0])
                continue
            index = self.elements.reshape(len(self.rows), *[1] * axis, -1, *[1] * (tensor.dim() - axis - 2))
            shape = [*tensor.shape[: axis + 1], self.elements.shape[1], *tensor.shape[axis + 2 :]]
            tensor = tensor.gather(axis + 1, index.expand(shape))
        return tensor


def relative_gap(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors of one shape in units of the rounding error of the largest entry."""
    if actual.numel() == 0:
        return 0.0
    if actual.is_complex() and expected.is_complex():
        actual, expected = (torch.view_as_real(t.resolve_conj()) for t in (actual, expected))
    eps = torch.finfo(actual.dtype).eps if actual.is_floating_point() else 0.0
    first, second = (t.reshape(1, -1).to(torch.float64) for t in (actual, expected))
    gap = float(gaps(first, second))
    rounding = eps * max(float(max_norms(first)), float(max_norms(second)))
    return 0.0 if gap == 0 else (gap / rounding if rounding > 0 else math.inf)


def _layouts_beside_tokens(layout: Layout, number: int) -> tuple[Layout, Layout]:
    """Return the layouts of the entries of the elements along an axis, and of those of the tokens."""
    elements, tokens = Axis(sets=False, elements=True, rest=1), Axis(False, False, layout[number].extra)
    return (*layout[:number], elements, *layout[number + 1 :]), (*layout[:number], tokens, *layout[number + 1 :])


def _split_tokens(tensor: Tensor, axis: int, extra: int, *, elements_first: bool) -> tuple[Tensor, Tensor]:
    """Return the entries of the elements along an axis, and those of the tokens before or after them."""
    n = tensor.shape[axis] - extra
    if elements_first:
        return tensor.narrow(axis, 0, n), tensor.narrow(axis, n, extra)
    return tensor.narrow(axis, extra, n), tensor.narrow(axis, 0, extra)


def _orders(layout: Layout) -> Iterator[Order]:
    """Yield the orders of the factors of each axis in which a tensor may be stored, the most likely one first."""
    return islice(product(*(permutations(axis.factors()) for axis in layout)), _MAX_ORDERS)


def _split_axes(tensor: Tensor, layout: Layout, order: Order, num_sets: int, num_elements: int) -> Tensor | None:
    """Return the tensor with one axis per factor: sets first, then elements, then the rest."""
    sizes = [
        {SETS: num_sets, ELEMENTS: num_elements, REST: axis.rest}[name]
        for axis, factors in zip(layout, order, strict=True)
        for name in factors
    ]
    expected = [(num_sets if axis.sets else 1) * (num_elements if axis.elements else 1) * axis.rest for axis in layout]
    if list(tensor.shape) != expected:
        return None
    return tensor.reshape(sizes).permute(_split_positions(order))


def _split_positions(order: Order) -> list[int]:
    """Return the positions of the factors of all axes: sets first, then elements, then the rest."""
    names = [name for factors in order for name in factors]
    return [place for kind in (SETS, ELEMENTS, REST) for place, name in enumerate(names) if name == kind]
