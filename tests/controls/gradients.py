"""Encoders with the right encoding and wrong gradients."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from mbcbench.protocol.state import clone
from tests.controls.base import WIDTH, Mean, Softmax, Sum, Sums, Weighed, finite, hide


class DetachedState(Mean):
    """Cuts the graph between chunks."""

    breaks: ClassVar[str] = "mbc.gradient"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(Sums(state.total.detach(), state.number), x, mask)


class CopiedState(Mean):
    """Copies the state after each chunk, without its graph: stream and full set agree on no gradient at all."""

    breaks: ClassVar[str] = "mbc.gradient"
    also: ClassVar[tuple[str, ...]] = ("mbc.partial_gradient", "substance.parameters")

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return clone(super().update(state, x, mask))


class NoGradAfterFirstChunk(Mean):
    """Reads all chunks except the first under no_grad."""

    breaks: ClassVar[str] = "mbc.gradient"
    # The law streams the other chunks before, so that no chunk is the first.
    also: ClassVar[tuple[str, ...]] = ("mbc.partial_gradient",)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        fresh = not bool(state.number.any())
        return self.add(state, part if fresh else Sums(part.total.detach(), part.number))


class GradientDecays(Sum):
    """Halves the gradient that passes through each chunk."""

    breaks: ClassVar[str] = "mbc.gradient"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        halved = state.total / 2 + state.total.detach() / 2
        return super().update(Sums(halved, state.number), x, mask)


class PeakWithGradient(Softmax):
    """Shifts by a maximum that is a constant in the chunk but not in the merge."""

    breaks: ClassVar[str] = "mbc.gradient"
    also: ClassVar[tuple[str, ...]] = ("mbc.partial_gradient",)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        if x.shape[1] == 0:
            return part
        return Weighed(hide(self.logit(hide(x, mask)), mask, -torch.inf).amax(1), part.num, part.den)

    def add(self, a: Any, b: Any) -> Any:
        peak = finite(torch.maximum(a.peak, b.peak))
        scale_a, scale_b = (a.peak - peak).exp(), (b.peak - peak).exp()
        return Weighed(
            torch.maximum(a.peak, b.peak), a.num * scale_a + b.num * scale_b, a.den * scale_a + b.den * scale_b
        )


class ParameterGradientOfFirstChunk(Mean):
    """Detaches the parameters after the first chunk; the gradient for inputs is right."""

    breaks: ClassVar[str] = "mbc.gradient"
    also: ClassVar[tuple[str, ...]] = ("mbc.partial_gradient",)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if not bool(state.number.any()):
            return super().update(state, x, mask)
        weights = {name: value.detach() for name, value in self.named_parameters()}
        return self.add(
            state, torch.func.functional_call(_Part(self), {f"of.{k}": v for k, v in weights.items()}, (x, mask))
        )


class _Part(torch.nn.Module):
    """The state of a chunk, as the forward of a module."""

    def __init__(self, of: Mean) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor, mask: Tensor | None) -> Any:
        return self.of.part(x, mask)


class LearnedStart(Sum):
    """A sum that begins with a learned vector."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.start = torch.nn.Parameter(torch.randn(WIDTH))

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return state._replace(total=self.start.expand(batch_size, -1))

    def merge(self, a: Any, b: Any) -> Any:
        return super().merge(a, b._replace(total=b.total - self.start))

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).tanh()


class DropsGradientOfStart(LearnedStart):
    """Passes no gradient to the learned vector if there are several chunks."""

    breaks: ClassVar[str] = "mbc.gradient"
    also: ClassVar[tuple[str, ...]] = ("mbc.partial_gradient",)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        is_later = bool(state.number.any())
        return super().update(self._without_start(state) if is_later else state, x, mask)

    def _without_start(self, state: Any) -> Any:
        return state._replace(total=state.total - self.start + self.start.detach())


class GraphFollowsState(Mean):
    """Records a graph for a chunk only if the state already has one."""

    breaks: ClassVar[str] = "mbc.partial_gradient"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        begun = bool(state.number.any())
        with torch.set_grad_enabled(torch.is_grad_enabled() and (state.total.requires_grad or not begun)):
            part = self.part(x, mask)
        return self.add(state, part)


class DetachedCountedTwice(Sum):
    """Doubles the gradient of a chunk if the state before it carries none."""

    breaks: ClassVar[str] = "mbc.partial_gradient"

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        total, number = self.part(x, mask)
        if bool(state.number.any()) and not state.total.requires_grad:
            total = 2 * total - total.detach()
        return self.add(state, Sums(total, number))
