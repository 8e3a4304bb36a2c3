"""Sets with padding between their elements."""

from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench.verify.domain import Domain
from mbcbench.verify.example import ExampleData
from mbcbench.verify.subject import Subject

PADDING_SCALE = 1e3
_ARRANGEMENTS = 6  # of padding: three in the same columns of all sets, the others in columns of each set


class Padded(NamedTuple):
    """Sets with padding between their elements (`B x (n + p) x d`), and which elements are present (`B x (n + p)`)."""

    x: Tensor
    present: Tensor


def pad_sets(
    x: Tensor,
    num_padding: int,
    data: ExampleData,
    domain: Domain,
    first: float | None = None,
    *,
    scale: float = PADDING_SCALE,
) -> Padded:
    """Return `x` with padding of size `scale` between its elements; `first` is the value of one padded element."""
    batch_size, n, dim = x.shape
    present = _draw_present(batch_size, n, num_padding, data)
    padding = torch.from_numpy(data.rng.standard_normal((batch_size, num_padding, dim))) * scale
    padding = domain.admit(padding)
    if first is not None:
        padding[:, 0] = first
    # Present elements take the first n indices in order; padding takes the others.
    sources = torch.where(present, present.cumsum(1) - 1, n + (~present).cumsum(1) - 1)
    everything = torch.cat([x, padding.to(x.dtype)], 1)
    return Padded(everything.gather(1, sources[:, :, None].expand(-1, -1, dim)), present)


def _draw_present(batch_size: int, n: int, num_padding: int, data: ExampleData) -> Tensor:
    """Return which elements are present (`B x (n + p)`): in half of the draws, those of the same columns in all sets.

    An encoder may take a shortcut where a column is absent from the whole batch, as after padding on the left.
    """
    columns = torch.arange(n + num_padding)
    arrangement = int(data.rng.integers(_ARRANGEMENTS))
    if arrangement == 0:  # padding on the right
        return (columns < n).expand(batch_size, -1).clone()
    if arrangement == 1:  # on the left
        return (columns >= num_padding).expand(batch_size, -1).clone()
    if arrangement == 2:  # in common columns
        return (torch.from_numpy(data.rng.permutation(len(columns))) < n).expand(batch_size, -1).clone()
    return torch.from_numpy(data.rng.permuted(columns.expand(batch_size, -1).numpy(), axis=1)) < n


def first_padding(subject: Subject, data: ExampleData) -> float | None:
    """Return the value of one masked element, which is not finite in most examples, or None for any finite value."""
    return (torch.nan, torch.inf, 0.0)[data.example.seed % 3] if subject.domain.admits_nonfinite else None


def with_finite_padding(chunk: Padded) -> Padded:
    """Return the same sets with finite padding."""
    return Padded(torch.where(chunk.present[:, :, None], chunk.x, chunk.x.nan_to_num(1.0, 1.0, 1.0)), chunk.present)


def describe_padding(*, is_finite_fine: bool) -> str:
    """Return the note on padding that changes an encoding if some of it is NaN or infinity."""
    if is_finite_fine:
        return "finite padding is fine, but NaN or infinity in padding reaches the encoding (0 x NaN is NaN)"
    return "padding changes the encoding, with finite values too"


def cut_rows(data: ExampleData, x: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Cut sets of the batch, given by their positions in it, into the chunks of the stream."""
    order = data.order[rows]
    return torch.split(x.gather(1, order[:, :, None].expand_as(x)), list(data.example.sizes), dim=1)


def of_present(out: Tensor, present: Tensor, like: Tensor) -> Tensor:
    """Return the outputs of a layer for present elements, of the shape of those without padding (`like`).

    A layer with an output for each pair of elements has two axes of elements, of which padding lengthens both.
    """
    n = int(present[0].sum())
    positions = present.nonzero()[:, 1].reshape(len(present), n)
    for axis in range(1, min(out.dim(), like.dim())):
        if out.shape[axis] == present.shape[1] and like.shape[axis] == n:
            index = positions.reshape(len(present), *[n if a == axis else 1 for a in range(1, out.dim())])
            out = out.gather(axis, index.expand(*out.shape[:axis], n, *out.shape[axis + 1 :]))
    return out


def padded_with_zeros(out: Tensor, like: Tensor) -> Tensor:
    """Return the outputs of a layer for a set, followed by zeros for masked elements, of the shape of `like`."""
    padded = torch.zeros_like(like)
    corner(padded, out).copy_(out)
    return padded


def corner(out: Tensor, like: Tensor) -> Tensor:
    """Return as many outputs along each axis as `like` has, from the first: those of elements before padding."""
    return out[tuple(map(slice, like.shape))]
