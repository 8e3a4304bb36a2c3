"""Predict memory and FLOPs of an encoding without running it: fake tensors have shapes but no numbers.

The prediction counts the storages that torch's operations allocate and that are alive at the same time. It counts
neither what a kernel allocates for itself while it runs, nor what an allocator keeps or rounds up, so a measurement may
be higher.
"""

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mbcbench.protocol.build import build_from_spec
from mbcbench.protocol.encoder import encode_stream
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.state import nbytes
from mbcbench.types import Encoder

MAX_OPERATIONS = 20_000  # per encoding; more are a loop over elements, which would take minutes
LINEARITY_SIZES = (2**14, 2**15, 2**16)  # if the costs of these lie on a line, so do those of larger sets
CHUNKS = 3  # a state that has not grown after so many chunks does not grow


class PredictionError(Exception):
    """Raised when a prediction is impossible. `too_long`: the encoding itself would take minutes."""

    def __init__(self, message: str, *, too_long: bool = False) -> None:
        super().__init__(message)
        self.too_long = too_long


def _too_many_operations(limit: int) -> PredictionError:
    return PredictionError(f"it takes more than {limit:,} operations of torch", too_long=True)


class LiveStorage(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages that are allocated while it is active: alive `now`, and their maximum, `peak`.

    Works on real and on fake tensors. Raises PredictionError after `max_operations` operations.
    """

    def __init__(self, max_operations: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self.operations = 0
        self._max_operations = max_operations
        self._finalizers: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += _count_operations(func, args)
        if self._max_operations is not None and self.operations > self._max_operations:
            raise _too_many_operations(self._max_operations)
        inputs = {_storage_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        outputs = _largest_nonzero(args[0]) if _is_fake_nonzero(func, args) else func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor) and _storage_key(tensor) not in inputs:  # not a view, nor in place
                self._add(tensor)
        return outputs

    def _add(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _storage_key(tensor)
        if key not in self._finalizers:
            self._finalizers[key] = weakref.finalize(storage, self._drop, key, storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _drop(self, key: int, size: int) -> None:
        del self._finalizers[key]
        self.now -= size


def _is_fake_nonzero(func: Any, args: Sequence[Any]) -> bool:
    """Return True for `nonzero` of a fake tensor: the shape of its result depends on numbers that do not exist."""
    return func is torch.ops.aten.nonzero.default and isinstance(args[0], FakeTensor)


def _largest_nonzero(x: Tensor) -> Tensor:
    """Return the upper bound of `x.nonzero()`: the indices of all entries."""
    return x.new_empty((x.numel(), x.dim()), dtype=torch.int64)


def _count_operations(func: Any, args: Sequence[Any]) -> int:
    """Return 1, plus the number of parts of a split: one split into 1e8 parts would take minutes."""
    if func is not torch.ops.aten.split.Tensor:
        return 1
    x, size, dim = (*args, 0)[:3]
    return 1 + int(x.shape[dim]) // int(size)


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


@dataclass(frozen=True)
class CostPrediction:
    """Predicted costs of an encoding.

    Parameters
    ----------
    peak_bytes
        Peak memory, without the input and the parameters.
    flops
        FLOPs, by torch's counter.
    operations
        Number of torch's operations in the run with fake tensors.
    """

    peak_bytes: int
    flops: int
    operations: int = field(default=0, compare=False)


def predict_one_piece(spec: EncoderSpec, n: int, *, dim: int, batch: int = 1, seed: int = 0) -> CostPrediction:
    """Predict the costs of encoding `batch x n x dim`.

    An encoder that loops over the elements is extrapolated from smaller sets, if its costs grow linearly.
    Raises PredictionError.
    """
    if n > LINEARITY_SIZES[-1]:
        small = [_predict_one_piece(spec, size, dim=dim, batch=batch, seed=seed) for size in LINEARITY_SIZES]
        if small[0].operations < small[-1].operations:  # the encoder loops: a run with n elements would take too long
            if _is_linear(small):
                return _extrapolate(small, n)
            if small[-1].operations * n > MAX_OPERATIONS * LINEARITY_SIZES[-1]:
                raise _too_many_operations(MAX_OPERATIONS)
    return _predict_one_piece(spec, n, dim=dim, batch=batch, seed=seed)


def _predict_one_piece(spec: EncoderSpec, n: int, *, dim: int, batch: int, seed: int) -> CostPrediction:
    with _fake_tensors():
        module = _build_frozen(spec, dim, seed)
        x = torch.empty(batch, n, dim)
        return _predict(lambda: module(x))


def _is_linear(predictions: Sequence[CostPrediction]) -> bool:
    """Return True if memory and FLOPs grow linearly with the number of elements, or are constant."""
    a, b, c = LINEARITY_SIZES
    costs = ((prediction.peak_bytes, prediction.flops) for prediction in predictions)
    return all((z - y) * (b - a) == (y - x) * (c - b) for x, y, z in zip(*costs, strict=True))


def _extrapolate(predictions: Sequence[CostPrediction], n: int) -> CostPrediction:
    """Return the costs at `n` on the line through the costs of the two smallest sets."""
    a, b, _ = LINEARITY_SIZES
    first, second, _ = ((prediction.peak_bytes, prediction.flops) for prediction in predictions)
    peak, flops = (x + (y - x) * (n - a) // (b - a) for x, y in zip(first, second, strict=True))
    return CostPrediction(peak, flops)


def predict_streamed(
    spec: EncoderSpec, n: int, *, dim: int, chunk: int, batch: int = 1, seed: int = 0
) -> CostPrediction:
    """Predict the costs of streaming `batch x n x dim` in chunks, including the chunk in use.

    Up to three chunks are run with fake tensors. A longer stream has the same peak, provided that its state does not
    grow. Raises PredictionError if it does.
    """
    with _fake_tensors():
        module: Encoder = _build_frozen(spec, dim, seed)
        block = torch.empty(batch, min(n, chunk), dim)
        short = [_predict(lambda k=k: encode_stream(module, Chunks(block, k))) for k in (1, 2, CHUNKS)]  # type: ignore[misc]
        count = max(1, n // chunk)
        with LiveStorage():
            state_sizes = {nbytes(state) for state in _states(module, block)}
        if count > CHUNKS and len(state_sizes) > 1:
            raise PredictionError("its state grows with the stream")
    if count <= CHUNKS:
        return short[count - 1]
    flops_of_chunk = short[-1].flops - short[-2].flops
    return CostPrediction(short[-1].peak_bytes, short[-1].flops + (count - CHUNKS) * flops_of_chunk)


def _states(module: Encoder, block: Tensor) -> Iterator[Any]:
    """Yield the state after each of `CHUNKS` chunks."""
    state = module.init_state(block.shape[0])
    for chunk in Chunks(block, CHUNKS):
        state = module.update(state, chunk)
        yield state


class Chunks(Sequence[Tensor]):
    """`number` chunks, each a copy of `block` that is made on access, so that the stream is never in memory."""

    def __init__(self, block: Tensor, number: int) -> None:
        self.block, self.number = block, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.number:
            raise IndexError(index)
        return self.block.clone()


@contextlib.contextmanager
def _fake_tensors() -> Iterator[None]:
    """Compute with fake tensors, without gradients.

    Where torch is built for GPUs and there is none, they register a GPU. If autograd starts afterwards, it starts a
    thread for it, and a process with such threads cannot be forked, which the law `mbc.distributed` does.
    """
    if not torch.cuda.is_available():
        torch.ones(1, requires_grad=True).backward()  # type: ignore[no-untyped-call] # starts autograd before
    with FakeTensorMode(), torch.no_grad():
        yield


def _build_frozen(spec: EncoderSpec, dim: int, seed: int) -> nn.Module:
    """Build an encoder whose parameters require no gradient: FlopCounterMode would fail under no_grad otherwise."""
    return build_from_spec(spec, dim_in=dim, seed=seed).eval().requires_grad_(False)


def _predict(action: Callable[[], object]) -> CostPrediction:
    """Run an action on fake tensors and count its costs."""
    flops = FlopCounterMode(display=False)
    live = LiveStorage(MAX_OPERATIONS)
    try:
        with flops, live:
            action()
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise PredictionError("its behaviour depends on the values of its tensors") from error
    except RuntimeError as error:
        if "Storage size calculation overflowed" not in str(error):
            raise
        raise PredictionError("it takes more bytes than 64 bits can count") from error
    return CostPrediction(live.peak, flops.get_total_flops(), live.operations)
