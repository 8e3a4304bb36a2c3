"""Peak memory and throughput of all encoders, in one piece and streamed, as the suite `resources` measures them."""

from mbcbench import registry
from mbcbench.records.cell import Cell
from mbcbench.suites.resources import suite

from .stage import Options, measure, parse

ONE_PIECE = (1000, 10_000, 100_000, 1_000_000)
STREAMED = (10_000, 100_000)
DRY = ("sse-random", "deepsets-mean")  # encoders of a dry run


def cells(options: Options) -> list[Cell]:
    """Return one cell per encoder, mode and size; the sizes that matter most come first."""
    encoders = DRY if options.dry else tuple(registry.plugins(registry.ENCODERS))
    sizes = {suite.ONE_PIECE: ONE_PIECE[::-1], suite.STREAMED: STREAMED[::-1]}
    if options.dry:
        sizes = {suite.ONE_PIECE: (300,), suite.STREAMED: (300,)}
    shared = {"dim": 64, "batch": 1, "chunk_size": 100 if options.dry else suite.CHUNK, "foresee": False}
    shared |= {"timing_seconds": 0.001 if options.dry else 0.1, "longest_seconds": 3.0}
    return [
        Cell(
            suite="resources", case="encode", encoder=encoder, device=options.device,
            params={"n": n, "mode": mode, **shared},
        )
        for encoder in encoders
        for mode, ns in sizes.items()
        for n in ns
    ]  # fmt: skip


if __name__ == "__main__":
    chosen = parse(__doc__)
    measure(cells(chosen), suite.run, chosen.out)
