"""Encoders that forget a mask where few look: in mid-stream, in a merge, a gradient, a layer or in train mode."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tests.controls.base import WIDTH, Mean, Sums, count, hide


class MaskForgottenMidStream(Mean):
    """Heeds a mask in the first chunk of a stream only, unless all elements are masked."""

    breaks: ClassVar[str] = "mbc.mask"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and bool(mask.any()) and bool((state.number > 0).any()):
            mask = None
        return super().update(state, x, mask)


class PaddedSizeCounted(Mean):
    """Counts the padded size of every chunk but the first."""

    breaks: ClassVar[str] = "mbc.mask"
    also: ClassVar[tuple[str, ...]] = ("mbc.empty",)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return Sums(super().part(x, mask).total, torch.full((len(x),), x.shape[1]))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if bool((state.number > 0).any()):
            return super().update(state, x, mask)
        return Sums(state.total + super().part(x, mask).total, count(x, mask))


class MaskOfTheFirstSet(Mean):
    """Uses the mask of the first set for all sets of a later chunk, if any of its elements is present."""

    breaks: ClassVar[str] = "mbc.mask"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and bool(mask.any()) and bool((state.number > 0).any()):
            mask = mask[:1].expand_as(mask)
        return super().update(state, x, mask)


class MaskByMultiplicationInStream(Mean):
    """Multiplies by the mask in a stream, where zero times NaN is NaN; a whole set is masked correctly."""

    breaks: ClassVar[str] = "mbc.mask"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return super().update(state, x)
        return self.add(state, Sums((self.features(x) * mask.unsqueeze(-1)).sum(1), count(x, mask)))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))


class NaNForAbsentSet(nn.Module):
    """Softmax pooling whose encoding of a set that is masked entirely is NaN."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.logit, self.phi = nn.Linear(dim_in, 1, bias=False), nn.Linear(dim_in, WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = hide(x, mask)
        weights = hide(self.logit(x), mask, -torch.inf).softmax(1)
        pooled: Tensor = (weights * self.phi(x).tanh()).sum(1)
        return pooled


class ZeroForAbsentSet(NaNForAbsentSet):
    """The correct twin: zeros."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        encoding = super().forward(x, mask)
        return encoding if mask is None else torch.where(mask.any(1, keepdim=True), encoding, 0)


class LeakyLayer(nn.Module):
    """A set-to-set layer that subtracts the mean of all elements, masked ones too."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition", "symmetry.elements")

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features: Tensor = self.phi(x).tanh()
        return features - 0.5 * features.mean(1, keepdim=True)


class TightLayer(LeakyLayer):
    """The correct twin: the mean of present elements."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = self.phi(hide(x, mask)).tanh()
        total, number = hide(features, mask).sum(1), count(x, mask).clamp(min=1)
        layer: Tensor = features - 0.5 * (total / number[:, None])[:, None]
        return layer


class CountedPadding(NamedTuple):
    """The mean so far (`B x 4`), the number of elements, and that of elements and padding (`B x 1` each)."""

    mean: Tensor
    number: Tensor
    length: Tensor


class MergeByPaddedLength(Mean):
    """Merges means by the lengths of their chunks, padding included."""

    breaks: ClassVar[str] = "mbc.mask"

    def init_state(self, batch_size: int) -> Any:
        zeros = self.phi.weight.new_zeros
        return CountedPadding(zeros(batch_size, WIDTH), zeros(batch_size, 1), zeros(batch_size, 1))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        total, number = self.part(x, mask)
        larger = state.number + number.unsqueeze(1)
        mean = (state.mean * state.number + total) / larger.clamp(min=1)
        return CountedPadding(mean, larger, state.length + x.shape[1])

    def merge(self, a: Any, b: Any) -> Any:
        length = a.length + b.length
        mean = (a.mean * a.length + b.mean * b.length) / length.clamp(min=1)
        return CountedPadding(mean, a.number + b.number, length)

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.mean
        return mean


class MergeSkipsEmptyFirstSet(Mean):
    """Takes a state for empty if its first set is, and does not merge it."""

    breaks: ClassVar[str] = "mbc.mask"

    def merge(self, a: Any, b: Any) -> Any:
        if len(a.number) and int(a.number[0]) == 0:
            return b
        if len(b.number) and int(b.number[0]) == 0:
            return a
        return super().merge(a, b)


class MaskedInPlace(Mean):
    """Modifies the state if there is a mask."""

    breaks: ClassVar[str] = "mbc.fork"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return super().update(state, x)
        part = self.part(x, mask)
        state.total.add_(part.total)
        state.number.add_(part.number)
        return state


class AbsentOnModule(Mean):
    """Keeps the number of absent elements on the module until the stream is read out."""

    breaks: ClassVar[str] = "mbc.fork"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.absent: Any = 0

    def init_state(self, batch_size: int) -> Any:
        self.absent = 0
        return super().init_state(batch_size)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None:
            self.absent = self.absent + (~mask).sum(1)
        return self.add(state, Sums(self.part(x, mask).total, count(x, None)))

    def readout(self, state: Any) -> Tensor:
        absent, self.absent = self.absent, 0
        return super().readout(Sums(state.total, state.number - absent))


class KeepsMasks(Mean):
    """Keeps every mask in its state."""

    breaks: ClassVar[str] = "mbc.memory"

    def init_state(self, batch_size: int) -> Any:
        return super().init_state(batch_size), ()

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        sums, masks = state
        return super().update(sums, x, mask), masks if mask is None else (*masks, mask)

    def merge(self, a: Any, b: Any) -> Any:
        return super().merge(a[0], b[0]), a[1] + b[1]

    def readout(self, state: Any) -> Tensor:
        return super().readout(state[0])


class NoGradientWithMask(Mean):
    """Loses the gradient of elements if there is a mask."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = ("mbc.mask",)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part if mask is None else part._replace(total=part.total.detach())


class NoGradientInMaskedStream(Mean):
    """Loses the gradient of masked chunks, except the first."""

    breaks: ClassVar[str] = "mbc.mask"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        if mask is not None and bool(state.number.any()):
            part = part._replace(total=part.total.detach())
        return self.add(state, part)


class NaNGradientOfPadding(ZeroForAbsentSet):
    """Takes the square root of padded zeros, whose gradient is NaN, and hides it then."""

    breaks: ClassVar[str] = "symmetry.padding"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.phi = nn.Linear(dim_in, WIDTH, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        norm = self.phi(hide(x, mask)).square().sum(2, keepdim=True).sqrt()
        mean = hide(norm, mask).sum(1) / count(x, mask).clamp(min=1)[:, None]
        return super().forward(x, mask) + mean


class NoNaNGradientOfPadding(NaNGradientOfPadding):
    """The correct twin: the square root of ones."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        square = self.phi(hide(x, mask)).square().sum(2, keepdim=True)
        mean = hide(hide(square, mask, 1.0).sqrt(), mask).sum(1) / count(x, mask).clamp(min=1)[:, None]
        return ZeroForAbsentSet.forward(self, x, mask) + mean


class SkipsAbsentColumn(Mean):
    """Skips a chunk whose first column is absent in all sets, as if all of it were."""

    breaks: ClassVar[str] = "mbc.mask"
    also: ClassVar[tuple[str, ...]] = ("symmetry.padding",)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and mask.shape[1] and not bool(mask[:, 0].any()):
            return state
        return super().update(state, x, mask)


class CutsPaddingOnTheLeft(ZeroForAbsentSet):
    """Cuts two columns if the first is absent in all sets."""

    breaks: ClassVar[str] = "symmetry.padding"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None and x.shape[1] > 2 and not bool(mask[:, 0].any()):
            x, mask = x[:, 2:], mask[:, 2:]
        return super().forward(x, mask)


class MaskForgottenInTraining(ZeroForAbsentSet):
    """Counts masked elements in train mode."""

    breaks: ClassVar[str] = "symmetry.padding"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None and self.training:
            x, mask = hide(x, mask), None
        return super().forward(x, mask)


class PaddingCountedInTrainedStream(Mean):
    """Counts the padding of all chunks but the first in train mode."""

    breaks: ClassVar[str] = "mbc.mask"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        total, number = self.part(x, mask)
        if self.training and bool((state.number > 0).any()):
            number = count(x, None)
        return self.add(state, Sums(total, number))


class LeakyPairs(nn.Module):
    """An output for each pair of elements, normalised over all elements, masked ones too."""

    breaks: ClassVar[str] = "symmetry.padding"
    also: ClassVar[tuple[str, ...]] = ("mbc.partition",)

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi, self.psi = nn.Linear(dim_in, WIDTH), nn.Linear(dim_in, WIDTH, bias=False)

    def logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.phi(x) @ self.psi(x).transpose(1, 2)
        return logits

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        pairs: Tensor = hide(self.logits(hide(x, mask)).softmax(2), mask)
        return pairs


class TightPairs(LeakyPairs):
    """The correct twin: normalised over present elements."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        logits = self.logits(hide(x, mask))
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None], torch.finfo(x.dtype).min)
        weights: Tensor = hide(logits.softmax(2), mask)
        return weights if mask is None else weights * mask[:, None]


class TightEdges(LeakyPairs):
    """Another correct twin: four outputs for each pair."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = hide(x, mask)
        edges: Tensor = (self.phi(x)[:, :, None] - 2 * self.psi(x)[:, None]).tanh()
        return edges if mask is None else edges * (mask[:, :, None] & mask[:, None])[..., None]
