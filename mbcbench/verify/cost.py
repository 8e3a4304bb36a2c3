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
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.subject import Subject

MIN_METERED = 64  # elements; fewer say little about large sets


class Cost(NamedTuple):
    """Cost of a call: its number of operations, and how many entries the largest and all of their results have."""

    operations: float
    entries: float
    entries_in_all: float


class CostGrowth(NamedTuple):
    """Costs of encoding sets of two sizes, one of them twice the other."""

    size: int
    small: Cost
    large: Cost

    def predict(self, n: int) -> Cost:
        """Return the cost for `n` elements, by a power law."""
        growth = math.log(n / (2 * self.size))
        return Cost(
            *(
                after * math.exp(growth * math.log2(after / before))
                for before, after in zip(self.small, self.large, strict=True)
            )
        )


def metered_size(domain: Domain) -> int:
    """Return the size of the smaller one of two sets whose costs are measured."""
    return max(MIN_METERED, domain.min_size)


def predict_cost(subject: Subject, x: Tensor) -> Cost:
    """Predict the cost of encoding sets `x` (`B x n x d`) in one piece, from two sets of fewer elements."""
    size = metered_size(subject.domain)
    small, large = (_measure(subject.encode, x[:, :n]) for n in (size, 2 * size))
    return CostGrowth(size, small, large).predict(x.shape[1])


def measure_encoder(subject: Subject) -> CostGrowth | None:
    """Return the costs of encoding single sets, in one piece and streamed; None if that fails.

    A copy is called, so that an encoder that remembers its calls is not affected.
    """
    copied, size = subject.copy(), metered_size(subject.domain)
    x = ExampleData(subject.domain.fit(Example(sizes=(2 * size,))), subject.dim_in, dtype=subject.dtype).x

    def encode(x: Tensor) -> None:
        copied.encode(x)
        if copied.streaming:
            copied.stream([x], copied.init_state(len(x)))

    try:
        with torch.random.fork_rng(devices=[]):
            return CostGrowth(size, _measure(encode, x[:, :size]), _measure(encode, x[:, : 2 * size]))
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
