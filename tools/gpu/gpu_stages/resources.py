"""Peak memory and throughput of all encoders, in one piece and streamed, as the suite `resources` measures them."""

from dataclasses import asdict

from mbcbench import registry
from mbcbench.records.cell import Cell
from mbcbench.suites.resources import suite

from .stage import Options, measure, parse

ONE_PIECE = (1000, 10_000, 100_000, 1_000_000)
STREAMED = (10_000, 100_000)
LONGEST = 3.0  # seconds of an encoding
DRY = ("sse-random", "deepsets-mean")  # encoders of a dry run


def cells(options: Options) -> list[Cell]:
    """Return one cell per encoder, mode and size; the largest sizes come first."""
    encoders = DRY if options.dry else tuple(registry.plugins(registry.ENCODERS))
    sizes = {suite.ONE_PIECE: ONE_PIECE[::-1], suite.STREAMED: STREAMED[::-1]}
    if options.dry:
        sizes = {suite.ONE_PIECE: (300,), suite.STREAMED: (2000,)}
    timing = 0.001 if options.dry else 0.1
    return [
        Cell(
            suite="resources",
            case=suite.ENCODE,
            encoder=encoder,
            device=options.device,
            params=asdict(
                suite.ResourceSettings(n=n, mode=mode, foresee=False, timing_seconds=timing, longest_seconds=LONGEST)
            ),
        )
        for encoder in encoders
        for mode, ns in sizes.items()
        for n in ns
    ]


if __name__ == "__main__":
    chosen = parse(__doc__)
    measure(cells(chosen), suite.run, chosen.out)
