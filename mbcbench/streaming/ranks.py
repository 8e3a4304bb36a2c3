"""Encode one set over the processes that torchrun started: each streams a part, and the states are merged in a tree."""

import contextlib
import datetime
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from mbcbench.distributed import check_mergeable, merge_in_tree, receive_state, send_state
from mbcbench.errors import BrokenPluginError, UsageError, one_line
from mbcbench.protocol.state import clone, from_bytes, map_state, to_bytes
from mbcbench.streaming import probe
from mbcbench.streaming.checkpoint import Origin, check_origin, explain_damage
from mbcbench.streaming.encode import Encoding
from mbcbench.streaming.sources.parts import SlicedSource
from mbcbench.system import write_atomically
from mbcbench.types import State

SCHEMA = "ranks-1"
TIMEOUT = 60.0  # seconds after which a rank that does not answer is taken for dead
ROUND = 5.0  # longest time in seconds between two exchanges of progress among the ranks


class Segment(NamedTuple):
    """Consecutive elements, from `start` on and before `stop`, and their state, or None if they are not encoded yet."""

    start: int
    stop: int
    state: State


class _Repeated:
    """A list of any length with items of one structure: a template for a received list."""

    def __init__(self, item: State) -> None:
        self._item = item

    def __getitem__(self, number: int) -> State:
        return self._item


@contextlib.contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the process group and yield the device of this process.

    Raises BrokenPluginError if another process ends or does not answer.
    """

    def end(*_: object) -> None:  # torchrun sends this to all others when one has ended
        raise BrokenPluginError("another rank ended")

    before = signal.signal(signal.SIGTERM, end)
    rank = torch.device(device)
    if device == "cuda":
        rank = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(rank)
    backend = "nccl" if device == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=datetime.timedelta(seconds=TIMEOUT))
        yield rank
        dist.barrier()
    except RuntimeError as error:  # of torch.distributed: those of an encoder are BrokenPluginErrors
        raise BrokenPluginError(
            f"another rank ended, or did not answer for {TIMEOUT:.0f} s ({one_line(error)[:80]})"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)
        if dist.is_initialized():
            dist.destroy_process_group()


def divide(segments: Sequence[Segment], size: int) -> list[list[Segment]]:
    """Return the consecutive segments of each of `size` ranks.

    Segments are cut so that all ranks encode about equally many elements.
    """
    total = sum(segment.stop - segment.start for segment in segments if segment.state is None)
    shares: list[list[Segment]] = [[] for _ in range(size)]
    rank, before = 0, 0  # elements to encode in the segments so far
    for segment in segments:
        start = segment.start
        if segment.state is not None:
            shares[rank].append(segment)
            continue
        while start < segment.stop:
            while rank < size - 1 and before >= total * (rank + 1) // size:
                rank += 1
            end = total if rank == size - 1 else total * (rank + 1) // size
            stop = min(segment.stop, start + end - before)
            shares[rank].append(Segment(start, stop, None))
            before, start = before + stop - start, stop
    return shares


def missing_segments(saved: Sequence[Segment], length: int) -> list[Segment]:
    """Return all segments of a set in their order: those that are saved, and those between them."""
    segments, start = list[Segment](), 0
    for segment in [*sorted(saved, key=lambda segment: segment.start), Segment(length, length, None)]:
        if segment.start > start:
            segments.append(Segment(start, segment.start, None))
        if segment.stop > segment.start:
            segments.append(segment)
        start = segment.stop
    return segments


@dataclass
class RankEncoding:
    """The part of an encoding that belongs to this rank.

    encoding: of the whole set.
    origin: what the encoding depends on.
    state: of the elements of this rank so far.
    """

    encoding: Encoding
    origin: Origin
    device: torch.device

    def __post_init__(self) -> None:
        self._segments = list[Segment]()
        self._stop = 0
        self.encoded = 0  # elements that this run encoded
        self.state = self._empty()

    def run(self, progress: Callable[[int, int], None]) -> Tensor | None:
        """Encode the set; return the encoding on rank 0, and None on others.

        Raises UsageError and BrokenPluginError.
        """
        length, checkpoint = self.encoding.source.length, self.encoding.options.checkpoint
        segments = missing_segments(self._load(checkpoint), length)
        begun = length - sum(segment.stop - segment.start for segment in segments if segment.state is None)
        dist.barrier()  # all have looked for the checkpoint before one is written
        self._segments = divide(segments, dist.get_world_size())[dist.get_rank()]
        progress(begun, length)
        saved, steps, is_done = time.monotonic(), self._steps(), False
        while not is_done:
            self._work(steps, min(ROUND, self.encoding.options.seconds))
            is_due = time.monotonic() - saved >= self.encoding.options.seconds
            encoded, is_due, is_done = self._exchange(is_due)
            progress(begun + encoded, length)
            if checkpoint is not None and (is_due or is_done):
                self._save(checkpoint)
                saved = time.monotonic()
        encoder = self.encoding.encoder
        merged = merge_in_tree(self.state, encoder.merge, self._empty(), self.device)
        return None if merged is None else encoder.readout(merged)[0].cpu().clone()

    def _empty(self) -> State:
        return self.encoding.encoder.init_state()

    def _steps(self) -> Iterator[None]:
        encoder = self.encoding.encoder
        self._stop = self._segments[0].start if self._segments else 0
        for segment in self._segments:
            if segment.state is not None:
                self.state, self._stop = encoder.merge(self.state, segment.state), segment.stop
                yield
                continue
            part = Encoding(self.encoding.options, self._slice(segment), encoder)
            for chunk in part.chunks():
                self.state = clone(encoder.update(self.state, [chunk.to(self.device)]))
                self._stop, self.encoded = self._stop + chunk.shape[1], self.encoded + chunk.shape[1]
                yield

    def _slice(self, segment: Segment) -> SlicedSource:
        return SlicedSource(self.encoding.source, segment.start, segment.stop)

    @staticmethod
    def _work(steps: Iterator[None], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for _ in steps:
            if time.monotonic() >= deadline:
                return

    def _exchange(self, is_due: bool) -> tuple[int, bool, bool]:
        """Return the elements encoded by all ranks, and whether a checkpoint is due and all ranks are done."""
        is_done = self._stop == (self._segments[-1].stop if self._segments else 0)
        own = torch.tensor([self.encoded, is_due, is_done], dtype=torch.int64, device=self.device)
        others = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(others, own)
        return sum(int(other[0]) for other in others), bool(others[0][1]), all(bool(other[2]) for other in others)

    def _save(self, path: Path) -> None:
        """Write the segments of all ranks, on rank 0."""
        own = [Segment(self._segments[0].start, self._stop, self.state)] if self._segments else []
        own += [s for s in self._segments if s.state is not None and s.start >= self._stop]
        own = [segment for segment in own if segment.stop > segment.start]
        if dist.get_rank():
            send_state(own, 0, self.device)
            return
        for rank in range(1, dist.get_world_size()):
            own += receive_state(rank, self._like(), self.device)
        save_segments(path, own, self.origin)

    def _load(self, path: Path | None) -> list[Segment]:
        if path is None or not self.encoding.options.resume or not path.exists():
            return []
        return [
            map_state(lambda tensor: tensor.to(self.device), segment)
            for segment in load_segments(path, self._like(), self.origin)
        ]

    def _like(self) -> Any:
        return _Repeated(Segment(0, 0, self._empty()))


def save_segments(path: Path, segments: Sequence[Segment], origin: Origin) -> None:
    """Replace a checkpoint of several ranks in one step."""
    write_atomically(path, to_bytes({"schema": SCHEMA, "origin": json.dumps(origin), "segments": list(segments)}))


def load_segments(path: Path, like: Any, origin: Origin) -> list[Segment]:
    """Return the segments in a checkpoint. Raises UsageError for another kind of file or another encoding."""
    with explain_damage(path, "a checkpoint of several ranks", "remove it"):
        saved: Any = from_bytes(path.read_bytes(), {"segments": like})
        schema, saved_origin = saved["schema"], dict(json.loads(saved["origin"]))
    if schema != SCHEMA:
        raise UsageError(f"{path} is a checkpoint of one process (schema {schema}); resume it without torchrun")
    check_origin(path, saved_origin, origin, "checkpoint")
    segments: list[Segment] = saved["segments"]
    return segments


def check_merging(encoding: Encoding) -> None:
    """Raise UsageError if the states of the encoder cannot be merged, or merging them gives another encoding."""
    encoder = encoding.encoder
    check_mergeable(encoder.module, encoder.name)
    if not probe.merges_correctly(encoder, encoder.init_state(), encoding.first_elements()):
        raise UsageError(f"{encoder.name}: merged states have another encoding than the stream; check mbc.merge")
