"""A suite makes cells for encoders, and records of each cell: here, the norm of an encoding."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import mbcbench
import torch


@dataclass(frozen=True)
class Settings:
    """Parameters of a cell: a set of `n` elements of width `dim`."""

    n: int
    dim: int = 8


SIZES = {"smoke": (10,), "quick": (10, 100), "thorough": (10, 100, 1000)}
SIZES["paper"] = SIZES["thorough"]


def cells(request: mbcbench.Request) -> list[mbcbench.Cell]:
    """Return a cell per encoder and size."""
    return [
        mbcbench.Cell(
            suite="PLUGIN_NAME",
            case="norm",
            encoder=encoder,
            params=asdict(Settings(n)),
            seed=request.seed,
        )
        for encoder in request.encoders
        for n in SIZES[request.profile]
    ]


def run(cell: mbcbench.Cell) -> Iterator[mbcbench.Record]:
    """Yield the norm of the encoding of a random set. A cell runs in a process of its own."""
    settings = Settings(**cell.params)
    encoder = mbcbench.build(cell.encoder, dim_in=settings.dim, seed=cell.seed).eval()
    generator = torch.Generator().manual_seed(cell.seed)
    x = torch.randn(1, settings.n, settings.dim, generator=generator)
    with torch.inference_mode():
        norm = encoder(x).norm().item()
    detail = {"test_size": settings.n}
    yield cell.record(mbcbench.Status.OK, metric="norm", value=norm, detail=detail)


SUITE = mbcbench.Suite(
    name="PLUGIN_NAME",
    summary="the norm of encodings, by the size of the set",
    cells=cells,
    run=run,
    seconds={"smoke": 60, "quick": 60, "thorough": 60, "paper": 60},
)
