"""Encoders that forget a mask where few look: in mid-stream, in a layer, or for a set without elements."""

from typing import Any, ClassVar

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
