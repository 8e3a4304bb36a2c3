"""Small encoders that keep every law; a control changes one detail of them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

WIDTH = 4
SLOTS = 3

# Laws that compare a stream with the full set; an encoder that breaks mbc.partition cannot keep them.
STREAM = ("mbc.gradient", "mbc.large", "mbc.partial_gradient", "mbc.train", "numerics.scale")
# Laws that an encoder breaks whose result depends on the order of elements.
ORDERED = ("mbc.partition", "mbc.order", "mbc.merge", "mbc.resume", "mbc.mask", *STREAM)
# Laws that start two streams from one state; they fail if the first stream modifies it.
FORKED = ("mbc.order", "mbc.merge", "mbc.empty", "mbc.resume", "mbc.mask")


class Sums(NamedTuple):
    """The running sum or extremum of the features (`B x 4`), and the number of elements (`B`)."""

    total: Tensor
    number: Tensor


def hide(x: Tensor, mask: Tensor | None, value: float = 0.0) -> Tensor:
    """Return `x` (`B x n x d`) with `value` in place of absent elements."""
    return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), value)


def count(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the number of elements present in each set, `B`."""
    return torch.full((len(x),), x.shape[1]) if mask is None else mask.sum(1)


class Mean(nn.Module):
    """The mean over elements of silu(W x + b)."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def init_state(self, batch_size: int) -> Any:
        return Sums(self.phi.weight.new_zeros(batch_size, WIDTH), torch.zeros(batch_size, dtype=torch.int64))

    def features(self, x: Tensor) -> Tensor:
        return silu(self.phi(x))

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        """Return the state of one chunk."""
        return Sums(hide(self.features(hide(x, mask)), mask).sum(1), count(x, mask))

    def add(self, a: Any, b: Any) -> Any:
        """Return the state of both streams."""
        return Sums(a.total + b.total, a.number + b.number)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return self.add(state, self.part(x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        return self.add(a, b)

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.total / state.number.clamp(min=1).unsqueeze(1)
        return mean

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x, mask))


class KeyedSums(Mean):
    """Keeps the sums in a table; the state is a key into it."""

    table: dict[int, Sums]

    def keep(self, state: Any) -> int:
        self.table[len(self.table)] = state
        return len(self.table) - 1

    def init_state(self, batch_size: int) -> Any:
        return self.keep(super().init_state(batch_size))

    def add(self, a: Any, b: Any) -> Any:
        left, right = (self.table[side] if isinstance(side, int) else side for side in (a, b))
        return self.keep(super().add(left, right))

    def readout(self, state: Any) -> Tensor:
        return super().readout(self.table[state])


class Sum(Mean):
    """The sum over elements of silu(W x + b)."""

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state.total
        return total


class Max(Mean):
    """The elementwise maximum over elements of silu(W x + b); zeros for no elements."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return state._replace(total=state.total - torch.inf)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        features = hide(self.features(hide(x, mask)), mask, -torch.inf)
        if x.shape[1] == 0:
            return self.init_state(len(x))
        return Sums(features.amax(1), count(x, mask))

    def add(self, a: Any, b: Any) -> Any:
        return Sums(torch.maximum(a.total, b.total), a.number + b.number)

    def readout(self, state: Any) -> Tensor:
        return torch.where(state.number.unsqueeze(1) > 0, state.total, torch.zeros_like(state.total))


class Weighed(NamedTuple):
    """The largest logit so far, and numerator and denominator relative to it; `B x 4` each."""

    peak: Tensor
    num: Tensor
    den: Tensor


class Softmax(Mean):
    """Softmax pooling of silu(W x + b), channel by channel, with the running maximum as state."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.logit: Any = nn.Linear(dim_in, WIDTH, bias=False)

    def init_state(self, batch_size: int) -> Any:
        zero = self.phi.weight.new_zeros(batch_size, WIDTH)
        return Weighed(zero - torch.inf, zero, zero)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if x.shape[1] == 0:
            return self.init_state(len(x))
        x = hide(x, mask)
        logits = hide(self.logit(x), mask, -torch.inf)
        peak = logits.detach().amax(1)
        weights = (logits - finite(peak).unsqueeze(1)).exp()
        return Weighed(peak, (weights * self.features(x)).sum(1), weights.sum(1))

    def add(self, a: Any, b: Any) -> Any:
        peak = torch.maximum(a.peak, b.peak)
        scale_a, scale_b = (a.peak - finite(peak)).exp(), (b.peak - finite(peak)).exp()
        return Weighed(peak, a.num * scale_a + b.num * scale_b, a.den * scale_a + b.den * scale_b)

    def readout(self, state: Any) -> Tensor:
        pooled: Tensor = state.num / torch.where(state.den == 0, 1, state.den)
        return pooled


def finite(peak: Tensor) -> Tensor:
    """Return `peak` with zeros for streams without elements."""
    return peak.masked_fill(peak == -torch.inf, 0)


class Slotted(NamedTuple):
    """The slots of the stream (`B x K x 4`), and the features that each has gathered (`B x K x 4`)."""

    slots: Tensor
    total: Tensor


class Slots(Mean):
    """Slot attention in one pass: softmax over slots, sum over elements; `B x K x 4`."""

    number_of_slots = SLOTS

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.slots = nn.Parameter(torch.randn(self.number_of_slots, WIDTH))
        self.key = nn.Linear(dim_in, WIDTH, bias=False)

    def init_state(self, batch_size: int) -> Any:
        slots = self.slots.expand(batch_size, -1, -1)
        return Slotted(slots, torch.zeros_like(slots))

    def weights(self, slots: Tensor, x: Tensor) -> Tensor:
        """Return the attention of each element over slots, `B x n x K`."""
        weights: Tensor = (self.key(x) @ slots.transpose(1, 2)).softmax(2)
        return weights

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        x = hide(x, mask)
        gathered = hide(self.weights(state.slots, x), mask).transpose(1, 2) @ self.features(x)
        return Slotted(state.slots, state.total + gathered)

    def merge(self, a: Any, b: Any) -> Any:
        return Slotted(a.slots, a.total + b.total)

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state.total
        return total


CORRECT: tuple[type[Mean], ...] = (Mean, Sum, Max, Softmax, Slots)
