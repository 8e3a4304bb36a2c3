"""Encode a set that is larger than memory: stream it from a file, save checkpoints, resume from one."""

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.errors import UsageError
from mbcbench.execution import digest
from mbcbench.execution.probe import source_digest
from mbcbench.protocol.encoder import Aggregation
from mbcbench.protocol.on_device import check_device
from mbcbench.protocol.state import clone, map_state
from mbcbench.streaming import checkpoint, probe
from mbcbench.streaming.blocks import Block, iter_blocks
from mbcbench.streaming.checkpoint import Position
from mbcbench.streaming.device import CHUNK_NUMBERS as DEVICE_CHUNK_NUMBERS
from mbcbench.streaming.device import iter_device_chunks
from mbcbench.streaming.encoder import GuardedEncoder, build_encoder
from mbcbench.streaming.sources import Array, Source, open_parts
from mbcbench.streaming.threads import concurrent_map, torch_settings, torch_threads
from mbcbench.system import check_replaceable
from mbcbench.types import Hyper, JsonDict, State

CHUNK_NUMBERS = 2**18  # numbers in a default chunk: the encoder's intermediate results stay in cache
BLOCK_NUMBERS = 2**20  # numbers in a block; also in a default chunk of an encoder that cuts it into blocks itself


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """Options of an encoding.

    path: file that holds the set, or its first elements.
    parts: files with the other elements, in their order.
    encoder: target of the encoder.
    hyper: hyper-parameters that override the spec's.
    weights: file with trained weights. weights_key: part of it to use, or empty for the part that fits.
    seed: seed of all random numbers.
    g: aggregation of chunk encodings; needed for a plain module only.
    select: columns of a table, or the array of a group; all by default.
    chunk: elements per chunk; None for a size that suits the encoder.
    threads: threads to encode with.
    checkpoint: file that stores the state of the stream.
    resume: continue from the checkpoint if there is one.
    seconds: time between two checkpoints.
    allow_nonfinite: also encode elements that are NaN or infinite.
    device: where the encoder runs; on "cuda", `threads` read the file.
    """

    path: Path
    encoder: str
    parts: Sequence[Path] = ()
    hyper: Hyper = field(default_factory=dict)
    weights: Path | None = None
    weights_key: str = ""
    seed: int = 0
    g: Aggregation | None = None
    select: Sequence[str] = ()
    chunk: int | None = None
    threads: int = 1
    checkpoint: Path | None = None
    resume: bool = False
    seconds: float = 10.0
    allow_nonfinite: bool = False
    device: str = "cpu"

    @property
    def torch_settings(self) -> contextlib.AbstractContextManager[None]:
        """Context in which torch has the threads and the seed of this encoding."""
        return torch_settings(threads=self.threads, seed=self.seed)


def open_encoding(options: EncodeOptions) -> "Encoding":
    """Open the file, build the encoder and load the checkpoint, if any.

    Call this, and the methods of the result, in the context `options.torch_settings`.
    Raises UsageError and BrokenPluginError.
    """
    check_checkpoint(options)
    check_device(options.device)
    source = open_parts([options.path, *options.parts], options.select)
    encoder = build_encoder(options, source.width)
    encoding = Encoding(options, source, encoder)
    if options.resume:
        encoding.load_checkpoint()
    encoding.choose_concurrency()
    return encoding


class Encoding:
    """An encoding in progress: the state of a stream, and its position in the file.

    Its methods raise UsageError for faults of the file and BrokenPluginError for those of the encoder.

    start: position where this process begins: 0, or that of the checkpoint.
    concurrency: number of chunks that are encoded at the same time.
    """

    def __init__(self, options: EncodeOptions, source: Source, encoder: GuardedEncoder) -> None:
        self.options = options
        self.source = source
        self.encoder = encoder
        self.chunk = options.chunk or _default_chunk(encoder.module, source.width, options.device)
        self.concurrency = 1
        self._device = torch.device(options.device)
        self._dtype = encoder.dtype
        self._empty_state = encoder.init_state()
        self._origin = _origin(options, source, encoder, self.chunk)
        self.start = self.position = Position(0, clone(self._empty_state))

    def load_checkpoint(self) -> None:
        """Continue from the checkpoint, if it exists."""
        path = self.options.checkpoint
        if path is not None and path.exists():
            position = checkpoint.load(path, self.start, self._origin)
            state = map_state(lambda t: t.to(self._device), position.state)
            self.start = self.position = Position(position.elements, state)

    def save_checkpoint(self) -> None:
        """Write the checkpoint."""
        assert self.options.checkpoint is not None
        checkpoint.save(self.options.checkpoint, self.position, self._origin)

    def choose_concurrency(self) -> None:
        """Use all threads for separate chunks if merging works on the first elements, else one chunk at a time."""
        threads = self.options.threads
        if (
            self._is_on_cpu
            and threads > 1
            and probe.merges_correctly(self.encoder, self._empty_state, self.first_elements())
        ):
            self.concurrency = threads

    def consistency_warning(self) -> str | None:
        """Return a warning if the encoding of the first elements depends on where chunks are cut."""
        x = self.first_elements()
        with self._torch_threads():
            gap = probe.partition_gap(self.encoder, self._empty_state, x)
        if not gap > probe.TOLERANCE:
            return None
        return (
            f"{self.options.encoder} is not mini-batch consistent: the encoding depends on where chunks are cut "
            f"(relative change {gap:.2g} on the first {x.shape[1]} elements); "
            f"the result is valid only for --chunk {self.chunk}"
        )

    def steps(self) -> Generator[int]:
        """Encode the rest of the set; after each chunk or block, yield the number of elements encoded so far."""
        saved = time.monotonic()
        with self._torch_threads():
            for position in self._positions():
                self.position = position
                if self.options.checkpoint is not None and time.monotonic() - saved >= self.options.seconds:
                    self.save_checkpoint()
                    saved = time.monotonic()
                yield position.elements
        if self.options.checkpoint is not None:
            self.save_checkpoint()

    def result(self) -> Tensor:
        """Return the encoding of the elements read so far, without the batch dimension."""
        with self._torch_threads():
            return self.encoder.readout(self.position.state)[0].cpu().clone()

    @property
    def _is_on_cpu(self) -> bool:
        return self._device.type == "cpu"

    def _positions(self) -> Iterator[Position]:
        if not self._is_on_cpu:
            return self._encode_on_device()
        return self._encode_concurrently() if self.concurrency > 1 else self._encode_in_turn()

    def _encode_on_device(self) -> Iterator[Position]:
        state = self.position.state
        chunks = iter_device_chunks(
            self.source, self.position.elements, self.chunk,
            dtype=self._dtype, device=self._device, threads=self.options.threads,
            allow_nonfinite=self.options.allow_nonfinite,
        )  # fmt: skip
        with contextlib.closing(chunks):
            for start, x in chunks:
                state = self.encoder.update(state, [x])
                yield Position(start + x.shape[1], state)

    def _encode_in_turn(self) -> Iterator[Position]:
        elements, state = self.position.elements, self.position.state
        with self._blocks(in_use=1) as blocks:
            for block in blocks:
                for x in self._chunks(block):
                    state = _copy_out(self.encoder.update(state, [x]), block.buffer)
                    elements += x.shape[1]
                    yield Position(elements, state)

    def _encode_concurrently(self) -> Iterator[Position]:
        """Encode each block from the empty state on some thread; merge the states in the order of the file."""
        state = self.position.state
        encoders = [self.encoder.copy() for _ in range(self.concurrency)]
        in_flight = self.concurrency + 1
        with self._blocks(in_use=in_flight) as blocks:
            parts = concurrent_map(self._encode_block, encoders, blocks, in_flight=in_flight)
            for part in parts:
                state = self.encoder.merge(state, part.state)
                yield Position(part.elements, state)

    def _encode_block(self, encoder: GuardedEncoder, block: Block) -> Position:
        """Return the state of a block by itself, and the position of its end."""
        state = encoder.update(clone(self._empty_state), self._chunks(block))
        return Position(block.start + len(block.buffer), _copy_out(state, block.buffer))

    def _blocks(self, *, in_use: int) -> contextlib.closing[Generator[Block]]:
        """Return blocks of whole chunks, from the current position on."""
        size = self.chunk * max(1, BLOCK_NUMBERS // (self.chunk * self.source.width))
        blocks = iter_blocks(self.source, self.position.elements, size, dtype=self._dtype, in_use=in_use)
        return contextlib.closing(blocks)

    def _chunks(self, block: Block) -> Iterator[Tensor]:
        for start, chunk in block.chunks(self.chunk):
            if not self.options.allow_nonfinite:
                self.source.refuse_nonfinite(start, chunk)
            yield torch.from_numpy(chunk)[None]

    def chunks(self) -> Iterator[Tensor]:
        """Yield the rest of the elements, `1 x n_c x d`, each valid until the next."""
        with self._blocks(in_use=1) as blocks:
            for block in blocks:
                yield from self._chunks(block)

    def first_elements(self) -> Tensor:
        """Return elements to try the encoder on, `1 x n x d`."""
        count = min(probe.MAX_ELEMENTS, self.chunk, self.source.length)
        elements = np.empty((count, self.source.width), self._dtype)
        self.source.read(0, elements)
        return torch.from_numpy(elements)[None].to(self._device)

    def _torch_threads(self) -> contextlib.AbstractContextManager[None]:
        """Share the threads among the chunks that are encoded, or read for a device, at the same time."""
        return torch_threads(self.options.threads // self.concurrency if self._is_on_cpu else 1)


def _copy_out(state: State, buffer: Array) -> State:
    """Copy the tensors of a state that lie in a block's buffer, which a later block overwrites."""
    first = buffer.ctypes.data
    addresses = range(first, first + buffer.nbytes)
    return map_state(lambda t: t.clone() if t.untyped_storage().data_ptr() in addresses else t, state)


def check_checkpoint(options: EncodeOptions) -> None:
    """Raise UsageError if a checkpoint would be overwritten, or none can be written."""
    if options.resume and options.checkpoint is None:
        raise UsageError("--resume continues from a checkpoint; name it with --checkpoint STATE")
    if options.checkpoint is None:
        return
    check_replaceable(options.checkpoint)
    if options.checkpoint.exists() and not options.resume:
        raise UsageError(f"the checkpoint {options.checkpoint} exists; continue from it with --resume, or remove it")


def _default_chunk(module: nn.Module, width: int, device: str) -> int:
    numbers = BLOCK_NUMBERS if getattr(module, "blockwise", False) else CHUNK_NUMBERS
    if device != "cpu":
        numbers = DEVICE_CHUNK_NUMBERS
    return max(1, numbers // width)


def ranks_origin(options: EncodeOptions, source: Source, encoder: GuardedEncoder) -> JsonDict:
    """Return everything that an encoding by several processes depends on; where chunks are cut is not part of it."""
    origin = _origin(options, source, encoder, 0)
    return {name: value for name, value in origin.items() if name not in ("chunk", "threads", "torch")}


def _origin(options: EncodeOptions, source: Source, encoder: GuardedEncoder, chunk: int) -> JsonDict:
    """Return everything that the encoding depends on, including what identifies the file."""
    file = source.path.stat()
    parts = {"parts": describe_files(options.parts)} if options.parts else {}
    device = {} if options.device == "cpu" else {"device": options.device}
    return (
        device
        | parts
        | {
            "file size": file.st_size,
            "file time": file.st_mtime_ns,
            "shape": [source.length, source.width],
            "dtype": str(source.dtype),
            "select": list(options.select),
            **encoder_origin(options, encoder),
            "chunk": chunk,
            "threads": options.threads,
            "torch": torch.__version__,
            "allow nonfinite": options.allow_nonfinite,
        }
    )


def describe_files(paths: Sequence[Path]) -> list[list[str | int]]:
    """Return name, size and time of each file."""
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def encoder_origin(options: EncodeOptions, encoder: GuardedEncoder) -> JsonDict:
    """Return everything that a state depends on, besides the elements."""
    return {
        "encoder": options.encoder,
        "encoder source": source_digest(options.encoder, encoder.module),
        "hyper": dict(options.hyper),
        checkpoint.WEIGHTS: digest.weights(encoder.module),
        checkpoint.WEIGHTS_FILE: None if options.weights is None else options.weights.name,
        "seed": options.seed,
        "g": options.g,
    }
