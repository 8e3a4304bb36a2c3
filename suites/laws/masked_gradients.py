"""Gradients of sets with padding: those of the sets alone, and zero for the padding."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mbcbench.errors import is_out_of_memory
from mbcbench.types import Encoder
from mbcbench.verify.domain import is_refusal
from mbcbench.verify.example import TIE_FREE_KINDS, ExampleData
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, of_sets, violation_by_error
from .gradients import gradients_of, linear_loss
from .padded import Padded, pad_sets

Cut = Callable[[Tensor, Tensor], Sequence[Tensor]]  # of sets and their positions in the batch, into chunks
Encode = Callable[[Encoder, Sequence[Tensor]], Tensor]
EncodePadded = Callable[[Sequence[Padded], Tensor], Tensor]  # of chunks, like an encoding without padding

_MAX_PARAMETERS = 10_000
_NOT_FINITE = (
    "the gradient of a padded set is NaN or infinite, although its encoding is right: "
    "some step is not differentiable on padding, such as the square root of 0"
)
_NO_GRADIENT = "no gradient reaches elements or parameters if there is a mask"
_OTHER_GRADIENT = "padding changes the gradient, and not the encoding"


def compare_gradients(
    subject: Subject, data: ExampleData, cut: Cut, encode: Encode, encode_padded: EncodePadded
) -> Comparison:
    """Compare the gradients of padded sets with those of the sets alone.

    Sets with ties are left out. So are sets whose gradient is not finite or zero without padding too.
    """
    rows = _tie_free_sets(data)
    if not len(rows):
        return no_gap(data)

    def alone(module: Encoder, x: Tensor) -> Tensor:
        chunks, parameters, _ = _gradients(module, cut(x, rows), lambda parts: encode(module, parts), data)
        return torch.cat([chunk.flatten(1) for chunk in chunks] + [parameters.expand(len(x), -1)], 1)

    x = data.x[rows]
    try:
        expected = alone(subject.module, x)
    except Exception as error:  # of an encoder that cannot be trained
        if is_out_of_memory(error):
            raise
        return no_gap(data)
    if not bool(expected.isfinite().all()) or not bool((expected != 0).any()):
        return no_gap(data)
    with torch.no_grad():
        chunks = cut(x, rows)
        like = encode(subject.module, [chunk.clone() for chunk in chunks])
    padded = _pad(subject, data, chunks)
    try:
        actual, on_padding = _gradients_of_padded(subject, data, padded, lambda parts: encode_padded(parts, like))
    except Exception as error:
        if is_refusal(error):
            return no_gap(data)
        return violation_by_error(data, "the gradient of a padded set", error)
    # The gradient for padding is zero.
    comparison = subject.compare(
        torch.cat([actual, on_padding], 1), torch.cat([expected, torch.zeros_like(on_padding)], 1), x, alone
    )
    comparison = of_sets(comparison, rows, data)
    return comparison._replace(note=_describe(actual)) if comparison.is_broken else comparison


def _describe(actual: Tensor) -> str:
    if not bool(actual.isfinite().all()):
        return _NOT_FINITE
    return _OTHER_GRADIENT if bool((actual != 0).any()) else _NO_GRADIENT


def _tie_free_sets(data: ExampleData) -> Tensor:
    """Return the positions of the sets without ties, where an encoding is differentiable."""
    if data.example.values is not None:
        return torch.arange(len(data.x))
    rows = [row for row, kind in enumerate(data.example.kinds) if kind in TIE_FREE_KINDS]
    return torch.tensor(rows, dtype=torch.int64)


def _pad(subject: Subject, data: ExampleData, chunks: Sequence[Tensor]) -> list[Padded]:
    """Return chunks with padding of zeros or of the size of ordinary elements.

    Larger numbers may overflow, and make a gradient NaN, where an encoder computes on padding before it hides that.
    """
    scale = float(data.rng.integers(2))
    padded = [pad_sets(chunk, int(data.rng.integers(1, 4)), data, subject.domain, scale=scale) for chunk in chunks]
    data.choices["padding of the gradients"] = "ordinary numbers" if scale else "zeros"
    return padded


def _gradients_of_padded(
    subject: Subject, data: ExampleData, padded: Sequence[Padded], encode: Callable[[Sequence[Padded]], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the gradients for present elements and parameters (`B x (n d + P)`), and those for padding (`B x p d`)."""
    masks = [chunk.present for chunk in padded]

    def loss_of(parts: Sequence[Tensor]) -> Tensor:
        return encode([Padded(part, mask.clone()) for part, mask in zip(parts, masks, strict=True)])

    gradients, parameters, batch_size = _gradients(subject.module, [chunk.x for chunk in padded], loss_of, data)
    present, absent = (
        torch.cat([g[mask == side].reshape(batch_size, -1) for g, mask in zip(gradients, masks, strict=True)], 1)
        for side in (True, False)
    )
    return torch.cat([present, parameters.expand(batch_size, -1)], 1), absent


def _gradients(
    module: Encoder, chunks: Sequence[Tensor], encode: Callable[[Sequence[Tensor]], Tensor], data: ExampleData
) -> tuple[list[Tensor], Tensor, int]:
    """Return the gradients of a linear loss for chunks and for parameters, and the number of sets.

    Of a large model, parameters at equal distances stand for all: their gradient is compared once per set.
    """
    with torch.enable_grad():
        leaves = [chunk.detach().clone().requires_grad_() for chunk in chunks]
        inputs = [*leaves, *(p for p in module.parameters() if p.requires_grad)]
        # Copies, into which an encoder may write.
        loss = linear_loss(encode([leaf.clone() for leaf in leaves]), data)
        gradients = gradients_of(loss, inputs)
    filled = [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, gradients, strict=True)]
    parameters = torch.cat([g.flatten() for g in filled[len(leaves) :]] or [chunks[0].new_zeros(0)])
    return filled[: len(leaves)], parameters[:: len(parameters) // _MAX_PARAMETERS + 1], len(chunks[0])
