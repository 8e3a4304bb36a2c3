"""Encoders with side effects, or that are particular about layouts, types and NaN."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.controls.base import ORDERED, WIDTH, Max, Mean, Softmax, Sum, Sums


class ViewOfTransposed(Mean):
    """Flattens its input with `view`, which fails for some strides."""

    breaks: ClassVar[str] = "hygiene.inputs"
    # Chunks of a batch are slices of a larger tensor.
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "mbc.fork", "mbc.empty", "mbc.memory", "hygiene.rng", "hygiene.dtype",
        "symmetry.padding", "symmetry.batch", "substance.interactions")  # fmt: skip

    def features(self, x: Tensor) -> Tensor:
        return super().features(x.view(-1, x.shape[2])).view(*x.shape[:2], WIDTH)


class BitsOfTheInput(Mean):
    """Reads the signs from the bits, which are contiguous only if the last stride is one."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def features(self, x: Tensor) -> Tensor:
        halves = {torch.float64: torch.int32, torch.float32: torch.int16, torch.bfloat16: torch.int8}
        upper = x.detach().view(halves[x.dtype])[..., 1::2]
        return super().features(x) + 0.1 * (upper < 0).any(2, keepdim=True)


class ClampsInPlace(Mean):
    """Clamps the caller's tensor."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        x.data.clamp_(-2, 2)
        return super().part(x, mask)


class ClampsChunksInPlace(Mean):
    """Clamps the caller's chunks, and a copy of the full set."""

    breaks: ClassVar[str] = "hygiene.inputs"
    also: ClassVar[tuple[str, ...]] = ("symmetry.padding",)  # in one piece it clamps a copy

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x.clamp_(-2, 2), mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x.clone(), mask)


class ZeroesPaddingInPlace(Mean):
    """Overwrites the caller's padding with zeros."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if mask is not None:
            x.masked_fill_(~mask.unsqueeze(-1), 0)
        return super().part(x, mask)


class ZeroesChunksInPlace(Mean):
    """Overwrites the padding of the caller's chunks with zeros, and that of a copy of the full set."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None:
            x[~mask] = 0
        return super().update(state, x, mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x.clone(), mask)


class InvertsMaskInPlace(Mean):
    """Turns the caller's mask into one that is True for padding."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        state = super().part(x, mask)
        if mask is not None:
            mask.logical_not_()
        return state


class DropsElementsInPlace(Mean):
    """Drops entries of the caller's tensor in train mode."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.dropout = nn.Dropout(0.2, inplace=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(self.dropout(x), mask)


class ClampsChunksInTrainMode(Mean):
    """Clamps the caller's chunks in train mode."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if self.training:
            x.data.clamp_(-1, 1)
        return super().part(x, mask)


class UnmasksAbsentSetInPlace(Softmax):
    """Unmasks all elements of an absent set in the caller's mask, so that a softmax over them is finite."""

    breaks: ClassVar[str] = "hygiene.inputs"

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        state = super().part(x, mask)
        if mask is not None:
            mask[~mask.any(1)] = True
        return state


class Float32State(Mean):
    """Keeps a float32 sum in a float64 stream."""

    breaks: ClassVar[str] = "hygiene.dtype"
    also: ClassVar[tuple[str, ...]] = (*ORDERED, "symmetry.permutation", "symmetry.padding", "hygiene.inputs")

    def init_state(self, batch_size: int) -> Any:
        return Sums(torch.zeros(batch_size, WIDTH), torch.zeros(batch_size, dtype=torch.int64))

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total.float() + b.total.float(), a.number + b.number)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).to(self.phi.weight.dtype)


class HalfInside(Max):
    """Takes the maximum of features in float16, and returns the type of its input."""

    breaks: ClassVar[str] = "hygiene.dtype"

    def features(self, x: Tensor) -> Tensor:
        return super().features(x).half().to(x.dtype)


class HalfForSingle(Max):
    """Takes the maximum of features in float16 if they are float32, as autocast does, and in float64 otherwise."""

    breaks: ClassVar[str] = "hygiene.dtype"
    also: ClassVar[tuple[str, ...]] = ("numerics.float32",)

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return features.half().float() if features.dtype is torch.float32 else features


class AutocastInside(Mean):
    """Computes features under autocast, which acts on float32."""

    breaks: ClassVar[str] = "hygiene.dtype"

    def features(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().features(x).to(x.dtype)


class Float32Output(Mean):
    """Returns float32 for any input."""

    breaks: ClassVar[str] = "hygiene.dtype"

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).float()


class Float64Output(Mean):
    """Returns float64 for any input."""

    breaks: ClassVar[str] = "hygiene.dtype"

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).double()


class NaNToNumber(Mean):
    """Replaces NaN by zero."""

    breaks: ClassVar[str] = "hygiene.nonfinite"

    def features(self, x: Tensor) -> Tensor:
        return super().features(x).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)


class MaximumIgnoresNaN(Max):
    """Takes a maximum for which NaN is smaller than any number."""

    breaks: ClassVar[str] = "hygiene.nonfinite"

    def add(self, a: Any, b: Any) -> Any:
        return Sums(torch.fmax(a.total, b.total), a.number + b.number)

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return torch.where(features.isnan(), -torch.inf, features)


class SpreadsNaN(Mean):
    """Adds zero times the mean over the batch."""

    breaks: ClassVar[str] = "hygiene.nonfinite"

    def readout(self, state: Any) -> Tensor:
        encoding = super().readout(state)
        return encoding + 0 * encoding.detach().mean(0)


class ReplacesNaNInFeatures(Mean):
    """Replaces NaN by zero in all coordinates but the first."""

    breaks: ClassVar[str] = "hygiene.nonfinite"

    def features(self, x: Tensor) -> Tensor:
        return super().features(torch.cat([x[..., :1], x[..., 1:].nan_to_num(nan=0.0)], 2))


class StreamLeavesOutNaN(Mean):
    """Leaves elements with NaN out of a stream, and not out of the full set."""

    breaks: ClassVar[str] = "hygiene.nonfinite"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        present = ~x.isnan().any(2)
        return super().update(state, x, present if mask is None else mask & present)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))


class PlainTensor(Mean):
    """Projects with a random matrix that is not in its state_dict."""

    breaks: ClassVar[str] = "hygiene.state_dict"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.projection = torch.randn(WIDTH, WIDTH)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) @ self.projection.to(state.total.dtype)


class BufferNotPersistent(Sum):
    """Scales by a buffer that is not persistent."""

    breaks: ClassVar[str] = "hygiene.state_dict"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.register_buffer("scale", 1 + torch.rand(WIDTH), persistent=False)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) * self.get_buffer("scale")


class StreamOfUnsavedCopy(Mean):
    """Projects with a random buffer in one piece, and in a stream with a copy that is not in its state_dict."""

    breaks: ClassVar[str] = "hygiene.state_dict"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.register_buffer("projection", torch.randn(WIDTH, WIDTH))
        self.copy = self.get_buffer("projection").clone()

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) @ self.copy.to(state.total.dtype)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().readout(self.update(self.init_state(len(x)), x, mask)) @ self.get_buffer("projection")


class SeedDrawnWhenBuilt(Mean):
    """Projects with a matrix drawn from a seed that is drawn when it is built."""

    breaks: ClassVar[str] = "hygiene.state_dict"

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.seed = int(torch.randint(2**31, ()))

    def readout(self, state: Any) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        projection = torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
        return super().readout(state) @ projection.to(state.total.dtype)
