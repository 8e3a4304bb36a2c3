"""Encoders that keep every symmetry and are useless."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import ORDERED, WIDTH, Max, Mean, Slots, Slotted, Softmax, Sum, Sums, count, hide


class Constant(Mean):
    """Encodes every set as ones."""

    breaks: ClassVar[str] = "substance.elements"
    # A constant has no gradient, no curvature, and no NaN.
    also: ClassVar[tuple[str, ...]] = (
        "substance.attention", "substance.parameters", "hygiene.nonfinite", "mbc.gradient", "mbc.partial_gradient",
    )  # fmt: skip

    def readout(self, state: Any) -> Tensor:
        return torch.ones_like(state.total)


class IgnoresZeros(Sum):
    """A sum without a bias, to which zeros add nothing."""

    breaks: ClassVar[str] = "substance.elements"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.phi = nn.Linear(dim_in, WIDTH, bias=False)


class EverySecondElement(Sum):
    """Leaves out every second element of a chunk."""

    breaks: ClassVar[str] = "substance.elements"
    # Which elements are second depends on their order.
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.permutation", "symmetry.padding", "hygiene.nonfinite")

    def features(self, x: Tensor) -> Tensor:
        even = (torch.arange(x.shape[1]) % 2 == 0).unsqueeze(1)
        return torch.where(even, super().features(x), 0)


class FirstFeaturesOnly(Mean):
    """Ignores the last coordinate."""

    breaks: ClassVar[str] = "substance.elements"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.phi = nn.Linear(dim_in - 1, WIDTH)

    def features(self, x: Tensor) -> Tensor:
        return super().features(x[..., :-1]) + 0 * x[..., -1:]


class CountsOnly(Sum):
    """Encodes the number of elements."""

    breaks: ClassVar[str] = "substance.elements"
    also: ClassVar[tuple[str, ...]] = ("substance.attention", "substance.parameters")

    def features(self, x: Tensor) -> Tensor:
        return 0 * super().features(x) + 1


class OneSlot(Slots):
    """Has a single slot, whose weight is one."""

    breaks: ClassVar[str] = "substance.slots"
    also: ClassVar[tuple[str, ...]] = ("substance.parameters",)  # slots and keys cancel
    number_of_slots = 1


class SummedSlots(Slots):
    """Reads out the sum of the slots, in which the attention cancels."""

    breaks: ClassVar[str] = "substance.slots"
    also: ClassVar[tuple[str, ...]] = ("substance.parameters",)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).sum(1)


class FrozenSlots(Slots):
    """Attends with its own slots, not those of the stream."""

    breaks: ClassVar[str] = "substance.slots"
    also: ClassVar[tuple[str, ...]] = ("symmetry.slots",)  # permuting unused slots has no effect

    def weights(self, slots: Tensor, x: Tensor) -> Tensor:
        return super().weights(self.slots.expand(len(x), -1, -1), x)


class HierarchyOfOne(Slots):
    """Ends in one slot, whose weight is one, over sums of the others."""

    breaks: ClassVar[str] = "substance.slots"
    also: ClassVar[tuple[str, ...]] = ("substance.parameters",)

    def readout(self, state: Any) -> Tensor:
        logits = state.total.sum(2, keepdim=True)
        only: Tensor = (logits.unsqueeze(-1).softmax(-1).squeeze(-1) * state.total).sum(1, keepdim=True)
        return only


class KeyBiasCancels(Softmax):
    """Adds a bias to all keys, which cancels in a softmax over keys."""

    breaks: ClassVar[str] = "substance.parameters"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit = nn.Linear(dim_in, WIDTH)


class NormalSlots(Slots):
    """Draws slots with torch.normal, which passes no gradient."""

    breaks: ClassVar[str] = "substance.parameters"

    def init_state(self, batch_size: int) -> Any:
        generator = torch.Generator().manual_seed(0)
        random_slots = torch.normal(self.slots, 0.1 * torch.ones_like(self.slots), generator=generator)
        slots = random_slots.expand(batch_size, -1, -1)
        return Slotted(slots, torch.zeros_like(slots))


class NoGraph(Mean):
    """Encodes under no_grad."""

    breaks: ClassVar[str] = "substance.parameters"
    also: ClassVar[tuple[str, ...]] = ("mbc.gradient", "mbc.partial_gradient")

    @torch.no_grad()
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x, mask)


class UnusedLayer(Mean):
    """Has a layer that it does not use."""

    breaks: ClassVar[str] = "substance.parameters"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.unused = nn.Linear(WIDTH, WIDTH)


class LinearPooling(Slots):
    """Linear values under attention, summed over the slots: sum pooling of the elements."""

    breaks: ClassVar[str] = "substance.attention"
    # The attention cancels, and with it the slots and keys.
    also: ClassVar[tuple[str, ...]] = ("substance.slots", "substance.parameters")

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x)
        return features

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).sum(1)


class UniformAttention(Mean):
    """Attends to all elements equally: a mean of linear values."""

    breaks: ClassVar[str] = "substance.attention"

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x)
        return features


class ClaimsAdditive(Max):
    """A maximum that claims to be additive."""

    breaks: ClassVar[str] = "substance.interactions"
    claims: ClassVar[Mapping[str, str]] = {"substance.interactions": "elements are added up"}


class PairsInTheState(Mean):
    """Adds the square of each chunk's sum, and claims to be additive."""

    breaks: ClassVar[str] = "substance.interactions"
    claims: ClassVar[Mapping[str, str]] = {"substance.interactions": "elements are added up"}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        linear = self._linear(state) + hide(self.features(hide(x, mask)), mask).sum(1)
        return Sums(linear + 1e-6 * linear.square(), state.number + count(x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        linear = self._linear(a) + self._linear(b)
        return Sums(linear + 1e-6 * linear.square(), a.number + b.number)

    @staticmethod
    def _linear(state: Any) -> Tensor:
        """Return the sum whose square was added: the root t of t + 1e-6 t^2 = total."""
        root: Tensor = 2 * state.total / (1 + (1 + 4e-6 * state.total).sqrt())
        return root
