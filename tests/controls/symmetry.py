"""Encoders that depend on what they must not."""

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

# A masked chunk is all padding: what counts padding counts it.
PADDED = ("mbc.empty",)


def positions(x: Tensor) -> Tensor:
    """0, 1, 2, ... along the elements, `1 x n x 1`."""
    return torch.arange(x.shape[1], dtype=x.dtype)[None, :, None]


class FirstElementBias(Sum):
    """Counts the first element of a chunk twice."""

    breaks: ClassVar[str] = "symmetry.permutation"
    # With padding in front, another element is the first.
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
    """Multiplies each element with its neighbour: a convolution along the set."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return features + 0.1 * features.tanh() * features.roll(1, dims=1).tanh()


class TiesByPosition(Max):
    """Takes the element with the largest first coordinate; of equal ones the first."""

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
        chosen = features.gather(1, best).squeeze(1)
        number = count(x, mask)
        return Sums(chosen.masked_fill(number.unsqueeze(1) == 0, -torch.inf), number)

    def add(self, a: Any, b: Any) -> Any:
        right = (b.total[:, :1] > a.total[:, :1]) | b.total[:, :1].isnan()
        return Sums(torch.where(right, b.total, a.total), a.number + b.number)


class LastElementOnTop(Mean):
    """Adds a hundredth of the last element to the sum."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.padding")

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * (1 + 0.01 * (positions(x) == x.shape[1] - 1))


class SlotPosition(Slots):
    """Gives each slot a bias of its own, by its position."""

    breaks: ClassVar[str] = "symmetry.slots"

    def weights(self, slots: Tensor, x: Tensor) -> Tensor:
        return super().weights(slots + 0.1 * torch.arange(slots.shape[1], dtype=x.dtype)[None, :, None], x)


class FirstSlotIsSpecial(Slots):
    """Measures all slots against the first."""

    breaks: ClassVar[str] = "symmetry.slots"

    def readout(self, state: Any) -> Tensor:
        rest: Tensor = state.total - 0.5 * state.total[:, :1]
        return rest


class LastSlotMasked(Slots):
    """Leaves the last slot out of the softmax by a number that is not quite infinite."""

    breaks: ClassVar[str] = "symmetry.slots"

    def weights(self, slots: Tensor, x: Tensor) -> Tensor:
        last = torch.arange(slots.shape[1]) == slots.shape[1] - 1
        return super().weights(slots, x) * torch.where(last, 1e-3, 1.0).to(x.dtype)


class Layer(nn.Module):
    """A set-to-set layer: each element with the mean of all; equivariant."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def context(self, features: Tensor) -> Tensor:
        return features.mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x).tanh()
        return features + self.context(features)


class CausalLayer(Layer):
    """Lets an element see those before it only."""

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


class SortedLayer(Layer):
    """Gives its outputs in sorted order."""

    breaks: ClassVar[str] = "symmetry.elements"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sort(1).values


class BatchCentred(Mean):
    """Centres encodings over the batch."""

    breaks: ClassVar[str] = "symmetry.batch"
    also: ClassVar[tuple[str, ...]] = ("hygiene.nonfinite",)  # the mean over the batch is NaN where one set is

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding - 0.1 * encoding.mean(0)


class ScaledByBatch(Mean):
    """Divides by the largest number of the batch."""

    breaks: ClassVar[str] = "symmetry.batch"
    also: ClassVar[tuple[str, ...]] = ("hygiene.nonfinite",)

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding / (1 + encoding.abs().max())


class SlotsByPlaceInBatch(Slots):
    """Gives each set of the batch slots of its own."""

    breaks: ClassVar[str] = "symmetry.batch"

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        shift = 0.1 * torch.arange(batch_size, dtype=state.slots.dtype)[:, None, None]
        return Slotted(state.slots * (1 + shift), state.total)


class KnowsBatchSize(Mean):
    """Adds a billionth for each set of the batch."""

    breaks: ClassVar[str] = "symmetry.batch"

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding * (1 + 1e-9 * len(encoding))


class MaskByMultiplication(Mean):
    """Multiplies by the mask, and zero times NaN is NaN."""

    breaks: ClassVar[str] = "symmetry.padding"

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
    """Takes a mask and does not look at it."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = PADDED

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, None)


class PaddingAtTheEnd(Mean):
    """Takes the mask for a length: padding is looked for at the end only."""

    breaks: ClassVar[str] = "symmetry.padding"

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
    """Divides by one element more than there are, and claims to be free of the size."""

    breaks: ClassVar[str] = "symmetry.replication"
    claims: ClassVar[Mapping[str, str]] = {"symmetry.replication": "the size is divided out"}

    def readout(self, state: Any) -> Tensor:
        smoothed: Tensor = state.total / (state.number + 1).unsqueeze(1)
        return smoothed
