"""How far an encoding is from the whole set's, by the size of the chunks and what they hold.

Laws look for the smallest set that breaks them; this measures one set of ordinary size, so that encoders can be
compared. In float64, untrained, in eval().
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.encoder import ChunkAggregation, is_streaming
from mbcbench.protocol.target import build_from_spec, get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.verify.tolerance import gaps, max_norms

SIZES: tuple[int, ...] = (128, 64, 16, 4, 1)  # of chunks: the last are singletons
SHAPE = {"n": 256, "dim": 8, "batch": 4}
SETS: dict[Profile, int] = {"smoke": 1, "quick": 1, "thorough": 3, "paper": 20}


def equal(x: Tensor, size: int) -> Sequence[Tensor]:
    """Random chunks of one size: the weakest probe."""
    return torch.split(x, size, dim=1)


def ordered(x: Tensor, size: int) -> Sequence[Tensor]:
    """Each set of `x` (`B x n x d`) sorted by its first coordinate, so that no chunk looks like the set."""
    return equal(x.gather(1, x[..., :1].argsort(dim=1).expand_as(x)), size)


def uneven(x: Tensor, size: int) -> Sequence[Tensor]:
    """One element alone, and the others in chunks of one size."""
    return [x[:, :1], *equal(x[:, 1:], size)]


KINDS: dict[str, Callable[[Tensor, int], Sequence[Tensor]]] = {"random": equal, "sorted": ordered, "uneven": uneven}


def cells(request: Request) -> list[Cell]:
    """One cell an encoder."""
    params = {**SHAPE, "sizes": SIZES, "sets": SETS[request.profile]}
    return [
        Cell(suite="consistency", case="chunks", encoder=name, params=params, seed=request.seed, dtype="float64")
        for name in request.encoders
    ]


def run(cell: Cell) -> Iterable[Record]:
    """For each kind and size of chunks the gap of every draw of sets, the largest of a batch."""
    p = cell.params
    module = build_from_spec(get_spec(cell.encoder), dim_in=p["dim"], seed=cell.seed).double().eval()
    for draw in range(p["sets"]):
        generator = torch.Generator().manual_seed(cell.seed + draw)
        x = torch.randn(p["batch"], p["n"], p["dim"], dtype=torch.float64, generator=generator)
        yield from _records(cell, module, x, draw)


@torch.inference_mode()
def _records(cell: Cell, module: nn.Module, x: Tensor, draw: int) -> Iterator[Record]:
    how = "streamed" if is_streaming(module) else "mean of chunk encodings"
    encode = encoded(module, len(x))
    whole = encode([x])
    for kind, cut in KINDS.items():
        for size in cell.params["sizes"]:
            gap = float((gaps(encode(cut(x, size)), whole) / max_norms(whole)).max())
            detail = {"n": x.shape[1], "chunk_size": size, "order": kind, "aggregation": how, "draw": draw}
            yield cell.record(
                Status.OK, metric="relative_gap", value=gap, unit="max-norm", higher_is_better=False, detail=detail
            )


def encoded(module: nn.Module, batch: int) -> Callable[[Sequence[Tensor]], Tensor]:
    """What encodes chunks (each `batch x n_c x d`): as a stream, each from one state, with the same slots.

    A plain module has no state: it is the mean of the encodings of the chunks.
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
