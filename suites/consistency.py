"""Gap between the encodings of a stream and of the whole set, by the size of the chunks and their contents.

Laws look for the smallest set that breaks them. This suite measures sets of one ordinary size, so that encoders can be
compared: untrained, in float64 and in eval mode.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.protocol.encoder import ChunkAggregation, is_streaming
from mbcbench.records.cell import Cell
from mbcbench.records.detail import ConsistencyDetail
from mbcbench.records.record import Record
from mbcbench.verify.tolerance import gaps, max_norms

from .metrics import Metric

RELATIVE_GAP = Metric(name="relative_gap", unit="max-norm")


@dataclass(frozen=True, kw_only=True)
class ConsistencySettings:
    """Settings of a measurement.

    Parameters
    ----------
    n, dim, batch
        Elements of a set, numbers of an element, sets of a batch.
    sizes
        Elements of a chunk.
    sets
        Random batches.
    """

    n: int = 256
    dim: int = 8
    batch: int = 4
    sizes: tuple[int, ...] = (128, 64, 16, 4, 1)
    sets: int


PROFILES: dict[Profile, ConsistencySettings] = {
    "smoke": ConsistencySettings(sets=1),
    "quick": ConsistencySettings(sets=1),
    "thorough": ConsistencySettings(sets=3),
    "paper": ConsistencySettings(sets=20),
}


def random_chunks(x: Tensor, size: int) -> Sequence[Tensor]:
    """Return chunks of one size. They resemble the whole set, which makes this the weakest test."""
    return torch.split(x, size, dim=1)


def sorted_chunks(x: Tensor, size: int) -> Sequence[Tensor]:
    """Return chunks of sets (`B x n x d`) sorted by their first coordinate: no chunk resembles the whole set."""
    return random_chunks(x.gather(1, x[..., :1].argsort(dim=1).expand_as(x)), size)


def uneven_chunks(x: Tensor, size: int) -> Sequence[Tensor]:
    """Return a chunk of one element, and chunks of one size."""
    return [x[:, :1], *random_chunks(x[:, 1:], size)]


PARTITIONS: dict[str, Callable[[Tensor, int], Sequence[Tensor]]] = {
    "random": random_chunks,
    "sorted": sorted_chunks,
    "uneven": uneven_chunks,
}


def cells(request: Request) -> list[Cell]:
    """Return one cell per encoder."""
    params = asdict(PROFILES[request.profile])
    return [
        Cell(suite="consistency", case="chunks", encoder=name, params=params, seed=request.seed, dtype="float64")
        for name in request.encoders
    ]


def run(cell: Cell) -> Iterable[Record]:
    """Yield the largest gap in each batch, for every kind and size of chunks."""
    settings = ConsistencySettings(**cell.params)
    module = build_from_spec(get_spec(cell.encoder), dim_in=settings.dim, seed=cell.seed).double().eval()
    for draw in range(settings.sets):
        generator = torch.Generator().manual_seed(cell.seed + draw)
        x = torch.randn(settings.batch, settings.n, settings.dim, dtype=torch.float64, generator=generator)
        yield from _measure(cell, settings, module, x, draw)


@torch.inference_mode()
def _measure(cell: Cell, settings: ConsistencySettings, module: nn.Module, x: Tensor, draw: int) -> Iterator[Record]:
    aggregation = "streamed" if is_streaming(module) else "mean of chunk encodings"
    encode = stream_encoder(module, len(x))
    whole = encode([x])
    for order, partition in PARTITIONS.items():
        for size in settings.sizes:
            gap = float((gaps(encode(partition(x, size)), whole) / max_norms(whole)).max())
            detail = ConsistencyDetail(n=settings.n, chunk_size=size, order=order, aggregation=aggregation, draw=draw)
            yield RELATIVE_GAP.record(cell, gap, detail)


def stream_encoder(module: nn.Module, batch: int) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return a function that encodes chunks (`batch x n_c x d`) as a stream, always from the same initial state.

    All streams therefore share randomly drawn slots. A plain module is averaged over the chunks.
    """
    stream: Any = module if is_streaming(module) else ChunkAggregation(module, "mean")
    start = stream.init_state(batch)
    return lambda chunks: stream.readout(reduce(stream.update, chunks, start))


SUITE = Suite(
    name="consistency",
    summary="how far a stream of chunks is from the whole set, by the size and kind of the chunks",
    cells=cells,
    run=run,
    seconds=dict.fromkeys(("smoke", "quick", "thorough", "paper"), 60.0),
)
