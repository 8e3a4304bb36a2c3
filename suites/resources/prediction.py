"""Memory and FLOPs of an encoding that is not carried out: fake tensors have shapes and no numbers.

Counted are the storages that torch's operations allocate and that are alive together. What a kernel takes for itself
while it runs, and what an allocator keeps or rounds up, is not: a measurement may lie above the prediction.
"""

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

from mbcbench.protocol.encoder import encode_stream
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.state import nbytes
from mbcbench.protocol.target import build_from_spec

MOST_OPERATIONS = 20_000  # of one encoding: more are a loop over elements, which would take minutes
LINE = (2**14, 2**15, 2**16)  # sizes whose costs say whether cost grows by the same amount with each element
CHUNKS = 3  # a state that the third chunk leaves as large as the first did will not grow


class UnforeseeableError(Exception):
    """No prediction can be had; the message says why.

    too_long: the encoding itself would take minutes.
    """

    def __init__(self, message: str, *, too_long: bool = False) -> None:
        super().__init__(message)
        self.too_long = too_long


def _too_many(most: int) -> UnforeseeableError:
    return UnforeseeableError(f"it takes more than {most:,} operations of torch", too_long=True)


class LiveStorage(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages that are allocated within it and alive: `now`, and at most `peak`.

    Works on real and on fake tensors alike. Raises UnforeseeableError after `most` operations.
    """

    def __init__(self, most: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self.operations = 0
        self._most = most
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += _pieces(func, args)
        if self._most is not None and self.operations > self._most:
            raise _too_many(self._most)
        given = {_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = _all_of(args[0]) if _is_unknown(func, args) else func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and _key(tensor) not in given:
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._known[storage._cdata] = weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _drop(self, key: int, size: int) -> None:
        del self._known[key]
        self.now -= size


def _is_unknown(func: Any, args: Sequence[Any]) -> bool:
    """Whether the shape of the result depends on numbers that fake tensors do not have."""
    return func is torch.ops.aten.nonzero.default and isinstance(args[0], FakeTensor)


def _all_of(x: Tensor) -> Tensor:
    """The places of all numbers, the most that any question about them can give."""
    return x.new_empty((x.numel(), x.dim()), dtype=torch.int64)


def _pieces(func: Any, args: Sequence[Any]) -> int:
    """1, and the number of its results for a split, which alone could make 1e8 of them before the next operation."""
    if func is not torch.ops.aten.split.Tensor:
        return 1
    x, size, dim = (*args, 0)[:3]
    return 1 + int(x.shape[dim]) // int(size)


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


@dataclass(frozen=True)
class Foreseen:
    """Bytes that an encoding takes at most beside input and parameters, and its FLOPs by torch's counter."""

    peak_bytes: int
    flops: int
    operations: int = field(default=0, compare=False)  # of torch, that it took to say so


def in_one_piece(spec: EncoderSpec, n: int, *, dim: int, batch: int = 1, seed: int = 0) -> Foreseen:
    """The prediction for one set (`B x n x d`), from smaller ones where it loops over parts of it.

    Raises UnforeseeableError.
    """
    sizes = [size for size in LINE if n > LINE[-1]]
    few = [_in_one_piece(spec, size, dim=dim, batch=batch, seed=seed) for size in sizes]
    if few and few[0].operations < few[-1].operations:
        if _is_a_line(few):
            return _on_the_line(few, n)
        if few[-1].operations * n > MOST_OPERATIONS * LINE[-1]:
            raise _too_many(MOST_OPERATIONS)
    return _in_one_piece(spec, n, dim=dim, batch=batch, seed=seed)


def _in_one_piece(spec: EncoderSpec, n: int, *, dim: int, batch: int, seed: int) -> Foreseen:
    with FakeTensorMode(), torch.no_grad():
        module = _frozen(spec, dim, seed)
        x = torch.empty(batch, n, dim)
        return _watched(lambda: module(x))


def _is_a_line(few: Sequence[Foreseen]) -> bool:
    """Whether memory and FLOPs grow by the same amount with each element, or not at all."""
    a, b, c = LINE
    first, second, third = ((found.peak_bytes, found.flops) for found in few)
    return all((z - y) * (b - a) == (y - x) * (c - b) for x, y, z in zip(first, second, third, strict=True))


def _on_the_line(few: Sequence[Foreseen], n: int) -> Foreseen:
    a, b, _ = LINE
    first, second, _ = ((found.peak_bytes, found.flops) for found in few)
    peak, flops = (x + (y - x) * (n - a) // (b - a) for x, y in zip(first, second, strict=True))
    return Foreseen(peak, flops)


def streamed(spec: EncoderSpec, n: int, *, dim: int, chunk: int, batch: int = 1, seed: int = 0) -> Foreseen:
    """The prediction for a stream of chunks (`B x chunk x d`), with the chunk in hand. Raises UnforeseeableError.

    Up to three chunks are gone through; where more come, a state of constant size says that the peak is reached.
    """
    with FakeTensorMode(), torch.no_grad():
        module: Any = _frozen(spec, dim, seed)
        block = torch.empty(batch, min(n, chunk), dim)
        few = [_watched(lambda k=k: encode_stream(module, Chunks(block, k))) for k in (1, 2, CHUNKS)]  # type: ignore[misc]
        count = max(1, n // chunk)
        with LiveStorage():
            sizes = {nbytes(state) for state in _states(module, block)}
        if count > CHUNKS and len(sizes) > 1:
            raise UnforeseeableError("its state grows with the stream")
    if count <= CHUNKS:
        return few[count - 1]
    return Foreseen(few[-1].peak_bytes, few[-1].flops + (count - CHUNKS) * (few[-1].flops - few[-2].flops))


def _states(module: Any, block: Tensor) -> Iterator[Any]:
    state = module.init_state(block.shape[0])
    for chunk in Chunks(block, CHUNKS):
        state = module.update(state, chunk)
        yield state


class Chunks(Sequence[Tensor]):
    """`number` chunks, each a new copy of `block` made when it is asked for: the stream is never held."""

    def __init__(self, block: Tensor, number: int) -> None:
        self.block, self.number = block, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.number:
            raise IndexError(index)
        return self.block.clone()


def _frozen(spec: EncoderSpec, dim: int, seed: int) -> nn.Module:
    """Without gradients, at whose mere mention the FLOP counter fails under no_grad."""
    return build_from_spec(spec, dim_in=dim, seed=seed).eval().requires_grad_(False)


def _watched(action: Callable[[], object]) -> Foreseen:
    flops = FlopCounterMode(display=False)
    live = LiveStorage(MOST_OPERATIONS)
    try:
        with flops, live:
            action()
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise UnforeseeableError("what it does depends on the values of its tensors") from error
    except RuntimeError as error:
        if "Storage size calculation overflowed" not in str(error):
            raise
        raise UnforeseeableError("it takes more bytes than 64 bits can count") from error
    return Foreseen(live.peak, flops.get_total_flops(), live.operations)
