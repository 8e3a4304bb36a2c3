"""Encoders that depend on positions, on the batch or on padding."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import (
    ORDERED,
    WIDTH,
    Max,
    Mean,
    Slots,
    Slotted,
    Softmax,
    Sum,
    Sums,
    Weighed,
    count,
    finite,
    hide,
)

# A chunk that is masked entirely is all padding.
PADDED = ("mbc.mask", "mbc.empty")


def positions(x: Tensor) -> Tensor:
    """Return 0, 1, 2, ... along the elements, `1 x n x 1`."""
    return torch.arange(x.shape[1], dtype=x.dtype)[None, :, None]


class FirstElementBias(Sum):
    """Counts the first element of a chunk twice."""

    breaks: ClassVar[str] = "symmetry.permutation"
    # Padding in front makes another element the first.
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * (1 + (positions(x) == 0))


class PositionLeak(Mean):
    """Adds a millionth of its position to each element."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * (1 + 1e-6 * positions(x))


class AlternatingSigns(Sum):
    """Subtracts every second element."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * (1 - 2 * (positions(x) % 2))


class MixesNeighbours(Sum):
    """Multiplies each element by its neighbour: a convolution along the set."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return features + 0.1 * features.tanh() * features.roll(1, dims=1).tanh()


class TiesByPosition(Max):
    """Takes the element with the largest first coordinate; the first of equal ones."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "mbc.order", "mbc.merge", "mbc.large", "mbc.train",
        "numerics.scale", "symmetry.padding")  # fmt: skip

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if x.shape[1] == 0:
            return self.init_state(len(x))
        x = hide(x, mask)
        score = x[:, :, 0] if mask is None else x[:, :, 0].masked_fill(~mask, -torch.inf)
        best = score.argmax(1)[:, None, None].expand(-1, 1, WIDTH)
        features = torch.cat([x[:, :, :1], self.features(x)[:, :, 1:]], 2)
        values = features.gather(1, best).squeeze(1)
        number = count(x, mask)
        return Sums(values.masked_fill(number.unsqueeze(1) == 0, -torch.inf), number)

    def add(self, a: Any, b: Any) -> Any:
        right = (b.total[:, :1] > a.total[:, :1]) | b.total[:, :1].isnan()
        return Sums(torch.where(right, b.total, a.total), a.number + b.number)


class LastElementOnTop(Mean):
    """Adds a hundredth of the last element."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * (1 + 0.01 * (positions(x) == x.shape[1] - 1))


class SlotPosition(Slots):
    """Adds a bias to each slot that depends on its position."""

    breaks: ClassVar[str] = "symmetry.slots"

    def weights(self, slots: Tensor, x: Tensor) -> Tensor:
        return super().weights(slots + 0.1 * torch.arange(slots.shape[1], dtype=x.dtype)[None, :, None], x)


class FirstSlotIsSpecial(Slots):
    """Subtracts half of the first slot from all slots."""

    breaks: ClassVar[str] = "symmetry.slots"

    def readout(self, state: Any) -> Tensor:
        relative: Tensor = state.total - 0.5 * state.total[:, :1]
        return relative


class LastSlotDamped(Slots):
    """Multiplies the attention of the last slot by a thousandth."""

    breaks: ClassVar[str] = "symmetry.slots"

    def weights(self, slots: Tensor, x: Tensor) -> Tensor:
        last = torch.arange(slots.shape[1]) == slots.shape[1] - 1
        return super().weights(slots, x) * torch.where(last, 1e-3, 1.0).to(x.dtype)


class Layer(nn.Module):
    """A set-to-set layer that adds the mean of all elements to each; equivariant."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def context(self, features: Tensor) -> Tensor:
        return features.mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x).tanh()
        return features + self.context(features)


class CausalLayer(Layer):
    """Lets an element attend only to those before it."""

    breaks: ClassVar[str] = "symmetry.elements"
    # No aggregation g makes a set-to-set layer an encoder of sets.
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def context(self, features: Tensor) -> Tensor:
        return features.cumsum(1)


class PositionalLayer(Layer):
    """Adds a positional encoding."""

    breaks: ClassVar[str] = "symmetry.elements"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def context(self, features: Tensor) -> Tensor:
        return features.mean(1, keepdim=True) + 1e-6 * positions(features).sin()


class SortedOutputs(Layer):
    """Correct: returns its outputs in sorted order, so that they belong to the set."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sort(1).values


class SortedLayer(Layer):
    """Returns one of its outputs in sorted order, and the others in the order of the elements."""

    breaks: ClassVar[str] = "symmetry.elements"

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return torch.cat([out[..., :1].sort(1).values, out[..., 1:]], 2)


class ChannelsFirst(Layer):
    """Correct: returns `B x d x n`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(1, 2)


class CausalChannelsFirst(ChannelsFirst):
    """Returns `B x d x n`, and lets an element attend only to those before it."""

    breaks: ClassVar[str] = "symmetry.elements"

    def context(self, features: Tensor) -> Tensor:
        return features.cumsum(1)


class ClassToken(Layer):
    """Correct: returns the mean before the outputs of the elements, `B x (n + 1) x d`."""

    def token(self, out: Tensor) -> Tensor:
        return out.mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return torch.cat([self.token(out), out], 1)


class TokenOfFirstElement(ClassToken):
    """Returns the first output once more, as a token of the set."""

    breaks: ClassVar[str] = "symmetry.elements"

    def token(self, out: Tensor) -> Tensor:
        return out[:, :1]


class BatchCentred(Mean):
    """Centres encodings over the batch."""

    breaks: ClassVar[str] = "symmetry.batch"
    # One NaN makes the mean over the batch NaN.
    also: ClassVar[tuple[str, ...]] = ("hygiene.nonfinite", "symmetry.padding", "symmetry.train")

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding - 0.1 * encoding.mean(0)


class ScaledByBatch(Mean):
    """Divides by the largest number of the batch."""

    breaks: ClassVar[str] = "symmetry.batch"
    also: ClassVar[tuple[str, ...]] = ("hygiene.nonfinite", "symmetry.padding", "symmetry.train")

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding / (1 + encoding.abs().max())


class SlotsByPlaceInBatch(Slots):
    """Uses other slots for each set of the batch."""

    breaks: ClassVar[str] = "symmetry.batch"

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        shift = 0.1 * torch.arange(batch_size, dtype=state.slots.dtype)[:, None, None]
        return Slotted(state.slots * (1 + shift), state.total)


class KnowsBatchSize(Mean):
    """Adds a billionth of the encoding for each set of the batch."""

    breaks: ClassVar[str] = "symmetry.batch"

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding * (1 + 1e-9 * len(encoding))


class MaskByMultiplication(Mean):
    """Multiplies by the mask, and zero times NaN is NaN."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = ("mbc.mask",)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if mask is None:
            return super().part(x, mask)
        return Sums((self.features(x) * mask.unsqueeze(-1)).sum(1), count(x, mask))


class PaddingCounted(Mean):
    """Divides by the padded length."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = PADDED

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return Sums(super().part(x, mask).total, count(x, None))


class PaddingAsZeros(Max):
    """Takes the maximum over padding that holds zeros."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = PADDED

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if x.shape[1] == 0:
            return self.init_state(len(x))
        return Sums(hide(self.features(hide(x, mask)), mask, 0.0).amax(1), count(x, mask))


class PaddingInSoftmax(Softmax):
    """Gives padding the logit zero."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = PADDED

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if x.shape[1] == 0:
            return self.init_state(len(x))
        x = hide(x, mask)
        logits = self.logit(x)
        peak = logits.detach().amax(1)
        weights = (logits - finite(peak).unsqueeze(1)).exp()
        return Weighed(peak, hide(weights * self.features(x), mask).sum(1), weights.sum(1))


class MaskIgnored(Mean):
    """Accepts a mask and ignores it."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = PADDED

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, None)


class PaddingAtTheEnd(Mean):
    """Treats the mask as a length: only padding at the end is ignored."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = ("mbc.mask",)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if mask is not None:
            mask = torch.arange(x.shape[1]) < mask.sum(1, keepdim=True)
        return super().part(x, mask)


class LongestCount(Mean):
    """Divides every set of a padded batch by the size of its largest set."""

    breaks: ClassVar[str] = "symmetry.padding"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        state = super().part(x, mask)
        return state if mask is None else state._replace(number=state.number.amax().expand(len(x)))


class ClaimsSizeFree(Sum):
    """A sum that claims to be a mean."""

    breaks: ClassVar[str] = "symmetry.replication"
    claims: ClassVar[Mapping[str, str]] = {"symmetry.replication": "the size is divided out"}


class SmoothedMean(Mean):
    """Divides by n + 1, and claims to be size-free."""

    breaks: ClassVar[str] = "symmetry.replication"
    claims: ClassVar[Mapping[str, str]] = {"symmetry.replication": "the size is divided out"}

    def readout(self, state: Any) -> Tensor:
        smoothed: Tensor = state.total / (state.number + 1).unsqueeze(1)
        return smoothed


class TableOf32Rows(Mean):
    """Writes encodings into a table of 32 rows; later sets of a batch share the last."""

    breaks: ClassVar[str] = "symmetry.batch"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask)[torch.arange(len(x)).clamp(max=31)]


class IndexInEightBits(Mean):
    """Numbers the sets of a chunk in eight bits, so that sets 256 and later add to the states of the first."""

    breaks: ClassVar[str] = "symmetry.batch"

    def add(self, a: Any, b: Any) -> Any:
        rows = torch.arange(len(b.total)).to(torch.uint8).long()
        return Sums(a.total.index_add(0, rows, b.total), a.number.index_add(0, rows, b.number))
