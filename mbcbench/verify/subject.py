"""The subject of a law: an encoder in float64 and eval(), with a few words in which laws are written."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mbcbench.protocol.encoder import has_merge, is_streaming, takes_mask
from mbcbench.verify import tolerance
from mbcbench.verify.tolerance import COVERED, MOVES, SPREAD, Evidence

VARIANTS = 4


Quantity = Callable[[Any, Tensor], Tensor]
Reference = Callable[[nn.Module, NDArray[np.float64]], NDArray[np.float64]]


def encoding(module: Any, x: Tensor) -> Tensor:
    """What laws compare unless they say otherwise: the encoding of `x` in one piece."""
    out: Tensor = module(x)
    return out


class Subject:
    """One encoder under test.

    Streams begin from one state, `start(batch_size)`: what an encoder draws at random it draws there.
    fresh: builds the encoder anew, with other parameters. reference: an independent implementation, if there is one.
    """

    def __init__(
        self,
        module: nn.Module,
        dim_in: int,
        *,
        deterministic: bool = True,
        fresh: Callable[[], nn.Module] | None = None,
        reference: Reference | None = None,
    ) -> None:
        self.module: Any = module
        self.dim_in = dim_in
        self.deterministic = deterministic
        self.fresh = fresh if fresh is not None else lambda: _moved(module, seed=99, scale=1.0)
        self.reference = reference
        self._in_dtype: dict[torch.dtype, Any] = {}
        self._singles: dict[int, Subject] = {}
        self.streaming = is_streaming(module)
        self.merges = self.streaming and has_merge(module)
        self.masks = takes_mask(module)
        self.parameters = [(name, p) for name, p in module.named_parameters() if p.requires_grad]

    @cached_property
    def layer(self) -> bool:
        """Whether it maps sets to sets: one output per element, whatever their number."""
        with torch.no_grad():
            shapes = [self.module(torch.zeros(1, n, self.dim_in, dtype=torch.float64)).shape for n in (3, 5)]
        return [len(shape) > 2 and shape[1] for shape in shapes] == [3, 5]

    def start(self, batch_size: int) -> Any:
        """The state of `batch_size` empty streams."""
        return self.module.init_state(batch_size)

    def feed(self, state: Any, chunk: Tensor, mask: Tensor | None = None) -> Any:
        """The state after one more chunk."""
        return self.module.update(state, chunk) if mask is None else self.module.update(state, chunk, mask=mask)

    def readout(self, state: Any) -> Tensor:
        out: Tensor = self.module.readout(state)
        return out

    def stream_state(self, chunks: Sequence[Tensor], start: Any) -> Any:
        """The state after `chunks` in this order."""
        state = start
        for chunk in chunks:
            state = self.feed(state, chunk)
        return state

    def stream(self, chunks: Sequence[Tensor], start: Any) -> Tensor:
        """The encoding of `chunks` in this order."""
        return self.readout(self.stream_state(chunks, start))

    def encode(self, x: Tensor, start: Any = None) -> Tensor:
        """The encoding of `x` in one piece.

        An encoder that is not deterministic is given the stream's own start, so that both see the same draw.
        """
        if self.deterministic or not self.streaming:
            return encoding(self.module, x)
        return self.stream([x], self.start(x.shape[0]) if start is None else start)

    def encode_masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """The encoding of the elements of `x` that `mask` (`B x n`) says are present."""
        if self.deterministic or not self.streaming:
            out: Tensor = self.module(x, mask=mask)
            return out
        return self.readout(self.feed(self.start(x.shape[0]), x, mask))

    def compare(self, got: Tensor, want: Tensor, x: Tensor, quantity: Quantity = encoding) -> Evidence:
        """Whether `got` equals `want`, the `quantity` of `x`, up to rounding; per set of the batch."""
        if got.shape != want.shape:
            infinite = torch.full((x.shape[0],), torch.inf, dtype=torch.float64)
            note = f"shape {tuple(got.shape)} instead of {tuple(want.shape)}"
            return Evidence(infinite, torch.zeros_like(infinite), note)
        gap = tolerance.gaps(got, want)
        bound = tolerance.rounding_bound(want, x.shape[1])
        if self.deterministic and bool((gap > COVERED * bound).any()):
            bound = bound + SPREAD * self._spread(x, quantity)
        return Evidence(gap, bound)

    def _spread(self, x: Tensor, quantity: Quantity) -> Tensor:
        """How far a quantity of `x` moves when input and parameters move by about 2 eps; `B`."""
        unmoved = quantity(self.module, x)
        moves = []
        for number, twin in enumerate(self._twins):
            generator = torch.Generator().manual_seed(number)
            moves.append(tolerance.gaps(quantity(twin, tolerance.perturbed(x, generator)), unmoved))
        spread = torch.stack(moves).amax(0)
        return torch.where(spread.isfinite(), spread, torch.zeros_like(spread))

    def in_dtype(self, dtype: torch.dtype) -> Any:
        """The same encoder in another precision."""
        if dtype not in self._in_dtype:
            self._in_dtype[dtype] = copy.deepcopy(self.module).to(dtype)
        return self._in_dtype[dtype]

    def in_single_precision(self, draw: int) -> "Subject":
        """The encoder in float32, its parameters moved by up to a tenth, otherwise in each draw."""
        if draw not in self._singles:
            self._singles[draw] = Subject(
                _twin(self.in_dtype(torch.float32), draw, tolerance.nearby),
                self.dim_in,
                deterministic=self.deterministic,
                fresh=lambda: self.fresh().float(),
                reference=self.reference,
            )
        return self._singles[draw]

    @staticmethod
    def with_slots(state: Any, slots: Tensor) -> Any:
        """The state with other slots: its field `slots` (`B x K x h`) replaced."""
        if isinstance(state, dict):
            return {**state, "slots": slots}
        return state._replace(slots=slots) if hasattr(state, "_replace") else dataclasses.replace(state, slots=slots)

    @cached_property
    def training(self) -> "Subject":
        """The same encoder in train()."""
        return Subject(copy.deepcopy(self.module).train(), self.dim_in)

    @cached_property
    def _twins(self) -> list[Any]:
        return [_twin(self.module, seed, tolerance.perturbed) for seed in range(MOVES)]


def _twin(module: nn.Module, seed: int, moved: Callable[[Tensor, torch.Generator], Tensor]) -> nn.Module:
    """A copy of the module with moved parameters."""
    generator = torch.Generator().manual_seed(seed)
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.copy_(moved(parameter, generator))
    return twin


def variants(module: nn.Module, dim_in: int, seed: int) -> list[nn.Module]:
    """`module` in float64, on the CPU and in eval(): as built, and with its parameters moved from where they began.

    Fresh parameters hide faults: a bias of zero may be added once per chunk unnoticed, a LayerNorm of ones may be
    forgotten, small logits make every attention uniform. A variant that is not finite on ordinary data is left out.
    """
    base = copy.deepcopy(module).to("cpu", torch.float64).eval()
    x = torch.randn(2, 5, dim_in, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = [base]
    for number in range(1, VARIANTS):
        moved = _moved(base, seed + number, scale=(1.0, 3.0, 0.3)[number - 1])
        with torch.no_grad():
            if bool(moved(x).isfinite().all()):
                found.append(moved)
    return found


def _moved(module: nn.Module, seed: int, scale: float) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    moved = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in moved.parameters():
            spread = parameter.square().mean().sqrt().clamp(min=0.1)
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.copy_(scale * (parameter + 0.5 * spread * noise))
    return moved
