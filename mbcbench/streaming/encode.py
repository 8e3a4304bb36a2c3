"""The encoding of a set that is larger than memory: streamed from a file, kept at intervals, resumed where it ended."""

import contextlib
import copy
import functools
import io
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from mbcbench.errors import BrokenPluginError, UsageError, one_line
from mbcbench.execution import digest
from mbcbench.execution.probe import source_digest
from mbcbench.protocol import target
from mbcbench.protocol.encoder import Aggregation, ChunkAggregation, has_merge, is_streaming
from mbcbench.protocol.state import clone, map_state
from mbcbench.streaming import checkpoint
from mbcbench.streaming.checkpoint import Position
from mbcbench.streaming.sources import Array, Block, Source, blocks, open_source
from mbcbench.streaming.threads import side_by_side

CHUNK_NUMBERS = 2**18  # of a chunk, where none is asked for: what an encoder makes of it stays in cache
BLOCK_NUMBERS = 2**20  # handed to a thread at a time, and of a chunk where the encoder makes blocks of it by itself
TRIED = 1000  # elements on which the encoder is seen to be consistent or not
CONSISTENT = 1e-3  # of the encoding's size; rounding in float32 stays far below


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be encoded and how; the command's options.

    chunk: elements a step; None for as many as suit the encoder. g: makes a pair (f, g) of a plain module.
    seconds: between two checkpoints.
    """

    file: Path
    encoder: str
    hyper: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    seed: int = 0
    g: Aggregation | None = None
    select: Sequence[str] = ()
    chunk: int | None = None
    threads: int = 1
    checkpoint: Path | None = None
    resume: bool = False
    seconds: float = 10.0
    allow_nonfinite: bool = False


class Encoding:
    """An encoding under way. Raises UsageError and BrokenPluginError, when it is made and while it goes on."""

    def __init__(self, order: Order) -> None:
        torch.set_num_threads(order.threads)
        torch.manual_seed(order.seed)
        _refuse_what_is_there(order)
        self.order = order
        self.source = open_source(order.file, order.select)
        self.module = _encoder(order, self.source)
        self.chunk = order.chunk or _chunk(self.module, self.source.width)
        self._dtype = _dtype(self.module)
        self._origin = _origin(order, self.source, self.module, self.chunk)
        with torch.inference_mode():
            self.begin = target.call_plugin(
                lambda: Position(0, self.module.init_state(1)), f"{order.encoder}, init_state"
            )
        self._empty = clone(self.begin.state)
        if order.resume and order.checkpoint is not None and order.checkpoint.exists():
            self.begin = checkpoint.load(order.checkpoint, self.begin, self._origin)
        self.position = self.begin
        self.lanes = order.threads if order.threads > 1 and self._merges() else 1
        torch.set_num_threads(order.threads // self.lanes)

    def steps(self) -> Generator[int]:
        """Encode from where it stands to the end; now and then, the number of elements that are in the state."""
        kept = time.monotonic()
        for position in self._positions():
            self.position = position
            if self.order.checkpoint is not None and time.monotonic() - kept >= self.order.seconds:
                self.keep()
                kept = time.monotonic()
            yield self.position.elements
        if self.order.checkpoint is not None:
            self.keep()

    def keep(self) -> None:
        """Write the checkpoint."""
        assert self.order.checkpoint is not None
        checkpoint.save(self.order.checkpoint, self.position, self._origin)

    def result(self) -> Tensor:
        """The encoding of the elements in the state, without the batch dimension."""
        with torch.inference_mode():
            return self._readout(self.position.state)[0].clone()

    def inconsistency(self) -> float:
        """How far the encoding of the first elements moves when one of them is a chunk of its own, by its size."""
        x = self._first()
        return self._gap([x], [x[:, :1], x[:, 1:]])

    def _merges(self) -> bool:
        """Whether chunks may be encoded side by side: merged, the first elements are encoded as they are streamed."""
        x = self._first()
        halves = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
        try:
            return has_merge(self.module) and self._gap(halves, halves, merged=True) <= CONSISTENT
        except BrokenPluginError:
            return False

    def _first(self) -> Tensor:
        first = np.empty((min(TRIED, self.chunk, self.source.length), self.source.width), self._dtype)
        self.source.read(0, first)
        return torch.from_numpy(first)[None]

    def _gap(self, a: Sequence[Tensor], b: Sequence[Tensor], *, merged: bool = False) -> float:
        """The distance of the encodings of two partitions by the size of the first; `merged`: chunks of `b` are."""
        with torch.inference_mode():
            one = self._readout(self._streamed(self.module, clone(self._empty), a))
            if merged:
                parts = (self._streamed(self.module, clone(self._empty), [chunk]) for chunk in b)
                two = self._readout(functools.reduce(self._merge, parts))
            else:
                two = self._readout(self._streamed(self.module, clone(self._empty), b))
        return float((one - two).abs().max() / one.abs().max().clamp(min=1e-30))

    def _positions(self) -> Iterator[Position]:
        return self._side_by_side() if self.lanes > 1 else self._in_turn()

    def _in_turn(self) -> Iterator[Position]:
        state, done = self.position.state, self.position.elements
        with self._blocks(held=1) as found:
            for block in found:
                for x in self._chunks(block):
                    with torch.inference_mode():
                        state = _apart(self._streamed(self.module, state, [x]), block.room)
                    done += x.shape[1]
                    yield Position(done, state)

    def _side_by_side(self) -> Iterator[Position]:
        """Each thread encodes some chunks from the empty state; the states are merged in the order of the file."""
        state = self.position.state
        modules = [copy.deepcopy(self.module) for _ in range(self.lanes)]  # one may keep what it computes in itself
        ahead = self.lanes + 1
        with self._blocks(held=ahead) as found:
            for end, part in side_by_side(self._part, modules, found, ahead):
                with torch.inference_mode():
                    state = self._merge(state, part)
                yield Position(end, state)

    def _part(self, module: Any, block: Block) -> tuple[int, Any]:
        with torch.inference_mode():
            state = self._streamed(module, clone(self._empty), self._chunks(block))
            return block.start + len(block.room), _apart(state, block.room)

    def _blocks(self, *, held: int) -> contextlib.closing[Generator[Block]]:
        """Blocks of whole chunks."""
        size = self.chunk * max(1, BLOCK_NUMBERS // (self.chunk * self.source.width))
        begin = self.position.elements
        return contextlib.closing(blocks(self.source, begin, size, dtype=self._dtype, held=held))

    def _chunks(self, block: Block) -> Iterator[Tensor]:
        for start, chunk in block.chunks(self.chunk):
            if not self.order.allow_nonfinite:
                self.source.refuse_nonfinite(start, chunk)
            yield torch.from_numpy(chunk)[None]

    def _streamed(self, module: Any, state: Any, chunks: Iterable[Tensor]) -> Any:
        for x in chunks:
            where = f"{self.order.encoder}, update on {tuple(x.shape)}"
            state = target.call_plugin(functools.partial(module.update, state, x), where)
        return state

    def _merge(self, a: Any, b: Any) -> Any:
        return target.call_plugin(lambda: self.module.merge(a, b), f"{self.order.encoder}, merge")

    def _readout(self, state: Any) -> Tensor:
        out: Tensor = target.call_plugin(lambda: self.module.readout(state), f"{self.order.encoder}, readout")
        return out


def _apart(state: Any, room: Array) -> Any:
    """The state, copied where it lies in the memory of a block, which a later one overwrites."""
    own = room.ctypes.data
    return map_state(lambda t: t.clone() if t.untyped_storage().data_ptr() == own else t, state)


def _refuse_what_is_there(order: Order) -> None:
    """Raise UsageError where a checkpoint would be lost, or none can be kept."""
    if order.resume and order.checkpoint is None:
        raise UsageError("--resume goes on from a checkpoint; name it with --checkpoint STATE")
    if order.checkpoint is None:
        return
    if order.checkpoint.exists() and not order.resume:
        raise UsageError(
            f"the checkpoint {order.checkpoint} is there already; go on from it with --resume, or remove it"
        )
    if not order.checkpoint.parent.is_dir():
        raise UsageError(f"cannot write {order.checkpoint}: there is no folder {order.checkpoint.parent}")


def _encoder(order: Order, source: Source) -> Any:
    """The encoder in eval mode, for elements as wide as the file's."""
    spec = target.get_spec(order.encoder)
    module = target.build_from_spec(spec, dim_in=source.width, seed=order.seed, **order.hyper).eval()
    if order.weights is not None:
        _load(module, order.weights, order.encoder)
    try:
        target.validate(module, dim_in=source.width, name=order.encoder)
    except BrokenPluginError as error:
        raise UsageError(f"{order.file} holds elements of width {source.width}, and {error}") from error
    if is_streaming(module):
        if order.g is not None:
            raise UsageError(f"{order.encoder} streams by itself; leave out --g {order.g}")
        return module
    if order.g is None:
        raise UsageError(
            f"{order.encoder} is a plain module; say what puts chunk encodings together: --g sum, mean, max or min"
        )
    return ChunkAggregation(module, order.g)


def _load(module: nn.Module, weights: Path, name: str) -> None:
    """Put trained weights in place, from a .safetensors file or a state_dict that torch saved."""
    if not weights.is_file():
        raise UsageError(f"no such file: {weights}")
    try:
        if weights.suffix == ".safetensors":
            found = safetensors.torch.load_file(weights)
        else:
            found = torch.load(weights, map_location="cpu", weights_only=True)
        module.load_state_dict(found)
    except Exception as error:  # torch and safetensors raise many kinds
        said = " ".join(str(error).split()) or one_line(error)
        raise UsageError(f"{weights} holds no weights for {name} as it was built: {said}") from error


def _chunk(module: nn.Module, width: int) -> int:
    """Elements of a chunk, where none is asked for."""
    numbers = BLOCK_NUMBERS if getattr(module, "blockwise", False) else CHUNK_NUMBERS
    return max(1, numbers // width)


def _dtype(module: nn.Module) -> np.dtype[Any]:
    first = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    return np.dtype(np.float64 if first == torch.float64 else np.float32)


def _origin(order: Order, source: Source, module: nn.Module, chunk: int) -> dict[str, Any]:
    """All that the encoding depends on, and what tells that the file is the same."""
    found = source.path.stat()
    return {
        "file size": found.st_size,
        "file time": found.st_mtime_ns,
        "shape": [source.length, source.width],
        "dtype": str(source.dtype),
        "select": list(order.select),
        "encoder": order.encoder,
        "encoder source": source_digest(order.encoder, module),
        "hyper": dict(order.hyper),
        "weights": digest.weights(module),
        "seed": order.seed,
        "g": order.g,
        "chunk": chunk,
        "threads": order.threads,
        "torch": torch.__version__,
        "allow nonfinite": order.allow_nonfinite,
    }


def write(encoding: Tensor, path: Path) -> None:
    """Keep an encoding as .npy or .safetensors, as the file's ending says."""
    if path.suffix == ".safetensors":
        data = safetensors.torch.save({"encoding": encoding.contiguous()})
    else:
        buffer = io.BytesIO()
        np.save(buffer, encoding.numpy(), allow_pickle=False)
        data = buffer.getvalue()
    checkpoint.write_atomically(path, data)
