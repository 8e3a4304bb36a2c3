"""Resources: time, memory, state size, parameters and FLOPs of encoding one set.

The set (B = 1) has standard normal elements of 64 numbers each. It is encoded in eval mode on one thread, in one piece
or streamed in chunks of 1,000; a stream repeats one chunk, so that it is never in memory. If there is a CUDA device,
the same is measured on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.execution.suite import Profile, Request, Suite
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.protocol.encoder import encode_stream, is_streaming
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.state import nbytes
from mbcbench.records.cell import Cell
from mbcbench.records.detail import CostDetail
from mbcbench.records.record import Record, Status
from mbcbench.system import available_bytes
from mbcbench.types import Encoder

from ..metrics import Metric
from .measurement import Action, cuda_peak_bytes, cuda_seconds, peak_bytes, repeat_for, wall_seconds
from .prediction import Chunks, CostPrediction, PredictionError, predict_one_piece, predict_streamed

ENCODE, PREDICT = "encode", "foresee"  # cases
ONE_PIECE, STREAMED = "one piece", "streamed"

DECADES = (100, 1000, 10_000, 100_000, 1_000_000)
# Sizes in one piece, such that costs that grow quadratically fit into memory at enough sizes.
BETWEEN_DECADES = (2000, 3000, 5000)
SIZES: dict[Profile, tuple[int, ...]] = {"smoke": (1000,), "quick": (2000,), "thorough": DECADES, "paper": DECADES}
STREAMED_SIZES: dict[Profile, tuple[int, ...]] = {"thorough": (10_000_000,), "paper": (10_000_000,)}
PREDICTED_SIZE = 1_000_000_000  # nothing is measured at this size
PARTIAL_FIRST = 10_000  # of larger sets, a tenth is encoded first

TIMING_SECONDS: dict[Profile, float] = {"smoke": 0.02, "quick": 0.1, "thorough": 0.2, "paper": 5.0}
LONGEST_SECONDS: dict[Profile, float] = {"smoke": 10.0, "quick": 10.0, "thorough": 10.0, "paper": 600.0}

PEAK_MEMORY = Metric(name="peak_memory", unit="bytes")
PEAK_RESERVED = Metric(name="peak_reserved", unit="bytes")
PREDICTED_PEAK_MEMORY = Metric(name="predicted_peak_memory", unit="bytes")
FLOPS = Metric(name="flops", unit="FLOP")
STATE_SIZE = Metric(name="state_size", unit="bytes")
PARAMETERS = Metric(name="parameters")
THROUGHPUT = Metric(name="throughput", unit="elements/s", higher_is_better=True)


@dataclass(frozen=True, kw_only=True)
class ResourceSettings:
    """Settings of a cell.

    Parameters
    ----------
    n, dim, batch
        Elements of a set, numbers of an element, sets.
    mode
        `one piece` or `streamed`.
    chunk_size
        Elements of a chunk in a stream.
    foresee
        True to predict memory and FLOPs, and to measure only encodings that are predicted to fit into memory.
    timing_seconds
        Seconds for which encoding is repeated.
    longest_seconds
        Encodings that are estimated to take longer are not run.
    """

    n: int
    mode: str
    dim: int = 64
    batch: int = 1
    chunk_size: int = 1000
    foresee: bool
    timing_seconds: float
    longest_seconds: float

    @property
    def input_size(self) -> int:
        """Elements of the tensor that is encoded: the set, or the chunk that a stream repeats."""
        return self.n if self.mode == ONE_PIECE else min(self.n, self.chunk_size)

    @property
    def input_bytes(self) -> int:
        """Bytes of that tensor. It is allocated beforehand, so the peak does not include it."""
        return self.batch * self.input_size * self.dim * 4

    @property
    def detail(self) -> CostDetail:
        return CostDetail(
            n=self.n,
            mode=self.mode,
            dim=self.dim,
            batch=self.batch,
            chunk_size=self.chunk_size if self.mode == STREAMED else None,
            input_bytes=self.input_bytes,
        )


def cells(request: Request) -> list[Cell]:
    """Return one cell per encoder, device, set size and mode; in the longer profiles also cells that only predict.

    Every measurement therefore has a process of its own, and a size that is too large for one mode does not prevent
    the other.
    """
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [
        Cell(
            suite="resources",
            case=case,
            encoder=encoder,
            seed=request.seed,
            device=device,
            params=asdict(_settings(request.profile, n, mode)),
        )
        for encoder in request.encoders
        for case, n, mode in _grid(request.profile)
        for device in (devices if case == ENCODE else ["cpu"])
    ]


def _predicts(profile: Profile) -> bool:
    return profile in STREAMED_SIZES


def _grid(profile: Profile) -> Iterator[tuple[str, int, str]]:
    """Yield the case, size and mode of each cell of one encoder."""
    for n in SIZES[profile]:
        yield ENCODE, n, ONE_PIECE
        yield ENCODE, n, STREAMED
    if _predicts(profile):
        for n in BETWEEN_DECADES:
            yield ENCODE, n, ONE_PIECE
        for n in STREAMED_SIZES[profile]:
            yield ENCODE, n, STREAMED
        yield PREDICT, PREDICTED_SIZE, ONE_PIECE
        yield PREDICT, PREDICTED_SIZE, STREAMED


def _settings(profile: Profile, n: int, mode: str) -> ResourceSettings:
    return ResourceSettings(
        n=n,
        mode=mode,
        foresee=_predicts(profile),
        timing_seconds=TIMING_SECONDS[profile],
        longest_seconds=LONGEST_SECONDS[profile],
    )


def run(cell: Cell) -> Iterator[Record]:
    """Predict the costs of one encoding if requested, and measure them if memory suffices."""
    settings = ResourceSettings(**cell.params)
    spec = get_spec(cell.encoder)
    module = build_from_spec(spec, dim_in=settings.dim, seed=cell.seed).eval()
    if settings.mode == STREAMED and not is_streaming(module):
        yield cell.record(Status.SKIP, message="a plain module has no state to stream: it encodes in one piece")
        return
    if settings.foresee:
        try:
            prediction = _predict(spec, settings, cell.seed)
        except PredictionError as error:
            if error.too_long or cell.case == PREDICT:
                yield cell.record(Status.SKIP, message=f"not run: {error} (predicted)")
                return
        else:
            yield from _prediction_records(cell, settings, prediction)
            needed, available = prediction.peak_bytes + settings.input_bytes, available_bytes()
            if cell.case == ENCODE and cell.device == "cpu" and needed > available:
                message = f"out of memory (predicted): it needs {needed:,} bytes, and {available:,.0f} are available"
                yield cell.record(Status.SKIP, message=message)
                return
    if cell.case == ENCODE:
        yield from _measure(cell, settings, module.to(cell.device))


def _predict(spec: EncoderSpec, settings: ResourceSettings, seed: int) -> CostPrediction:
    n, dim, batch = settings.n, settings.dim, settings.batch
    if settings.mode == ONE_PIECE:
        return predict_one_piece(spec, n, dim=dim, batch=batch, seed=seed)
    return predict_streamed(spec, n, dim=dim, batch=batch, seed=seed, chunk=settings.chunk_size)


def _prediction_records(cell: Cell, settings: ResourceSettings, prediction: CostPrediction) -> list[Record]:
    memory = replace(settings.detail, method="fake tensors")
    flops = replace(settings.detail, method="torch.utils.flop_counter")
    return [
        PREDICTED_PEAK_MEMORY.record(cell, prediction.peak_bytes, memory),
        FLOPS.record(cell, prediction.flops, flops),
    ]


@torch.inference_mode()
def _measure(cell: Cell, settings: ResourceSettings, module: nn.Module) -> Iterator[Record]:
    """Yield the measurements of one encoding: memory first, while the process has allocated little.

    A tenth of a large set is encoded before the whole set, as a warm-up and to estimate the total duration.
    """
    generator = torch.Generator().manual_seed(cell.seed)
    x = torch.randn(settings.batch, settings.input_size, settings.dim, generator=generator).to(cell.device)
    timer = wall_seconds if cell.device == "cpu" else cuda_seconds
    tenth = _encode_tenth(settings, module, x) if settings.n > PARTIAL_FIRST else None
    if tenth is not None:
        estimate = 10 * timer(tenth)
        if estimate > settings.longest_seconds:
            limit = f"the limit is {settings.longest_seconds:g} s"
            message = f"not run: estimated from a tenth of the set to take {estimate:.0f} s; {limit}"
            yield cell.record(Status.SKIP, message=message)
            return
    if settings.mode == ONE_PIECE:
        encode = partial(module, x)
        yield from _measure_peak(cell, settings, encode, tenth)
        yield PARAMETERS.record(cell, sum(weight.numel() for weight in module.parameters()), settings.detail)
    else:
        count = settings.n // settings.input_size
        encode = partial(encode_stream, module, [x] * count)
        state_sizes: list[int] = []
        yield from _measure_peak(cell, settings, partial(_stream, module, Chunks(x, count), state_sizes), tenth)
        yield STATE_SIZE.record(cell, state_sizes[-1], settings.detail)
    yield _throughput(cell, settings, repeat_for(settings.timing_seconds, timer, encode))


def _encode_tenth(settings: ResourceSettings, module: nn.Module, x: Tensor) -> Action:
    """Return an action that encodes a tenth of the chunks of a stream, or of the elements of a set in one piece."""
    count = settings.n // settings.input_size // 10
    return partial(encode_stream, module, [x] * count) if count else partial(module, x[:, : settings.input_size // 10])


def _measure_peak(cell: Cell, settings: ResourceSettings, encode: Action, warm_up: Action | None) -> Iterator[Record]:
    if cell.device == "cpu":
        peak, method = peak_bytes(encode, warm_up)
        yield PEAK_MEMORY.record(cell, peak, replace(settings.detail, method=method))
        return
    allocated, reserved = cuda_peak_bytes(encode)
    yield PEAK_MEMORY.record(cell, allocated, replace(settings.detail, method="torch.cuda allocated"))
    yield PEAK_RESERVED.record(cell, reserved, replace(settings.detail, method="torch.cuda reserved"))


def _stream(module: Encoder, chunks: Sequence[Tensor], state_sizes: list[int]) -> Tensor:
    """Encode a stream, and append the bytes of its last state to `state_sizes`."""
    state = module.init_state(chunks[0].shape[0])
    for chunk in chunks:
        state = module.update(state, chunk)
    state_sizes.append(nbytes(state))
    encoding: Tensor = module.readout(state)
    return encoding


def _throughput(cell: Cell, settings: ResourceSettings, durations: Sequence[float]) -> Record:
    """Return the record of the throughput, by the median duration."""
    low, median, high = (float(quartile) for quartile in np.percentile(durations, (25, 50, 75)))
    elements = settings.batch * settings.n
    detail = replace(
        settings.detail,
        median_seconds=median,
        iqr_seconds=high - low,
        repetitions=len(durations),
        seconds_per_element=median / elements,
        sets_per_second=settings.batch / median,
    )
    return THROUGHPUT.record(cell, elements / median, detail)


SUITE = Suite(
    name="resources",
    summary="throughput, peak memory (measured and predicted), state, parameters and FLOPs, in one piece and streamed",
    cells=cells,
    run=run,
    exclusive=True,
    seconds={"smoke": 60, "quick": 60, "thorough": 60, "paper": 3600},
)
