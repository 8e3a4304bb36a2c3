"""Resources: what encoding one set costs, in time, memory, state, parameters and FLOPs.

One set (B = 1) of standard normal elements, 64 numbers each, in eval mode, on one thread: in one piece, or streamed in
chunks of 1,000. A stream repeats one chunk, so that it is never held. Where there is a CUDA device, the same on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.encoder import encode_stream, is_streaming
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.state import nbytes
from mbcbench.protocol.target import build_from_spec, get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.system import available_bytes

from .measurement import Action, cuda_peak_bytes, cuda_seconds, peak_bytes, repeated, seconds
from .prediction import Chunks, Foreseen, UnforeseeableError, in_one_piece, streamed

CHUNK = 1000
DECADES = (100, 1000, 10_000, 100_000, 1_000_000)
BETWEEN = (2000, 3000, 5000)  # in one piece, so that what grows with the square has sizes enough within memory
SIZES: dict[Profile, tuple[int, ...]] = {"smoke": (1000,), "quick": (2000,), "thorough": DECADES, "paper": DECADES}
LONGER: dict[Profile, tuple[int, ...]] = {"thorough": (10_000_000,), "paper": (10_000_000,)}  # streamed only
LARGE = 10_000  # a set of more elements is tried in part first
FORESEEN = 1_000_000_000  # a size that nothing is measured at
SECONDS: dict[Profile, float] = {"smoke": 0.02, "quick": 0.1, "thorough": 0.2, "paper": 5.0}
LONGEST: dict[Profile, float] = {"smoke": 10.0, "quick": 10.0, "thorough": 10.0, "paper": 600.0}  # seconds an encoding
ONE_PIECE, STREAMED = "one piece", "streamed"


def cells(request: Request) -> list[Cell]:
    """Per encoder and device one cell for each set size and mode, and in the longer profiles one that only predicts.

    Each measures in a process of its own, and a size that is too large for one mode spares the other.
    """
    profile = request.profile
    grid = profile in LONGER
    ways = [("encode", n, mode) for n in SIZES[profile] for mode in (ONE_PIECE, STREAMED)]
    ways += [("encode", n, ONE_PIECE) for n in BETWEEN if grid]
    ways += [("encode", n, STREAMED) for n in LONGER.get(profile, ())]
    ways += [("foresee", FORESEEN, mode) for mode in (ONE_PIECE, STREAMED) if grid]
    shared: dict[str, Any] = {"dim": 64, "batch": 1, "chunk_size": CHUNK, "foresee": grid}
    shared |= {"timing_seconds": SECONDS[profile], "longest_seconds": LONGEST[profile]}
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [
        Cell(
            suite="resources",
            case=case,
            encoder=encoder,
            seed=request.seed,
            device=device,
            params={"n": n, "mode": mode, **shared},
        )
        for encoder in request.encoders
        for case, n, mode in ways
        for device in (devices if case == "encode" else ["cpu"])
    ]


def run(cell: Cell) -> Iterable[Record]:
    """What is predicted of one encoding, and what is measured of it unless memory would not do."""
    p = cell.params
    spec = get_spec(cell.encoder)
    module = build_from_spec(spec, dim_in=p["dim"], seed=cell.seed).eval()
    if p["mode"] == STREAMED and not is_streaming(module):
        return [cell.record(Status.SKIP, message="a plain module has no state to stream: it encodes in one piece")]
    found: list[Record] = []
    if p["foresee"]:
        try:
            foreseen = _foresee(cell, spec)
        except UnforeseeableError as error:
            if error.too_long or cell.case == "foresee":
                return [cell.record(Status.SKIP, message=f"not run: {error} (predicted)")]
        else:
            found = _predictions(cell, foreseen)
            needed = foreseen.peak_bytes + _input_bytes(cell)
            available = available_bytes()
            if cell.case == "encode" and cell.device == "cpu" and needed > available:
                message = (
                    f"out of memory (predicted): it would take {needed:,} bytes, and {available:,.0f} are to be had"
                )
                return [*found, cell.record(Status.SKIP, message=message)]
    if cell.case == "encode":
        with torch.inference_mode():
            found += _measured(cell, module.to(cell.device))
    return found


def _foresee(cell: Cell, spec: EncoderSpec) -> Foreseen:
    p = cell.params
    shape = {"dim": p["dim"], "batch": p["batch"], "seed": cell.seed}
    if p["mode"] == ONE_PIECE:
        return in_one_piece(spec, p["n"], **shape)
    return streamed(spec, p["n"], chunk=p["chunk_size"], **shape)


def _predictions(cell: Cell, foreseen: Foreseen) -> list[Record]:
    detail = _detail(cell)
    return [
        _smaller(cell, "predicted_peak_memory", "bytes", foreseen.peak_bytes, detail | {"method": "fake tensors"}),
        _smaller(cell, "flops", "FLOP", foreseen.flops, detail | {"method": "torch.utils.flop_counter"}),
    ]


def _measured(cell: Cell, module: nn.Module) -> Iterator[Record]:
    """Memory first: what is measured first finds the process as it was.

    Of a large set a tenth comes before all, to warm up and to say how long the whole would take.
    """
    p, detail = cell.params, _detail(cell)
    size = p["n"] if p["mode"] == ONE_PIECE else min(p["n"], p["chunk_size"])
    generator = torch.Generator().manual_seed(cell.seed)
    x = torch.randn(p["batch"], size, p["dim"], generator=generator).to(cell.device)
    count = p["n"] // size
    meter = seconds if cell.device == "cpu" else cuda_seconds
    part = None
    if p["n"] > LARGE:
        tenth = [x] * (count // 10)
        part = partial(encode_stream, module, tenth) if tenth else partial(module, x[:, : size // 10])
        expected = 10 * meter(part)
        if expected > p["longest_seconds"]:
            message = f"not run: a tenth of the set says {expected:.0f} s, and {p['longest_seconds']:g} s are allowed"
            yield cell.record(Status.SKIP, message=message)
            return
    if p["mode"] == ONE_PIECE:
        encode = partial(module, x)
        yield from _peak(cell, encode, part, detail)
        yield _smaller(cell, "parameters", "", sum(weight.numel() for weight in module.parameters()), detail)
    else:
        encode = partial(encode_stream, module, [x] * count)
        sizes: list[int] = []
        yield from _peak(cell, partial(_encode_and_weigh, module, Chunks(x, count), sizes), part, detail)
        yield _smaller(cell, "state_size", "bytes", sizes[-1], detail)
    yield _throughput(cell, repeated(meter, encode, p["timing_seconds"]), detail)


def _detail(cell: Cell) -> dict[str, Any]:
    kept = ("n", "mode", "dim", "batch", *(("chunk_size",) if cell.params["mode"] == STREAMED else ()))
    return {name: cell.params[name] for name in kept} | {"input_bytes": _input_bytes(cell)}


def _input_bytes(cell: Cell) -> int:
    """Bytes of the set in one piece, or of the chunk that the stream repeats: held, and not counted as the peak."""
    p = cell.params
    n = p["n"] if p["mode"] == ONE_PIECE else min(p["n"], p["chunk_size"])
    return int(p["batch"] * n * p["dim"] * 4)


def _peak(cell: Cell, encode: Action, part: Action | None, detail: dict[str, Any]) -> Iterator[Record]:
    if cell.device == "cpu":
        peak, method = peak_bytes(encode, part)
        yield _smaller(cell, "peak_memory", "bytes", peak, detail | {"method": method})
        return
    allocated, reserved = cuda_peak_bytes(encode)
    yield _smaller(cell, "peak_memory", "bytes", allocated, detail | {"method": "torch.cuda allocated"})
    yield _smaller(cell, "peak_reserved", "bytes", reserved, detail | {"method": "torch.cuda reserved"})


def _encode_and_weigh(module: Any, chunks: Sequence[Tensor], sizes: list[int]) -> Tensor:
    """The encoding of a stream; the bytes of its last state are added to `sizes`."""
    state = module.init_state(chunks[0].shape[0])
    for chunk in chunks:
        state = module.update(state, chunk)
    sizes.append(nbytes(state))
    out: Tensor = module.readout(state)
    return out


def _throughput(cell: Cell, times: Sequence[float], detail: dict[str, Any]) -> Record:
    """By the median of the repetitions."""
    p = cell.params
    low, median, high = (float(q) for q in np.percentile(times, (25, 50, 75)))
    spent = {"median_seconds": median, "iqr_seconds": high - low, "repetitions": len(times)}
    each = {"seconds_per_element": median / (p["batch"] * p["n"]), "sets_per_second": p["batch"] / median}
    return cell.record(
        Status.OK,
        metric="throughput",
        value=p["batch"] * p["n"] / median,
        unit="elements/s",
        higher_is_better=True,
        detail=detail | spent | each,
    )


def _smaller(cell: Cell, metric: str, unit: str, value: float, detail: dict[str, Any]) -> Record:
    return cell.record(Status.OK, metric=metric, value=value, unit=unit, higher_is_better=False, detail=detail)


SUITE = Suite(
    name="resources",
    summary="throughput, peak memory (measured and predicted), state, parameters and FLOPs, in one piece and streamed",
    cells=cells,
    run=run,
    exclusive=True,
    seconds={"smoke": 60, "quick": 60, "thorough": 60, "paper": 3600},
)
