"""Encoders that are not functions: they draw, remember or return memory that they use again."""

import random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from tests.controls.base import ORDERED, Mean, Slots, Slotted

# Laws that encode one set twice, and fail if one input has two encodings.
TWICE = ("symmetry.permutation", "symmetry.batch", "symmetry.padding", "hygiene.inputs", "hygiene.nonfinite",
    "hygiene.state_dict", "mbc.fork", "mbc.empty")  # fmt: skip


class NewSlotsPerStream(Slots):
    """Draws other slots for each stream, from its own generator."""

    breaks: ClassVar[str] = "hygiene.determinism"
    also: ClassVar[tuple[str, ...]] = (*TWICE, "mbc.gradient", "mbc.partial_gradient", "mbc.train")

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.draws = 0

    def init_state(self, batch_size: int) -> Any:
        self.draws += 1
        generator = torch.Generator().manual_seed(self.draws)
        state = super().init_state(batch_size)
        noise = torch.randn(self.slots.shape, generator=generator, dtype=torch.float64).to(self.slots.dtype)
        return Slotted(state.slots + noise, state.total)


class DropoutLeftOn(Mean):
    """Drops features in eval mode too, with its own generator."""

    breaks: ClassVar[str] = "hygiene.determinism"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, *TWICE)

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.draws = 0

    def features(self, x: Tensor) -> Tensor:
        self.draws += 1
        generator = torch.Generator().manual_seed(self.draws)
        features = super().features(x)
        return features * (torch.rand(features.shape, generator=generator) < 0.9)


class RandomSampleOfLargeSets(Mean):
    """Encodes 512 elements of a larger set, drawn anew at each call."""

    breaks: ClassVar[str] = "hygiene.determinism"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, *TWICE)

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.calls = 0

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None and x.shape[1] > 512:
            self.calls += 1
            generator = torch.Generator().manual_seed(self.calls)
            x = x[:, torch.randperm(x.shape[1], generator=generator)[:512]]
        return super().update(state, x, mask)


class RemembersLastSet(Mean):
    """Adds a thousandth of the last encoding to the next."""

    breaks: ClassVar[str] = "hygiene.determinism"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, *TWICE)

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.last: Tensor | float = 0.0

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        out = encoding + 1e-3 * self.last
        self.last = encoding.detach().mean().nan_to_num()
        return out


class CachedByShape(Mean):
    """Returns what it computed for another input of the same shape."""

    breaks: ClassVar[str] = "hygiene.determinism"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, *TWICE, "substance.elements", "substance.attention",
        "substance.parameters", "hygiene.dtype")  # fmt: skip

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.cache: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.shape not in self.cache:
            self.cache[x.shape] = super().forward(x, mask).detach()
        return self.cache[x.shape]


class OneOutputTensor(Mean):
    """Writes all encodings of one shape into the same tensor when no gradient is needed, as a CUDA graph does."""

    breaks: ClassVar[str] = "hygiene.determinism"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.outputs: dict[tuple[object, ...], Tensor] = {}

    def readout(self, state: Any) -> Tensor:
        out = super().readout(state)
        if torch.is_grad_enabled():
            return out
        return self.outputs.setdefault((out.shape, out.dtype), torch.empty_like(out)).copy_(out)


class OneOutputTensorInOrder(OneOutputTensor):
    """Counts each element by its position, and writes all encodings into one tensor."""

    breaks: ClassVar[str] = "symmetry.permutation"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "hygiene.determinism", "mbc.program", "symmetry.padding",
        "substance.interactions")  # fmt: skip

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * torch.arange(1, x.shape[1] + 1)[:, None]


class CachedByIdentity(Mean):
    """Returns the last encoding again if it is given the same tensor, whose values may have changed."""

    breaks: ClassVar[str] = "hygiene.determinism"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.last: Tensor | None = None
        self.encoding = torch.empty(0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if torch.is_grad_enabled() or mask is not None:
            return super().forward(x, mask)
        if x is not self.last:
            self.last, self.encoding = x, super().forward(x)
        return self.encoding


class DrawsFromTorch(Mean):
    """Draws from torch's global generator in eval mode."""

    breaks: ClassVar[str] = "hygiene.rng"

    def readout(self, state: Any) -> Tensor:
        torch.rand(1)
        return super().readout(state)


class SeedsGlobalGenerator(Slots):
    """Seeds the global generator, so that its slots are the same each time."""

    breaks: ClassVar[str] = "hygiene.rng"

    def init_state(self, batch_size: int) -> Any:
        torch.manual_seed(0)
        state = super().init_state(batch_size)
        return Slotted(state.slots + torch.randn(self.slots.shape).to(state.slots.dtype), state.total)


class DrawsFromNumPy(Mean):
    """Draws from NumPy's global generator."""

    breaks: ClassVar[str] = "hygiene.rng"

    def readout(self, state: Any) -> Tensor:
        np.random.rand()  # the defect
        return super().readout(state)


class DrawsFromPython(Mean):
    """Draws from the module `random` for each chunk."""

    breaks: ClassVar[str] = "hygiene.rng"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        random.random()
        return super().update(state, x, mask)


class DrawsInMerge(Mean):
    """Draws the order of a merge from torch's global generator."""

    breaks: ClassVar[str] = "hygiene.rng"

    def merge(self, a: Any, b: Any) -> Any:
        return super().merge(a, b) if torch.rand(()) < 0.5 else super().merge(b, a)


class SetsDefaultDtype(Mean):
    """Sets the default dtype of the process to that of its input."""

    breaks: ClassVar[str] = "hygiene.rng"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        torch.set_default_dtype(x.dtype)
        return super().forward(x, mask)


class DisablesGradients(Mean):
    """Disables gradients in eval mode, and leaves them disabled."""

    breaks: ClassVar[str] = "hygiene.rng"
    also: ClassVar[tuple[str, ...]] = ("mbc.gradient", "mbc.partial_gradient")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.training:
            torch.set_grad_enabled(False)
        return super().forward(x, mask)


class EnablesGradients(Mean):
    """Computes features without gradients in eval mode, and enables gradients afterwards."""

    breaks: ClassVar[str] = "hygiene.rng"
    also: ClassVar[tuple[str, ...]] = ("substance.parameters", "mbc.gradient", "mbc.partial_gradient")

    def features(self, x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        features = super().features(x)
        torch.set_grad_enabled(True)
        return features


class MergesDeterministically(Mean):
    """Asks for deterministic algorithms in a merge."""

    breaks: ClassVar[str] = "hygiene.rng"

    def merge(self, a: Any, b: Any) -> Any:
        torch.use_deterministic_algorithms(True)
        return super().merge(a, b)


class AutocastLeftOn(Mean):
    """Enters autocast in the read-out, and does not leave it."""

    breaks: ClassVar[str] = "hygiene.rng"

    def readout(self, state: Any) -> Tensor:
        torch.set_autocast_enabled("cpu", True)
        return super().readout(state)
