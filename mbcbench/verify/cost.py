"""Predict the cost of encoding large sets from that of small ones, so that no law runs out of time or memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from mbcbench.protocol.state import tensors
from mbcbench.verify.dispatch import DispatchMode
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.subject import Subject

METERED_SIZES = (64, 128)


class Cost(NamedTuple):
    """Cost of a call: its number of operations, and how many entries the largest and all of their results have."""

    operations: float
    entries: float
    entries_in_all: float


def predict_cost(encode: Callable[[Tensor], object], x: Tensor) -> Cost:
    """Predict the cost of encoding sets `x` (`B x n x d`) by a power law, from two sets of fewer elements."""
    small, large = (_measure(encode, x[:, :size]) for size in METERED_SIZES)
    return extrapolate(small, large, x.shape[1])


def extrapolate(small: Cost, large: Cost, n: int) -> Cost:
    """Return the cost for `n` elements by a power law through that for both of `METERED_SIZES`."""
    growth = math.log(n / METERED_SIZES[1])
    return Cost(
        *(after * math.exp(growth * math.log2(after / before)) for before, after in zip(small, large, strict=True))
    )


def measure_encoder(subject: Subject) -> tuple[Cost, Cost] | None:
    """Return the costs of encoding one set of each of `METERED_SIZES`, in one piece and streamed; None if that fails.

    A copy is called, so that an encoder that remembers its calls is not affected.
    """
    copied, (small, large) = subject.copy(), METERED_SIZES
    x = ExampleData(subject.domain.fit(Example(sizes=(large,))), subject.dim_in, dtype=subject.dtype).x

    def encode(x: Tensor) -> None:
        copied.encode(x)
        if copied.streaming:
            copied.stream([x], copied.init_state(len(x)))

    try:
        with torch.random.fork_rng(devices=[]):
            return _measure(encode, x[:, :small]), _measure(encode, x[:, :large])
    except Exception:  # raised by the encoder
        return None


class _OperationMeter(TorchFunctionMode):
    """Counts operations at the level at which the encoder calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.operations += len(tensors(out))
        return out


class _EntryMeter(DispatchMode):
    """Counts the entries of the largest result and of all, including the parts of composite operations."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.total = 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [tensor.numel() for tensor in tensors(out)]
        self.largest = max([self.largest, *sizes])
        self.total += sum(sizes)
        return out


@contextmanager
def _in_small_steps() -> Iterator[None]:
    """Compute attention in separate operations, so that the weights of all pairs are counted."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def _measure(encode: Callable[[Tensor], object], x: Tensor) -> Cost:
    with _in_small_steps(), _EntryMeter() as entries, _OperationMeter() as operations:
        encode(x)
    return Cost(operations.operations, entries.largest, entries.total)
